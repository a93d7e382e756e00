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
use syn::{GenericParam, LitStr, Pat, Receiver};

use crate::args::STEPS;
use crate::body::rename_self;
use crate::companion;
use crate::item::{Input, SelfPassing, only_looking};
use crate::key::{Mentions, Shape, Value};
use crate::model::{Companion, Model, Setting, Stored};
use crate::types::{Passing, without_lifetimes};

pub(crate) fn expand(model: &Model) -> TokenStream {
    let function = function(model);
    let companion = match &model.companion {
        Companion::None => TokenStream::new(),
        Companion::Struct(name) => companion::beside(model, name),
        Companion::Siblings(prefix) => companion::siblings(model, prefix),
    };
    quote!(#function #companion)
}

/// The author's function: it boards a flight, and brings its body along in case it is the first.
fn function(model: &Model) -> TokenStream {
    let attributes = &model.item.attributes;
    let at = Span::mixed_site().located_at(place_of_way(model));
    let boarding = Ident::new("boarding", at);
    let board = board(model, &boarding);
    let body = body(model);
    let (lints, body) = if model.item.is_sync() {
        let run = Ident::new(if model.item.stays { "run" } else { "run_detached" }, at);
        (TokenStream::new(), quote_spanned!(at=> #board #boarding.#run(#body)))
    } else {
        let fly = Ident::new(if model.item.stays { "fly_attached" } else { "fly" }, at);
        let (held, fly) = (held(model), quote_spanned!(at=> #boarding.#fly(#body).await));
        (quote!(#[allow(clippy::manual_async_fn, refining_impl_trait)]), quote!(async move { #board #held #fly }))
    };
    let declaration = Declaration { inputs: all_inputs(model), output: output(model), body };
    let function = declaration.named(&model.item.signature.ident, model);
    quote! {
        #(#attributes)*
        #lints
        #function
    }
}

/// Looks for the key; the function ends here with what is kept.
fn board(model: &Model, boarding: &Ident) -> TokenStream {
    let (board, kept) = (ask(model, "board", &TokenStream::new()), local("kept"));
    let tagged = tags_of(model).map(|tags| {
        quote! {
            #[allow(clippy::used_underscore_binding)]
            let #boarding = #boarding.tagged(|| #tags);
        }
    });
    quote! {
        #[allow(clippy::redundant_closure, clippy::redundant_closure_for_method_calls, clippy::used_underscore_binding)]
        let #boarding = match { #board } {
            ::core::result::Result::Ok(#kept) => return #kept,
            ::core::result::Result::Err(#boarding) => #boarding,
        };
        #tagged
    }
}

/// The tags of a call, as an expression.
pub(crate) fn tags_of(model: &Model) -> Option<TokenStream> {
    let tags = model.tags.as_ref()?;
    let looks = tags.mentions.patterns.iter().filter_map(|position| look_into(&model.item.inputs[*position]));
    let texts = &tags.texts;
    Some(quote!({ #(#looks)* ::std::vec![#(#texts),*] }))
}

/// An expression for the site, and the items that it needs beside it.
pub(crate) fn here(model: &Model) -> (TokenStream, TokenStream) {
    let turbofish = turbofish(model);
    match &model.companion {
        Companion::None => site(model),
        Companion::Struct(name) => (TokenStream::new(), quote!(#name::__site #turbofish())),
        Companion::Siblings(prefix) => {
            let site = sibling_site(prefix);
            (TokenStream::new(), quote!(Self::#site #turbofish()))
        }
    }
}

pub(crate) fn sibling_site(prefix: &Ident) -> Ident {
    format_ident!("__{prefix}_site", span = Span::mixed_site())
}

/// The site itself and how this instantiation sees it: the type of the closure tells those of a generic function apart.
pub(crate) fn site(model: &Model) -> (TokenStream, TokenStream) {
    let private = private(model);
    let function = model.item.signature.ident.unraw().to_string();
    let options = settings(&model.options);
    let hooks = settings(&model.hooks);
    let share = located_macro(model, "share", model.item.output.to_token_stream());
    let site = quote!(static __SITE: #private::Site = #private::Site::new(::core::module_path!(), #function););
    let here = quote!(#private::Here::new(&__SITE, || #private::Options::new() #options, #share) #hooks);
    let Some(stored) = &model.stored else { return (site, here) };
    let noted = stored.backend.as_ref().map(|backend| noted(model, stored, backend));
    // What the type of the value lacks is reported at the result, where this name stands.
    let named = Ident::new("here", Span::mixed_site().located_at(model.item.output.span()));
    let carried = stored.carry.map(|carry| {
        let carry = located_macro(model, carry, model.item.output.to_token_stream());
        quote!(.carried(#carry))
    });
    let stored = Ident::new(stored.verb, named.span());
    (quote!(#site #noted let #named = #here;), quote_spanned!(named.span()=> #named.#stored() #carried))
}

/// Values are kept in a backend, too: that is known at startup.
fn noted(model: &Model, Stored { verb, namespace, .. }: &Stored, backend: &LitStr) -> TokenStream {
    let (private, function) = (private(model), model.item.signature.ident.unraw().to_string());
    let noted = format_ident!("{verb}_site");
    let namespace = namespace.as_ref().map_or_else(
        || quote!(::core::option::Option::None),
        |namespace| quote!(::core::option::Option::Some(#namespace)),
    );
    quote!(#private::#noted! { #function, #namespace, #backend })
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

/// `site.verb(key, more)` in a scope of its own. What the key refers to lives until the verb is done.
pub(crate) fn ask(model: &Model, verb: &str, more: &TokenStream) -> TokenStream {
    let private = private(model);
    let (mut items, here) = here(model);
    items.extend(model.key.mentions.patterns.iter().filter_map(|position| look_into(&model.item.inputs[*position])));
    let has_parts = match &model.key.shape {
        Shape::Parts(parts) => !parts.is_empty(),
        Shape::Meaning { tenant, parts, .. } => tenant.is_some() || !parts.is_empty(),
        Shape::Text(..) | Shape::Content(..) => false,
    };
    if has_parts {
        items.extend(quote!(use #private::parts::*;));
    }
    let key = match &model.key.shape {
        Shape::Parts(parts) => list_of_parts(model, parts),
        Shape::Meaning { question, tenant, parts } => {
            let question = located_macro(model, "question", question.clone());
            let tenant = tenant
                .as_ref()
                .map_or_else(|| quote!(#private::NoTenant), |tenant| located_macro(model, "tenant", tenant.clone()));
            let parts = list_of_parts(model, parts);
            quote!(#private::Meaning::new(#question, #tenant, #parts))
        }
        Shape::Text(format, values) => {
            let values = values.iter().map(|Value { place, spec, stop }| {
                let formatted = quote!(::core::format_args!(#spec, #place));
                stop.map_or(formatted.clone(), |stop| quote!(#private::Escaped(#formatted, #stop)))
            });
            quote!(#private::text(::core::format_args!(#format #(, #values)*)))
        }
        Shape::Content(steps, fields) => {
            let steps = STEPS.iter().zip(steps).map(|(step, taken)| {
                let step = local(step);
                quote!(#step: #taken)
            });
            let fields = fields.iter().map(|(name, value)| quote!(.field(#name, #value)));
            quote!(#private::Content::new(#private::Steps { #(#steps),* }) #(#fields)*.digest())
        }
    };
    let verb = local(verb);
    quote!(#items #here.#verb(#key #more))
}

fn list_of_parts(model: &Model, parts: &[TokenStream]) -> TokenStream {
    let private = private(model);
    let part_macro = if model.stored.is_some() { "fed_part" } else { "part" };
    parts.iter().rev().fold(quote!(#private::Nil), |rest, part| {
        let part = located_macro(model, part_macro, part.clone());
        quote!(#private::Cons(#part, #rest))
    })
}

/// A closure that makes the author's body or, where that is sync and stays, is it. It runs only if this caller is the
/// first.
fn body(model: &Model) -> TokenStream {
    let item = &model.item;
    let (result, braces) = (&item.output, &item.body);
    let Moved { own, bind, body } = if item.stays { stays(model) } else { leaves(model) };
    let mut group = Group::new(Delimiter::Brace, body);
    group.set_span(braces.span());
    let output = local("output");
    let at = Span::mixed_site().located_at(place_of_way(model));
    // Before edition 2024 the temporaries of a tail expression outlive the locals of its block: the body ends first.
    let ended = quote! {
        #[allow(clippy::diverging_sub_expression, unused_braces)]
        let #output: #result = #group;
        #[allow(unreachable_code)]
        return #output;
    };
    if item.is_sync() {
        let body = quote_spanned!(at=> move || -> #result { #bind #ended });
        return if item.stays { body } else { quote_spanned!(at=> move || { #own #body }) };
    }
    // Ties the types of `return` and `?` to the signature, so that a mismatch is reported where the author made it.
    let at_result = Span::mixed_site().located_at(result.span());
    let anchor = Ident::new("anchor", at_result);
    let anchored = quote_spanned! {at_result=>
        #[allow(unreachable_code)]
        if false { let #anchor: #result = loop {}; return #anchor; }
    };
    quote_spanned!(at=> move || { #own async move { #bind #anchored #ended } })
}

/// Gives a key the names in an argument's pattern. The argument stays whole: the body takes it apart once more.
fn look_into(input: &Input) -> Option<TokenStream> {
    let (Input { name, passing, .. }, pattern) = (input, only_looking(input.pattern.as_ref()?));
    let whole = if *passing == Passing::Reference { quote!(#name) } else { quote!(&#name) };
    Some(quote! {
        #[allow(unused_variables)]
        let #pattern = #whole;
    })
}

/// The author's body on its way into the flight.
struct Moved {
    /// Makes its arguments owned, in the call.
    own: TokenStream,
    /// Makes them look to it as they were declared, in the flight.
    bind: TokenStream,
    body: TokenStream,
}

/// The body stays in the call, and its arguments are what they were.
fn stays(model: &Model) -> Moved {
    let patterns = model.item.inputs.iter().filter(|input| !is_ignored(input)).filter_map(bind_pattern);
    let (mut bind, mut body) = (patterns.collect::<TokenStream>(), model.item.body.stream());
    // The signature has no place for a `mut self`, and a `let` none for the word.
    let mutable = model
        .item
        .receiver
        .as_ref()
        .filter(|receiver| receiver.passing == SelfPassing::Value && receiver.written.mutability.is_some());
    if let Some(receiver) = mutable {
        let (this, word) = (local("this"), receiver.written.self_token);
        if let Some(renamed) = rename_self(body.clone(), &this) {
            bind.extend(quote!(let mut #this = #word;));
            body = renamed;
        }
    }
    Moved { own: TokenStream::new(), bind, body }
}

/// The body leaves the call, and owns what it mentions.
fn leaves(model: &Model) -> Moved {
    let private = private(model);
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
        if is_ignored(input) || input.pattern.is_none() && !mentioned.contains(&position) {
            continue;
        }
        let (owned, bound) = own_input(model, input);
        own.extend(owned);
        bind.extend(bound);
    }

    Moved { own, bind, body: renamed.unwrap_or_else(|| braces.stream()) }
}

/// `_`
fn is_ignored(input: &Input) -> bool {
    matches!(input.pattern, Some(Pat::Wild(_)))
}

/// Takes an argument apart. It moves in whole first: what the pattern leaves lives as long as the rest.
fn bind_pattern(input: &Input) -> Option<TokenStream> {
    let (Input { name, attributes, .. }, pattern) = (input, input.pattern.as_ref()?);
    if input.is_named {
        return Some(quote!(#(#attributes)* let #pattern = #name;));
    }
    let whole = local("whole");
    Some(quote! {
        #[allow(unused_mut)]
        let mut #whole = #name;
        #(#attributes)* let #pattern = #whole;
    })
}

/// What nobody names lives until the call ends, as in every function: it may be a guard.
fn held(model: &Model) -> Option<TokenStream> {
    let mentions = Mentions::of(model.item.body.stream(), &model.item);
    let this = model.item.receiver.as_ref().filter(|_| !mentions.receiver);
    let this =
        this.filter(|this| this.passing == SelfPassing::Value).map(|this| this.written.self_token.to_token_stream());
    let inputs = model.item.inputs.iter().enumerate().filter(|(position, input)| {
        let is_unnamed = is_ignored(input) || input.pattern.is_none() && !mentions.inputs.contains(position);
        is_unnamed && matches!(input.passing, Passing::Value | Passing::Cow)
    });
    let names: Vec<TokenStream> =
        this.into_iter().chain(inputs.map(|(_, input)| input.name.to_token_stream())).collect();
    let held = local("_held");
    (!names.is_empty()).then(|| {
        quote! {
            #[allow(clippy::used_underscore_binding)]
            let #held = (#(#names,)*);
        }
    })
}

/// What an argument needs outside the flight, to be owned, and inside, to look to the body as it was declared.
fn own_input(model: &Model, input: &Input) -> (TokenStream, TokenStream) {
    let private = private(model);
    let Input { name, pattern, attributes, ty, passing, .. } = input;
    let declared = pattern.as_ref().map_or_else(|| name.to_token_stream(), ToTokens::to_token_stream);
    let (owned, borrowed) = match passing {
        Passing::Value if pattern.is_none() => return (TokenStream::new(), TokenStream::new()),
        Passing::Value => return (TokenStream::new(), bind_pattern(input).unwrap_or_default()),
        Passing::Reference => {
            (located_macro(model, "own", name.to_token_stream()), quote!(#private::Borrow::borrow(&#name)))
        }
        Passing::OptionalReference => (quote!(#private::own_option(#name)), quote!(#private::borrow_option(&#name))),
        Passing::Cow => (quote!(#private::own_cow(#name)), name.to_token_stream()),
    };
    let ty = without_lifetimes(ty);
    (quote!(let #name = #owned;), quote!(#(#attributes)* let #declared: #ty = #borrowed;))
}

/// A function of ours with the visibility and the generics of the author's.
pub(crate) struct Declaration {
    pub(crate) inputs: Vec<TokenStream>,
    pub(crate) output: TokenStream,
    pub(crate) body: TokenStream,
}

impl Declaration {
    pub(crate) fn named(&self, name: &Ident, model: &Model) -> TokenStream {
        let (visibility, function) = (&model.item.visibility, self.private(name, model));
        quote!(#visibility #function)
    }

    pub(crate) fn private(&self, name: &Ident, model: &Model) -> TokenStream {
        let Declaration { inputs, output, body } = self;
        let generics = &model.item.signature.generics;
        let bounds = &generics.where_clause;
        quote!(fn #name #generics(#(#inputs),*) #output #bounds { #body })
    }
}

/// The arguments, declared under names that the author cannot mean: one of them may be called as the function is.
pub(crate) fn all_inputs_unseen(model: &Model) -> (Vec<TokenStream>, TokenStream) {
    let unseen = |input: &Input| {
        let mut name = input.name.clone();
        name.set_span(Span::mixed_site().located_at(name.span()));
        name
    };
    let names: Vec<Ident> = model.item.inputs.iter().map(unseen).collect();
    let declared = names
        .iter()
        .zip(&model.item.inputs)
        .map(|(name, Input { attributes, ty, .. })| quote!(#(#attributes)* #name: #ty));
    let word = model.item.receiver.iter().map(|receiver| receiver.written.self_token.to_token_stream());
    let arguments = word.chain(names.iter().map(ToTokens::to_token_stream));
    (receiver(model).into_iter().chain(declared).collect(), quote!(#(#arguments),*))
}

/// The arguments as a signature declares them.
pub(crate) fn all_inputs(model: &Model) -> Vec<TokenStream> {
    receiver(model).into_iter().chain(model.item.inputs.iter().map(declared)).collect()
}

/// Those of them that the key is made of.
pub(crate) fn key_inputs(model: &Model) -> Vec<TokenStream> {
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

/// What a function that makes a call returns: `-> impl Future<…>` in the place of the word `async`, or what the author's
/// does.
pub(crate) fn output(model: &Model) -> TokenStream {
    if model.item.is_sync() {
        return model.item.signature.output.to_token_stream();
    }
    let result = &model.item.output;
    let at = Span::mixed_site().located_at(place_of_way(model));
    // A body that stays decides for itself whether it is `Send`.
    let send = (!model.item.stays).then(|| quote_spanned!(at=> + ::core::marker::Send));
    quote_spanned!(at=> -> impl ::core::future::Future<Output = #result> #send)
}

/// Where the author said how the body runs: at `async`, or where it would stand.
fn place_of_way(model: &Model) -> Span {
    let signature = &model.item.signature;
    signature.asyncness.map_or(signature.fn_token.span, |asyncness| asyncness.span)
}

pub(crate) fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

pub(crate) fn private(model: &Model) -> TokenStream {
    model.runtime.private(Span::mixed_site())
}

/// `::<T, N>`
pub(crate) fn turbofish(model: &Model) -> TokenStream {
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
