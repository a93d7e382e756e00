//! `#[invalidates(…)]`: a function that writes, and what is wrong from then on.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Error, Expr, FnArg, LitStr, PatIdent, Path, Result, ReturnType, Signature, Token, Type, Visibility, parenthesized,
};

use crate::errors::{Errors, list, suggest};
use crate::model::Runtime;
use crate::tags::tag;
use crate::types;

const EXAMPLE: &str = "such as `#[invalidates(tags(\"user:{id}\"), keys(load(id)))]`";

/// What the attribute was given.
#[derive(Default)]
struct Given {
    tags: Vec<LitStr>,
    patterns: Vec<LitStr>,
    keys: Vec<Expr>,
    krate: Option<Path>,
}

impl Given {
    fn parse(input: ParseStream<'_>, errors: &mut Errors) -> Result<Given> {
        let mut given = Given::default();
        while !input.is_empty() {
            let word = input.call(Ident::parse_any)?;
            match word.to_string().as_str() {
                "tags" => given.tags.extend(some(&word, input)?),
                "pattern" | "patterns" => given.patterns.extend(some(&word, input)?),
                "keys" => given.keys.extend(some(&word, input)?),
                "crate" => {
                    input.parse::<Token![=]>()?;
                    given.krate = Some(input.call(Path::parse_mod_style)?);
                }
                name => {
                    let known = ["tags", "keys", "patterns", "crate"];
                    let meant = suggest(name, known).map_or_else(
                        || format!("`#[invalidates]` takes {}", list(known)),
                        |meant| format!("did you mean `{meant}`?"),
                    );
                    errors.at(&word, format!("unknown argument `{name}`; {meant}"));
                    crate::args::skip_to_comma(input);
                }
            }
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(given)
    }
}

/// `word(a, b)`.
fn some<T: Parse>(word: &Ident, input: ParseStream<'_>) -> Result<Vec<T>> {
    if !input.peek(syn::token::Paren) {
        return Err(Error::new(word.span(), format!("`{word}` takes a list in parentheses, {EXAMPLE}")));
    }
    let content;
    parenthesized!(content in input);
    let all = Punctuated::<T, Token![,]>::parse_terminated(&content)?;
    if all.is_empty() {
        return Err(Error::new(word.span(), format!("`{word}` names nothing; remove it, or write {EXAMPLE}")));
    }
    Ok(all.into_iter().collect())
}

/// A function, its body as raw tokens.
struct Written {
    attributes: Vec<syn::Attribute>,
    visibility: Visibility,
    signature: Signature,
    body: Group,
}

impl Parse for Written {
    fn parse(input: ParseStream<'_>) -> Result<Written> {
        let attributes = input.call(syn::Attribute::parse_outer)?;
        let (visibility, signature) = (input.parse()?, input.parse()?);
        match input.parse()? {
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => {
                Ok(Written { attributes, visibility, signature, body })
            }
            other => Err(Error::new_spanned(other, "`#[invalidates]` stands on a function with a body")),
        }
    }
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut words = Errors::default();
    let given = errors.keep((|input: ParseStream<'_>| Given::parse(input, &mut words)).parse2(arguments));
    errors.merge(words);
    let written = errors.keep(syn::parse2::<Written>(item.clone()).map_err(|error| {
        Error::new(error.span(), format!("`#[invalidates]` stands on a function that writes: {error}"))
    }));
    let built = given.zip(written).map(|(given, written)| build(&given, &written, &mut errors));
    match errors.finish(built) {
        Ok(built) => built,
        Err(report) => report.with_item(item),
    }
}

fn build(given: &Given, written: &Written, errors: &mut Errors) -> TokenStream {
    let Written { attributes, visibility, signature, body } = written;
    if given.tags.is_empty() && given.keys.is_empty() && given.patterns.is_empty() {
        let message = format!("`#[invalidates]` says nothing to invalidate; name it, {EXAMPLE}");
        errors.push(Error::new(Span::call_site(), message));
    }
    if let Some(constness) = &signature.constness {
        errors.at(constness, "a `const fn` has nothing to invalidate; remove `const`");
    }
    let result: Type = match &signature.output {
        ReturnType::Default => syn::parse_quote!(()),
        ReturnType::Type(_, ty) => (**ty).clone(),
    };
    if types::has_impl_trait(&result) {
        errors.at(&result, "whether the write was done is read from the result; name its type instead of `impl`");
    }
    let runtime = Runtime::new(given.krate.as_ref());
    let private = runtime.private(Span::mixed_site());
    let names = Names::of(signature);
    let mut text = |text: &LitStr| errors.keep(tag(text, &|name| names.find(name, signature), &runtime));
    let tags: Vec<_> = given.tags.iter().filter_map(&mut text).collect();
    let patterns: Vec<_> = given.patterns.iter().filter_map(&mut text).collect();
    let keys: Vec<_> = given.keys.iter().filter_map(|key| errors.keep(key_of(key, &private))).collect();

    let local = |name: &str| Ident::new(name, Span::mixed_site());
    let (output, guard) = (local("output"), local("guard"));
    let at = Span::mixed_site().located_at(result.span());
    let anchor = Ident::new("anchor", at);
    let (run, told) = if signature.asyncness.is_some() {
        let anchored = quote_spanned! {at=>
            #[allow(unreachable_code, clippy::diverging_sub_expression)]
            if false { let #anchor: #result = loop {}; return #anchor; }
        };
        (quote!(async move { #anchored #body }.await), quote!(.told().await))
    } else {
        (quote!((move || -> #result #body)()), TokenStream::new())
    };
    quote! {
        #(#attributes)*
        #[allow(clippy::redundant_closure_call, clippy::let_unit_value, clippy::unused_unit, clippy::needless_return)]
        #visibility #signature {
            let #guard = #private::Invalidates::new(
                ::std::vec![#(#tags),*],
                ::std::vec![#(::std::string::ToString::to_string(&#patterns)),*],
                ::std::vec![#(#keys),*],
            );
            let #output: #result = #run;
            let #guard = {
                #[allow(unused_imports)]
                use #private::{ViaAnything as _, ViaResult as _};
                if (&#private::Ended(&#output)).stampede_has_written() {
                    ::core::option::Option::Some(#guard.now())
                } else {
                    #guard.spare();
                    ::core::option::Option::None
                }
            };
            if let ::core::option::Option::Some(#guard) = #guard {
                let _ = #guard #told;
            }
            #output
        }
    }
}

/// `load(id)` → what takes that key out, later; `load` → what takes all of them out.
fn key_of(key: &Expr, private: &TokenStream) -> Result<TokenStream> {
    match key {
        Expr::Call(call) if matches!(&*call.func, Expr::Path(_)) => {
            let (function, arguments) = (&call.func, &call.args);
            Ok(quote_spanned!(key.span()=> #function::invalidation(#arguments)))
        }
        Expr::Path(function) => Ok(quote_spanned!(key.span()=> #private::Invalidates::all(#function::clear))),
        other => Err(Error::new_spanned(
            other,
            "`keys` takes calls of shared functions with what their keys mention, such as `load(id)`, or `load` for all its keys",
        )),
    }
}

/// The names of the arguments.
struct Names(Vec<Ident>);

impl Names {
    fn of(signature: &Signature) -> Names {
        let mut names = Names(Vec::new());
        for input in &signature.inputs {
            match input {
                FnArg::Receiver(receiver) => names.0.push(Ident::new("self", receiver.self_token.span)),
                FnArg::Typed(input) => names.visit_pat_mut(&mut input.pat.clone()),
            }
        }
        names
    }

    fn find(&self, name: &str, signature: &Signature) -> std::result::Result<Ident, String> {
        if let Some(found) = self.0.iter().find(|known| known.unraw() == name) {
            return Ok(found.clone());
        }
        let function = &signature.ident;
        let known: Vec<String> = self.0.iter().map(|known| known.unraw().to_string()).collect();
        let known = || known.iter().map(String::as_str);
        Err(match suggest(name, known()) {
            Some(meant) => format!("`{function}` has no argument `{name}`; did you mean `{meant}`?"),
            None if self.0.is_empty() => format!("`{function}` has no argument `{name}`, nor any other"),
            None => format!("`{function}` has no argument `{name}`; it has {}", list(known())),
        })
    }
}

impl VisitMut for Names {
    fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
        self.0.push(pattern.ident.clone());
        visit_mut::visit_pat_ident_mut(self, pattern);
    }
}
