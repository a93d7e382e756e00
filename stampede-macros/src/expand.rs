//! [`Model`] → tokens. Address labels only: what could be wrong was decided in `model`, what must be done is done in
//! the runtime.
//!
//! Our locals carry `Span::mixed_site()`, so no argument can clash with them. Items are not hygienic: the static of the
//! site stands in a block of its own, which does not enclose the author's body.
//!
//! The returned future borrows every argument until it boards. No lifetime says so: an `impl Trait` written by a macro
//! of edition 2024 captures all of them, in callers of every edition.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::GenericParam;
use syn::ext::IdentExt;

use crate::args::STEPS;
use crate::body;
use crate::item::{Input, SelfPassing};
use crate::key::Shape;
use crate::model::{Companion, Model, Setting};
use crate::types::{self, Passing};

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
    let (here, key, body) = (here(model), key(model), body(model));
    let boarding = local("boarding");
    let function = declare(model, &model.item.signature.ident, &all_inputs(model), &future(model), &quote! {
        async move {
            let #boarding = #here.board(#key);
            #boarding.fly(#body).await
        }
    });
    quote! {
        #(#attributes)*
        #[allow(clippy::manual_async_fn, refining_impl_trait)]
        #function
    }
}

/// A struct beside a free function: it may have the function's name, so that one import brings both.
fn companion_struct(model: &Model, name: &Ident) -> TokenStream {
    let (visibility, attributes) = (&model.item.visibility, shared_attributes(model));
    let doc = format!("What can be done about the calls of `{}`.", model.item.signature.ident.unraw());
    let site = site_function(model, &local("__site"));
    let functions = companion_functions(model, &TokenStream::new()).map(|(verb, doc, declare)| {
        let function = declare(&local(verb));
        quote!(#[doc = #doc] #function)
    });
    quote! {
        #[doc = #doc]
        #attributes
        #[allow(non_camel_case_types)]
        #visibility struct #name {}

        #attributes
        #[allow(dead_code)]
        impl #name {
            #site
            #(#functions)*
        }
    }
}

/// The same functions beside a method, where no struct can stand.
fn companion_siblings(model: &Model, prefix: &Ident) -> TokenStream {
    let attributes = shared_attributes(model);
    let site = site_function(model, &sibling_site(prefix));
    let functions = companion_functions(model, &quote!(Self::)).map(|(verb, doc, declare)| {
        let function = declare(&format_ident!("{prefix}_{verb}", span = prefix.span()));
        quote!(#[doc = #doc] #attributes #[allow(dead_code)] #function)
    });
    quote! {
        #attributes
        #site
        #(#functions)*
    }
}
