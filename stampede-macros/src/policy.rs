//! The words of the policy: the rules between them, and how the runtime is told.

use std::time::Duration;

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, GenericParam};

use crate::args::{Args, Time};
use crate::errors::{Errors, all};
use crate::item::Item;
use crate::model::{Runtime, Setting};
use crate::types;
use crate::words::Attribute;

/// Words that let the body of a sync function go on without its caller.
pub(crate) const LEAVING: &[&str] = &["stale", "early", "soft_timeout", "timeout", "shadow"];

/// Reports what cannot be meant.
pub(crate) fn check(args: &Args, item: &Item, errors: &mut Errors) {
    check_kept(args, errors);
    check_times(args, errors);
    check_way(args, item, errors);
    check_trust(args, errors);
    check_backend(args, item, errors);
}

/// What is about kept values needs some.
fn check_kept(args: &Args, errors: &mut Errors) {
    let has = |word: &str| args.word(word).is_some();
    let is_none = args.given.ttl.as_ref().and_then(Time::fixed) == Some(Duration::ZERO);
    if (has("ttl") || args.attribute.is_stored()) && !is_none {
        if let (Some(at), Some(Time::OfResult(_))) = (args.word("none_ttl"), &args.given.ttl) {
            errors.at(at, "the closure of `ttl` is asked about `None`, too; say it there, and remove `none_ttl`");
        }
        return;
    }
    if args.attribute == Attribute::Cached {
        let message = "`#[cached]` needs a `ttl`, such as `ttl = \"5m\"`; for what is shared in flight only there is \
                       `#[coalesce]`";
        return errors.push(syn::Error::new(Span::call_site(), message));
    }
    for (word, does) in [
        ("stale", "serves"),
        ("stale_if_error", "serves"),
        ("early", "renews"),
        ("jitter", "spreads the ends of"),
        ("cache_if", "chooses"),
        ("none_ttl", "limits"),
        ("capacity", "bounds"),
        ("weigh", "weighs"),
        ("tags", "mark"),
    ] {
        // Kept errors have an end and take up room, too.
        let is_for_errors = has("cache_err") && ["jitter", "capacity"].contains(&word);
        if let Some(at) = args.word(word).filter(|_| !is_for_errors) {
            let advice = if is_none {
                "with `ttl = none` nothing is; remove one of the two"
            } else {
                "without `ttl` nothing is; add `ttl = \"5m\"`, or remove it"
            };
            errors.at(at, format!("`{word}` {does} what is kept, and {advice}"));
        }
    }
}

/// A time that another one makes meaningless.
fn check_times(args: &Args, errors: &mut Errors) {
    let given = &args.given;
    if let (Some(at), None) = (args.word("soft_timeout"), args.word("stale_if_error")) {
        errors.at(
            at,
            "after `soft_timeout` a caller is given an old value, and without `stale_if_error` none is left; add \
             `stale_if_error = \"1h\"`",
        );
    }
    let fixed = |time: &Option<Time>| time.as_ref().and_then(Time::fixed);
    let limits = [("timeout", fixed(&given.timeout)), ("wait", fixed(&given.wait))];
    for (limit, time) in limits {
        if let (Some(at), Some(soft), Some(time)) = (args.word("soft_timeout"), fixed(&given.soft_timeout), time)
            && soft >= time
        {
            errors.at(
                at,
                format!("`{limit}` ends a call before `soft_timeout` can answer it; make `soft_timeout` shorter"),
            );
        }
    }
    if let (Some(at), Some(error), Some(stale)) =
        (args.word("stale_if_error"), fixed(&given.stale_if_error), fixed(&given.stale))
        && error <= stale
    {
        errors.at(
            at,
            "for as long as `stale` lasts no caller sees an error; make `stale_if_error` longer than it, or remove it",
        );
    }
}

/// Which words go with the way that the body runs.
fn check_way(args: &Args, item: &Item, errors: &mut Errors) {
    let Some(attached) = args.word("attached") else {
        if let (true, Some(at)) = (item.is_sync(), args.word("on_abandon")) {
            errors.at(at, "a sync body that has begun runs to its end; remove `on_abandon`");
        }
        return;
    };
    if item.is_sync() {
        let leaving = args.words(LEAVING).collect::<Vec<_>>();
        let message = if leaving.is_empty() {
            "a sync body stays in its call anyway; remove `attached`".to_owned()
        } else {
            format!("with {} a sync body may have to leave its call; remove `attached`", all(leaving))
        };
        errors.at(attached, message);
        return;
    }
    let behind = args.words(&["stale", "early", "soft_timeout", "shadow"]).collect::<Vec<_>>();
    if !behind.is_empty() {
        let message = format!(
            "an attached body ends with its caller, so nothing can go on behind it; remove `attached`, or {}",
            all(behind)
        );
        errors.at(attached, message);
    }
    if args.given.finish_abandoned {
        errors.at(
            attached,
            "an attached body ends with its caller, so nothing is left to finish; remove `on_abandon` or `attached`",
        );
    }
}

/// What is about near hits needs somebody who knows whether they are right.
fn check_trust(args: &Args, errors: &mut Errors) {
    let has = |word: &str| args.word(word).is_some();
    if !has("verify") {
        for at in args.words(&["verify_timeout", "verify_concurrent"]) {
            errors.at(at, format!("`{at}` bounds what `verify` asks; add `verify = function`, or remove it"));
        }
    }
    if let (Some(at), false) = (args.word("agree"), has("shadow")) {
        errors
            .at(at, "`agree` compares what `shadow` executes with what was served; add `shadow = 0.01`, or remove it");
    }
    if let (Some(at), false) = (args.word("max_error"), has("verify") || has("shadow")) {
        errors.at(
            at,
            "what is an error, `max_error` learns from `verify` or from `shadow`; add `verify = function` or `shadow = 0.01`",
        );
    }
}

/// What is kept outside of the process is found by name.
fn check_backend(args: &Args, item: &Item, errors: &mut Errors) {
    let backend = args.word("backend");
    if backend.is_none() && !args.attribute.is_stored() {
        if let Some(at) = args.word("version") {
            errors.at(at, "`version` is of what a backend keeps; add `backend = \"…\"`, or remove it");
        }
        return;
    }
    if args.word("namespace").is_some() {
        return;
    }
    let is_param = |param: &GenericParam| !matches!(param, GenericParam::Lifetime(_));
    let is_generic = item.signature.generics.params.iter().any(is_param)
        || item.inputs.iter().any(|input| types::has_impl_trait(&input.ty));
    let what = if item.receiver.is_some() || args.word("method").is_some() {
        "methods of several types have one path"
    } else if is_generic {
        "the instantiations of a generic function have one path"
    } else {
        return;
    };
    let message = format!("{what}, and a backend finds values by name; add `namespace = \"…\"`");
    errors.push(syn::Error::new(backend.map_or_else(Span::call_site, Ident::span), message));
}

/// What is evaluated at the first call.
pub(crate) fn options(args: &Args, item: &Item, runtime: &Runtime) -> Vec<Setting> {
    let given = &args.given;
    let is_distributed = args.attribute.is_distributed();
    let is_semantic = args.attribute == Attribute::SemanticCoalesce;
    let time = |time: &Option<Time>| match time {
        Some(Time::Fixed(time)) => {
            let private = runtime.private(Span::mixed_site());
            let seconds = Literal::u64_unsuffixed(time.as_secs());
            let nanos = Literal::u32_unsuffixed(time.subsec_nanos());
            Some(quote!(#private::Duration::new(#seconds, #nanos)))
        }
        Some(Time::Computed(expression)) => Some(expression.to_token_stream()),
        Some(Time::OfResult(_)) | None => None,
    };
    let values = [
        ("namespace", tokens(given.namespace.as_ref())),
        ("ttl", time(&given.ttl)),
        ("stale", time(&given.stale)),
        ("stale_if_error", time(&given.stale_if_error)),
        ("early", tokens(given.early.as_ref())),
        ("jitter", tokens(given.jitter.as_ref())),
        ("none_ttl", time(&given.none_ttl)),
        ("cache_err", time(&given.cache_err)),
        ("capacity", tokens(given.capacity.as_ref())),
        ("timeout", time(&given.timeout)),
        ("soft_timeout", time(&given.soft_timeout)),
        ("wait", time(&given.wait)),
        ("max_concurrent", tokens(given.max_concurrent.as_ref())),
        ("backend", tokens(given.backend.as_ref())),
        ("version", tokens(given.version.as_ref())),
        ("distributed", is_distributed.then(TokenStream::new)),
        ("semantic", is_semantic.then(TokenStream::new)),
        ("threshold", tokens(given.threshold.as_ref())),
        ("guards", given.guards.as_deref().map(guards)),
        ("embed", given.embed.as_ref().map(|embed| embedder(embed, runtime))),
        ("verify_timeout", time(&given.verify_timeout)),
        ("verify_concurrent", tokens(given.verify_concurrent.as_ref())),
        ("shadow", tokens(given.shadow.as_ref())),
        ("max_error", tokens(given.max_error.as_ref())),
        ("lease", time(&given.lease)),
        ("share_errors", tokens(given.share_errors.as_ref())),
        ("instance", (args.attribute.is_stored() || given.backend.is_some()).then(|| instance(item)).flatten()),
        ("finish_abandoned", given.finish_abandoned.then(TokenStream::new)),
        ("blocking", item.is_sync().then(TokenStream::new)),
        ("attached", item.stays.then(TokenStream::new)),
    ];
    let setting = |(method, value): (&str, Option<TokenStream>)| {
        let at = args.word(method).map_or_else(Span::mixed_site, |word| Span::mixed_site().located_at(word.span()));
        Some(Setting { method: Ident::new(method, at), value: value? })
    };
    values.into_iter().filter_map(setting).collect()
}

/// Their names: what they are is the runtime's affair.
fn guards(guards: &[Ident]) -> TokenStream {
    let names = guards.iter().map(ToString::to_string);
    quote!(&[#(#names),*])
}

/// What makes an embedder of what `embed` names, with the name of its model where it has no other.
fn embedder(embed: &Expr, runtime: &Runtime) -> TokenStream {
    let at = Span::mixed_site().located_at(embed.span());
    let private = runtime.private(at);
    let path = embed.to_token_stream().to_string().replace(' ', "");
    quote_spanned!(at=> #private::embedder!(#embed, #path))
}

/// The names of a generic function's types, which tell its instantiations apart outside of the process. None where they
/// have no names: then only the first one is kept there.
fn instance(item: &Item) -> Option<TokenStream> {
    let name = |param: &GenericParam| match param {
        GenericParam::Lifetime(_) => None,
        GenericParam::Type(param) => Some(Some(param.ident.to_token_stream())),
        GenericParam::Const(param) => {
            let (name, is_length) = (&param.ident, param.ty.to_token_stream().to_string() == "usize");
            Some(is_length.then(|| quote!([(); #name])))
        }
    };
    let names: Vec<TokenStream> = item.signature.generics.params.iter().filter_map(name).collect::<Option<_>>()?;
    let types = match &names[..] {
        [] => return None,
        [only] => quote!(#only),
        several => quote!(fn(#(#several),*)),
    };
    Some(quote!(::core::any::type_name::<#types>()))
}

fn tokens(value: Option<&impl ToTokens>) -> Option<TokenStream> {
    value.map(ToTokens::to_token_stream)
}

/// What depends on the type of the result.
pub(crate) fn hooks(args: &Args, item: &Item, runtime: &Runtime) -> Vec<Setting> {
    let given = &args.given;
    let mut hooks = Vec::new();
    let mut set = |method: &str, at: Span, value: TokenStream| {
        hooks.push(Setting { method: Ident::new(method, Span::mixed_site().located_at(at)), value });
    };
    if let Some(predicate) = &given.cache_if {
        set("cache_if", predicate.span(), quote!(#predicate));
    }
    for (word, time) in [("ttl", &given.ttl), ("cache_err", &given.cache_err)] {
        if let Some(Time::OfResult(closure)) = time {
            set(word, closure.span(), quote!(#closure));
        }
    }
    for (word, function) in [("weigh", &given.weigh), ("cost", &given.cost)] {
        if let Some(function) = function {
            set(word, function.span(), quote!(#function));
        }
    }
    if let Some(tags) = given.tags.as_ref().and_then(|tags| tags.of_value.as_ref()) {
        let private = runtime.private(tags.span());
        set("tags", tags.span(), quote_spanned!(tags.span()=> |value| #private::tags_by(value, #tags)));
    }
    let ours = |at: Span, name: &str| {
        let (private, name) = (runtime.private(at), Ident::new(name, Span::mixed_site().located_at(at)));
        quote_spanned!(name.span()=> #private::#name)
    };
    if let Some(verify) = &given.verify {
        let at = verify.span();
        let private = runtime.private(at);
        let inside = Span::mixed_site().located_at(at);
        let [asked, found, value] = ["asked", "found", "value"].map(|name| Ident::new(name, inside));
        // It owns what the function borrows, and so can be told to the runtime as a pointer.
        let verdict = quote_spanned!(inside=> #private::verdict!(#verify, #asked, #found, #value));
        let owned = quote_spanned! {inside=>
            |#asked, #found, #value| ::std::boxed::Box::pin(async move { #verdict })
        };
        set("verify", at, owned);
    }
    // What the type of the result has to allow is reported there.
    let at_result = item.output.span();
    if given.none_ttl.is_some() {
        set("is_none", at_result, ours(at_result, "is_none"));
    }
    if given.cache_err.is_some() {
        set("errs", at_result, ours(at_result, "is_err"));
    }
    match (&given.agree, args.word("shadow")) {
        (Some(agree), _) => set("agree", agree.span(), quote!(#agree)),
        (None, Some(shadow)) => set("agree", shadow.span(), ours(shadow.span(), "agree")),
        (None, None) => (),
    }
    // Each of these can end a call without a result. One is enough to ask for: a mistake is reported once.
    if let Some(word) = args.words(&["timeout", "wait", "max_concurrent"]).next() {
        set("refuse", word.span(), ours(word.span(), "refuse"));
    }
    hooks
}
