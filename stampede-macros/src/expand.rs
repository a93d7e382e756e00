//! [`Model`] → tokens. Address labels only: what could be wrong was decided in `model`, what must be done is done in
//! the runtime.
//!
//! Our locals carry `Span::mixed_site()`, so no argument can clash with them. Items are not hygienic: the static of the
//! site stands in a block of its own, which does not enclose the author's body.
//!
//! The returned future borrows from every argument until it boards. No lifetime says so: an `impl Trait` written by a
//! macro of edition 2024 captures all of them, in callers of every edition.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{GenericParam, Receiver};

use crate::args::STEPS;
use crate::body::rename_self;
use crate::item::{Input, SelfPassing};
use crate::key::{Mentions, Shape};
use crate::model::{Companion, Model, Setting};
use crate::types::{Passing, without_lifetimes};

pub(crate) fn expand(model: &Model) -> TokenStream {
    let function = function(model);
    let companion = match &model.companion {
        Companion::None => TokenStream::new(),
        Companion::Struct(name) => companion_struct(model, name),
        Companion::Siblings(prefix) => companion_siblings(model, prefix),
    };
    quote!(#function #companion)
}

/// The author's function: it boards a flight, and brings its body along in case it is the first.
fn function(model: &Model) -> TokenStream {
    let attributes = &model.item.attributes;
    let (board, body) = (ask(model, "board", TokenStream::new()), body(model));
    let boarding = Ident::new("boarding", Span::mixed_site().located_at(place_of_async(model)));
    let fly = quote_spanned!(boarding.span()=> #boarding.fly(#body).await);
    let (boarded, kept) = (local("boarded"), local("kept"));
    let declaration = Declaration {
        inputs: all_inputs(model),
        output: future(model),
        body: quote! {
            async move {
                #[allow(clippy::used_underscore_binding)]
                let #boarded = { #board };
                match #boarded {
                    ::core::result::Result::Ok(#kept) => #kept,
                    ::core::result::Result::Err(#boarding) => #fly,
                }
            }
        },
    };
    let function = declaration.named(&model.item.signature.ident, model);
    quote! {
        #(#attributes)*
        #[allow(clippy::manual_async_fn, refining_impl_trait)]
        #function
    }
}

/// A struct beside a free function: it may have the function's name, so that one import brings both.
fn companion_struct(model: &Model, name: &Ident) -> TokenStream {
    let (visibility, attributes) = (&model.item.visibility, shared_attributes(model));
    let doc = format!(" What can be done about the calls of `{}`.", model.item.signature.ident.unraw());
    let (site, lints) = (site_function(model, &local("__site")), companion_lints());
    let functions = companion_functions(model, &TokenStream::new()).map(|(verb, doc, declaration)| {
        let function = declaration.named(&local(verb), model);
        quote!(#[doc = #doc] #function)
    });
    quote! {
        #[doc = #doc]
        #attributes
        #[allow(non_camel_case_types, missing_copy_implementations, missing_debug_implementations)]
        #visibility struct #name {}

        #attributes
        #lints
        impl #name {
            #site
            #(#functions)*
        }
    }
}

/// The same functions beside a method, where no struct can stand.
fn companion_siblings(model: &Model, prefix: &Ident) -> TokenStream {
    let attributes = shared_attributes(model);
    let (site, lints) = (site_function(model, &sibling_site(prefix)), companion_lints());
    let functions = companion_functions(model, &quote!(Self::)).map(|(verb, doc, declaration)| {
        let function = declaration.named(&format_ident!("{prefix}_{verb}", span = prefix.span()), model);
        quote!(#[doc = #doc] #attributes #lints #function)
    });
    quote! {
        #attributes
        #site
        #(#functions)*
    }
}

/// What the author's signature may break when it is repeated by us.
fn companion_lints() -> TokenStream {
    quote! {
        #[allow(
            dead_code, single_use_lifetimes, unused_lifetimes,
            clippy::too_many_arguments, clippy::used_underscore_binding
        )]
    }
}

/// The functions of a companion: verb, documentation, declaration. `owner` leads to the author's function.
fn companion_functions(model: &Model, owner: &TokenStream) -> [(&'static str, &'static str, Declaration); 6] {
    let private = private(model);
    let (here, result) = (here(model), &model.item.output);
    let (function, turbofish, arguments) = (&model.item.signature.ident, turbofish(model), arguments(model));
    let value = local("value");

    let with_value =
        key_inputs(model).into_iter().chain([quote!(#value: impl #private::IntoResult<#result>)]).collect();
    let declare = |inputs, output, body| Declaration { inputs, output, body };
    [
        (
            "invalidate",
            " Forgets the result of this key: in this process before the function returns.",
            declare(key_inputs(model), quote!(-> #private::Invalidation), ask(model, "invalidate", TokenStream::new())),
        ),
        (
            "peek",
            " What a call would be answered with from memory now.",
            declare(
                key_inputs(model),
                quote!(-> ::core::option::Option<#result>),
                ask(model, "peek", TokenStream::new()),
            ),
        ),
        (
            "insert",
            " Keeps a value, or a whole result, as if a call had returned it.",
            declare(with_value, TokenStream::new(), ask(model, "insert", quote!(, #value))),
        ),
        (
            "refresh",
            " Runs the function anew, whatever is kept, and keeps its result.",
            declare(
                all_inputs(model),
                future(model),
                quote!(#here.refreshing(#owner #function #turbofish(#arguments))),
            ),
        ),
        (
            "clear",
            " Forgets every result.",
            declare(Vec::new(), quote!(-> #private::Invalidation), quote!(#here.clear())),
        ),
        (
            "stats",
            " What became of the calls so far.",
            declare(Vec::new(), quote!(-> #private::Stats), quote!(#here.stats())),
        ),
    ]
}

/// The function that holds the site when a companion must reach it too.
fn site_function(model: &Model, name: &Ident) -> TokenStream {
    let private = private(model);
    let result = &model.item.output;
    let declaration = Declaration {
        inputs: Vec::new(),
        output: quote! {
            -> #private::Here<
                impl ::core::ops::Fn() -> #private::Options
                    + ::core::marker::Copy + ::core::marker::Send + ::core::marker::Sync + 'static,
                impl #private::Share<Output = #result>,
            >
        },
        body: site(model),
    };
    declaration.private(name, model)
}

/// The site and how this instantiation sees it: the closure's type tells instantiations of a generic site apart.
fn site(model: &Model) -> TokenStream {
    let private = private(model);
    let function = model.item.signature.ident.unraw().to_string();
    let options = settings(&model.options);
    let hooks = settings(&model.hooks);
    let share = located_macro(model, "share", model.item.output.to_token_stream());
    quote! {
        static __SITE: #private::Site = #private::Site::new(::core::module_path!(), #function);
        #private::Here::new(&__SITE, || #private::Options::new() #options, #share) #hooks
    }
}

fn settings(settings: &[Setting]) -> TokenStream {
    settings.iter().map(|Setting { method, value }| quote!(.#method(#value))).collect()
}

/// `name!(…)` at the place of the tokens in its parentheses: what it finds wrong is reported there.
fn located_macro(model: &Model, name: &str, tokens: TokenStream) -> TokenStream {
    let ours = |at: Span| Span::mixed_site().located_at(at);
    let mut spans = tokens.clone().into_iter().map(|token| ours(token.span()));
    let first = spans.next().unwrap_or_else(Span::mixed_site);
    let (private, name) = (model.runtime.private(first), Ident::new(name, first));
    let mut parentheses = Group::new(Delimiter::Parenthesis, tokens);
    parentheses.set_span(spans.last().unwrap_or(first));
    quote_spanned!(first=> #private::#name! #parentheses)
}

/// An expression for the site.
fn here(model: &Model) -> TokenStream {
    let turbofish = turbofish(model);
    match &model.companion {
        Companion::None => {
            let site = site(model);
            quote!({ #site })
        }
        Companion::Struct(name) => quote!(#name::__site #turbofish()),
        Companion::Siblings(prefix) => {
            let site = sibling_site(prefix);
            quote!(Self::#site #turbofish())
        }
    }
}

fn sibling_site(prefix: &Ident) -> Ident {
    format_ident!("__{prefix}_site", span = Span::mixed_site())
}

/// `site.verb(key, more)`. What the key refers to lives until the verb is done.
fn ask(model: &Model, verb: &str, more: TokenStream) -> TokenStream {
    let private = private(model);
    let (here, verb) = (here(model), local(verb));
    match &model.key.shape {
        Shape::Parts(parts) if parts.is_empty() => quote!(#here.#verb(#private::Nil #more)),
        Shape::Parts(parts) => {
            let key = parts.iter().rev().fold(quote!(#private::Nil), |rest, part| {
                let part = located_macro(model, "part", part.clone());
                quote!(#private::Cons(#part, #rest))
            });
            quote!(use #private::parts::*; #here.#verb(#key #more))
        }
        Shape::Text(format, values) => {
            quote!(#here.#verb(#private::text(::core::format_args!(#format #(, #values)*)) #more))
        }
        Shape::Content(steps, fields) => {
            let steps = STEPS.iter().zip(steps).map(|(step, taken)| {
                let step = local(step);
                quote!(#step: #taken)
            });
            let fields = fields.iter().map(|(name, value)| quote!(.field(#name, #value)));
            let key = quote!(#private::Content::new(#private::Steps { #(#steps),* }) #(#fields)*.digest());
            quote!(#here.#verb(#key #more))
        }
    }
}

/// A closure that makes the author's body own what it mentions. It runs only if this caller is the first.
fn body(model: &Model) -> TokenStream {
    let private = private(model);
    let result = &model.item.output;
    let this = local("this");
    let braces = &model.item.body;
    let renamed = model.item.receiver.as_ref().and_then(|_| rename_self(braces.stream(), &this));
    let (mut own, mut bind) = (TokenStream::new(), TokenStream::new());
    if let Some(receiver) = model.item.receiver.as_ref().filter(|_| renamed.is_some()) {
        let (word, mutability) = (receiver.written.self_token, receiver.written.mutability);
        match receiver.passing {
            SelfPassing::Value => bind.extend(quote!(let #mutability #this = #word;)),
            SelfPassing::Reference => {
                let own_self = quote_spanned!(word.span=> own_self);
                own.extend(quote!(let #this = #private::#own_self(#word);));
                bind.extend(quote!(let #this = &#this;));
            }
            SelfPassing::Pointer => {
                let owned = located_macro(model, "own", word.to_token_stream());
                own.extend(quote!(let #this = #owned;));
                bind.extend(quote!(let #this = &#this;));
            }
        }
    }
    let mentioned = Mentions::of(braces.stream(), &model.item).inputs;
    for (position, input) in model.item.inputs.iter().enumerate() {
        if input.pattern.is_none() && !mentioned.contains(&position) {
            continue;
        }
        let (owned, bound) = own_input(model, input);
        own.extend(owned);
        bind.extend(bound);
    }

    // Ties the types of `return` and `?` to the signature, so that a mismatch is reported where the author made it.
    let at_result = Span::mixed_site().located_at(result.span());
    let (anchor, output) = (Ident::new("anchor", at_result), local("output"));
    let mut tokens = quote_spanned! {at_result=>
        #[allow(unreachable_code)]
        if false { let #anchor: #result = loop {}; return #anchor; }
    };
    tokens.extend(renamed.unwrap_or_else(|| braces.stream()));
    let mut body = Group::new(Delimiter::Brace, tokens);
    body.set_span(braces.span());
    // Before edition 2024 the temporaries of a tail expression outlive the locals of its block: the body ends first.
    quote_spanned! {Span::mixed_site().located_at(place_of_async(model))=>
        move || {
            #own
            async move {
                #bind
                let #output: #result = #body;
                #output
            }
        }
    }
}

/// What an argument needs outside the flight, to be owned, and inside, to look to the body as it was declared.
fn own_input(model: &Model, input: &Input) -> (TokenStream, TokenStream) {
    let private = private(model);
    let Input { name, pattern, attributes, ty, passing } = input;
    let declared = pattern.as_ref().map_or_else(|| name.to_token_stream(), ToTokens::to_token_stream);
    let (owned, borrow) = match passing {
        Passing::Value if pattern.is_none() => return (TokenStream::new(), TokenStream::new()),
        Passing::Value => return (TokenStream::new(), quote!(#(#attributes)* let #declared = #name;)),
        Passing::Reference => (located_macro(model, "own", name.to_token_stream()), quote!(Borrow::borrow)),
        Passing::OptionalReference => (quote!(#private::own_option(#name)), quote!(borrow_option)),
    };
    let ty = without_lifetimes(ty);
    (quote!(let #name = #owned;), quote!(#(#attributes)* let #declared: #ty = #private::#borrow(&#name);))
}

/// A function of ours with the visibility and the generics of the author's.
struct Declaration {
    inputs: Vec<TokenStream>,
    output: TokenStream,
    body: TokenStream,
}

impl Declaration {
    fn named(&self, name: &Ident, model: &Model) -> TokenStream {
        let (visibility, function) = (&model.item.visibility, self.private(name, model));
        quote!(#visibility #function)
    }

    fn private(&self, name: &Ident, model: &Model) -> TokenStream {
        let Declaration { inputs, output, body } = self;
        let generics = &model.item.signature.generics;
        let bounds = &generics.where_clause;
        quote!(fn #name #generics(#(#inputs),*) #output #bounds { #body })
    }
}

/// The arguments as a signature declares them.
fn all_inputs(model: &Model) -> Vec<TokenStream> {
    receiver(model).into_iter().chain(model.item.inputs.iter().map(declared)).collect()
}

/// Those of them that the key is made of.
fn key_inputs(model: &Model) -> Vec<TokenStream> {
    let mentions = &model.key.mentions;
    let inputs = mentions.inputs.iter().map(|position| declared(&model.item.inputs[*position]));
    receiver(model).filter(|_| mentions.receiver).into_iter().chain(inputs).collect()
}

fn receiver(model: &Model) -> Option<TokenStream> {
    let receiver = model.item.receiver.as_ref()?.written.clone();
    Some(Receiver { mutability: None, ..receiver }.into_token_stream())
}

fn declared(input: &Input) -> TokenStream {
    let Input { name, attributes, ty, .. } = input;
    quote!(#(#attributes)* #name: #ty)
}

/// `-> impl Future<…> + Send`, in the place of the word `async`.
fn future(model: &Model) -> TokenStream {
    let result = &model.item.output;
    quote_spanned! {Span::mixed_site().located_at(place_of_async(model))=>
        -> impl ::core::future::Future<Output = #result> + ::core::marker::Send
    }
}

fn place_of_async(model: &Model) -> Span {
    let signature = &model.item.signature;
    signature.asyncness.map_or(signature.fn_token.span, |asyncness| asyncness.span)
}

/// The attributes that a companion shares with its function: where it exists, and whether it is shown.
fn shared_attributes(model: &Model) -> TokenStream {
    let shared = model.item.attributes.iter().filter(|attribute| {
        attribute.path().is_ident("cfg")
            || attribute.path().is_ident("doc") && attribute.parse_args::<Ident>().is_ok_and(|word| word == "hidden")
    });
    quote!(#(#shared)*)
}

fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

fn private(model: &Model) -> TokenStream {
    model.runtime.private(Span::mixed_site())
}

/// `self, topic, n`
fn arguments(model: &Model) -> TokenStream {
    let receiver = model.item.receiver.iter().map(|receiver| receiver.written.self_token.to_token_stream());
    let names = receiver.chain(model.item.inputs.iter().map(|input| input.name.to_token_stream()));
    quote!(#(#names),*)
}

/// `::<T, N>`
fn turbofish(model: &Model) -> TokenStream {
    let names: Vec<&Ident> = model
        .item
        .signature
        .generics
        .params
        .iter()
        .filter_map(|param| match param {
            GenericParam::Lifetime(_) => None,
            GenericParam::Type(param) => Some(&param.ident),
            GenericParam::Const(param) => Some(&param.ident),
        })
        .collect();
    if names.is_empty() { TokenStream::new() } else { quote!(::<#(#names),*>) }
}
