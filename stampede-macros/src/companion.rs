//! What stands beside a shared function, to act on its keys and to ask about it: [`Model`] → tokens.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;

use crate::expand::{
    Declaration, all_inputs_unseen, ask, here, key_inputs, local, output, private, sibling_site, site, tags_of,
    turbofish,
};
use crate::key::Shape;
use crate::model::Model;

/// A struct beside a free function: it may have the function's name, so that one import brings both.
pub(crate) fn beside(model: &Model, name: &Ident) -> TokenStream {
    let (visibility, attributes) = (&model.item.visibility, shared_attributes(model));
    let doc = format!(" What can be done about the calls of `{}`.", model.item.signature.ident.unraw());
    let (site, lints) = (site_function(model, &local("__site")), lints());
    let functions = functions(model, &TokenStream::new()).into_iter().map(|(verb, doc, declaration)| {
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
pub(crate) fn siblings(model: &Model, prefix: &Ident) -> TokenStream {
    let attributes = shared_attributes(model);
    let (site, lints) = (site_function(model, &sibling_site(prefix)), lints());
    let functions = functions(model, &quote!(Self::)).into_iter().map(|(verb, doc, declaration)| {
        let function = declaration.named(&format_ident!("{prefix}_{verb}", span = prefix.span()), model);
        quote!(#[doc = #doc] #attributes #lints #function)
    });
    quote! {
        #attributes
        #lints
        #site
        #(#functions)*
    }
}

/// What the author's signature may break when it is repeated by us, and a closure of the attribute that is clearer than a
/// path.
fn lints() -> TokenStream {
    quote! {
        #[allow(
            dead_code, deprecated, elided_lifetimes_in_paths, single_use_lifetimes, unused_lifetimes,
            clippy::boxed_local, clippy::ref_option, clippy::ref_option_ref, clippy::redundant_closure, clippy::redundant_closure_for_method_calls, clippy::too_many_arguments,
            clippy::used_underscore_binding
        )]
    }
}

/// The functions of a companion: verb, documentation, declaration. `owner` leads to the author's function.
fn functions(model: &Model, owner: &TokenStream) -> Vec<(&'static str, &'static str, Declaration)> {
    let private = private(model);
    let ((_, here), result) = (here(model), &model.item.output);
    let (function, turbofish) = (&model.item.signature.ident, turbofish(model));
    let (all_inputs, arguments) = all_inputs_unseen(model);
    let value = local("value");
    let call = quote!(#owner #function #turbofish(#arguments));
    let refresh =
        if model.item.is_sync() { quote!(#here.refreshing_now(|| #call)) } else { quote!(#here.refreshing(#call)) };

    let with_value =
        key_inputs(model).into_iter().chain([quote!(#value: impl #private::IntoResult<#result>)]).collect();
    let insert = match tags_of(model) {
        None => ask(model, "insert", &quote!(, #value)),
        Some(tags) => ask(model, "insert_tagged", &quote!(, #value, #tags)),
    };
    let declare = |inputs, output, body| Declaration { inputs, output, body };
    let text = matches!(model.key.shape, Shape::Text(..)).then(|| {
        let pattern = local("pattern");
        (
            "invalidate_pattern",
            " Forgets the results of all keys that match: `*` is any text, `?` one character, `[a-z]` one of several.",
            declare(
                vec![quote!(#pattern: &str)],
                quote!(-> #private::Invalidation),
                quote!(#here.invalidate_pattern(#pattern)),
            ),
        )
    });
    let mut functions = vec![
        (
            "invalidate",
            " Forgets the result of this key: in this process before the function returns.",
            declare(
                key_inputs(model),
                quote!(-> #private::Invalidation),
                ask(model, "invalidate", &TokenStream::new()),
            ),
        ),
        (
            "expire",
            " Makes the result of this key old: it is served no more, but to stand in for an error where `stale_if_error` says so.",
            declare(key_inputs(model), quote!(-> #private::Invalidation), ask(model, "expire", &TokenStream::new())),
        ),
        (
            "invalidation",
            " What forgets the result of this key when it is called.",
            declare(key_inputs(model), quote!(-> #private::Later), ask(model, "invalidation", &TokenStream::new())),
        ),
        (
            "invalidate_where",
            " Forgets the kept results of this process that are meant, and what is in the air. Returns how many there were.",
            declare(
                vec![quote!(#value: impl ::core::ops::Fn(&#result) -> bool)],
                quote!(-> usize),
                quote!(#here.invalidate_where(#value)),
            ),
        ),
        (
            "peek",
            " What a call would be answered with from memory now.",
            declare(
                key_inputs(model),
                quote!(-> ::core::option::Option<#result>),
                ask(model, "peek", &TokenStream::new()),
            ),
        ),
        (
            "insert",
            " Keeps a value, or a whole result, as if a call had returned it.",
            declare(with_value, TokenStream::new(), insert),
        ),
        (
            "refresh",
            " Runs the function anew, whatever is kept, and keeps its result.",
            declare(all_inputs, output(model), refresh),
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
    ];
    functions.extend(text);
    functions
}

/// The function that holds the site when a companion must reach it too.
fn site_function(model: &Model, name: &Ident) -> TokenStream {
    let private = private(model);
    let result = &model.item.output;
    let (items, here) = site(model);
    let declaration = Declaration {
        inputs: Vec::new(),
        output: quote! {
            -> #private::Here<
                impl ::core::ops::Fn() -> #private::Options
                    + ::core::marker::Copy + ::core::marker::Send + ::core::marker::Sync + 'static,
                impl #private::Share<Output = #result>,
            >
        },
        body: quote!(#items #here),
    };
    declaration.private(name, model)
}

/// The attributes that a companion shares with its function: where it exists, and whether it is shown.
fn shared_attributes(model: &Model) -> TokenStream {
    let shared = model.item.attributes.iter().filter(|attribute| {
        attribute.path().is_ident("cfg")
            || attribute.path().is_ident("doc") && attribute.parse_args::<Ident>().is_ok_and(|word| word == "hidden")
    });
    quote!(#(#shared)*)
}
