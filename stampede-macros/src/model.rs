//! What will be built: [`Args`] + [`Item`] → [`Model`]. Every rule between arguments, and between an argument and the
//! function, lives here.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Path, ReceiverKind};

use crate::args::{Args, Time};
use crate::body;
use crate::errors::Errors;
use crate::item::{Item, SelfPassing};
use crate::key::Key;
use crate::types::{self, Owner, Passing};
use crate::words::Attribute;

/// One shared function, complete and legal.
pub(crate) struct Model {
    pub(crate) runtime: Runtime,
    pub(crate) item: Item,
    /// The body stays inside the call that begins the flight.
    pub(crate) is_attached: bool,
    /// The policy, evaluated at the first call.
    pub(crate) options: Vec<Setting>,
    /// What depends on the type of the result.
    pub(crate) hooks: Vec<Setting>,
    pub(crate) key: Key,
    pub(crate) companion: Companion,
}

/// A call of a builder's method.
pub(crate) struct Setting {
    pub(crate) method: Ident,
    pub(crate) value: TokenStream,
}

/// Where the site stands and who can ask about it.
pub(crate) enum Companion {
    /// Inside the function; nobody.
    None,
    /// A struct beside a free function.
    Struct(Ident),
    /// Associated functions that begin with this prefix.
    Siblings(Ident),
}

/// The path of the runtime as this crate knows it.
pub(crate) struct Runtime(TokenStream);

impl Runtime {
    fn new(path: Option<&Path>) -> Runtime {
        Runtime(path.map_or_else(|| quote_spanned!(Span::mixed_site()=> ::stampede_runtime), ToTokens::to_token_stream))
    }

    /// Its one door, as if written at `at`.
    pub(crate) fn private(&self, at: Span) -> TokenStream {
        let Runtime(path) = self;
        let located: TokenStream = path
            .clone()
            .into_iter()
            .map(|mut token| {
                token.set_span(token.span().located_at(at));
                token
            })
            .collect();
        quote_spanned!(Span::mixed_site().located_at(at)=> #located::__private)
    }
}

impl Model {
    pub(crate) fn new(args: &Args, item: Item, errors: &mut Errors) -> Model {
        check(args, errors);
        let key = Key::new(args, &item, errors);
        check_ownership(args, &item, &key, errors);
        let companion = companion(args, &item, errors);
        let runtime = Runtime::new(args.krate.as_ref());
        Model {
            options: options(args, &runtime),
            hooks: hooks(args, &runtime),
            is_attached: args.attached(),
            runtime,
            item,
            key,
            companion,
        }
    }
}

/// Rules between arguments.
fn check(args: &Args, errors: &mut Errors) {
    if args.word("ttl").is_none() {
        for (word, does) in [("capacity", "bounds"), ("cache_if", "chooses")] {
            if let Some(at) = args.word(word) {
                errors.at(
                    at,
                    format!(
                        "`{word}` {does} what is kept, and without `ttl` nothing is; add `ttl = \"5m\"`, or remove it"
                    ),
                );
            }
        }
    }
    if let (true, Some(at)) = (args.finish_abandoned, args.word("attached")) {
        errors.at(
            at,
            "an attached body ends with its caller, so nothing is left to finish; remove `on_abandon` or `attached`",
        );
    }
    for word in ["key", "fields"] {
        if let (Some(_), Some(skip)) = (args.word(word), args.word("skip")) {
            errors
                .at(skip, format!("`{word}` names all that counts, so there is nothing to skip; keep one of the two"));
        }
    }
}

/// A flight owns what its body needs, unless the body is attached; a key always owns what it is made of.
fn check_ownership(args: &Args, item: &Item, key: &Key, errors: &mut Errors) {
    // What `key` was given are expressions, which the compiler judges, and a digest owns nothing.
    let key_owns = args.key.is_none() && args.attribute != Attribute::CoalesceByContent;
    let owner = |is_mentioned: bool| {
        if args.attached() { (is_mentioned && key_owns).then_some(Owner::Key) } else { Some(Owner::Flight) }
    };
    if let Some(receiver) = &item.receiver
        && let ReceiverKind::Typed(_, ty) = &receiver.written.kind
        && receiver.passing == SelfPassing::Value
        && types::borrows(ty)
        && !types::lends_mutably(ty)
        && let Some(owner) = owner(key.mentions.receiver)
    {
        types::report_borrow(&receiver.written, owner, "`&self` or `self: Arc<Self>`", errors);
    }
    for (position, input) in item.inputs.iter().enumerate() {
        types::check(&input.ty, owner(key.mentions.inputs.contains(&position)), errors);
    }
}

/// Whether and where a companion can stand.
fn companion(args: &Args, item: &Item, errors: &mut Errors) -> Companion {
    let method = args.word("method");
    let name = &item.signature.ident;
    if let (Some(method), Some(_)) = (method, &item.receiver) {
        errors.at(method, format!("`{name}` takes `self`, so it is known to be a method; remove `method`"));
    }
    let stands_in_impl = method.is_some() || item.receiver.is_some();
    let companion = match &args.companion {
        Some(none) if none == "none" => Companion::None,
        Some(prefix) if stands_in_impl => Companion::Siblings(prefix.clone()),
        Some(name) => Companion::Struct(name.clone()),
        None if stands_in_impl => Companion::None,
        None => Companion::Struct(name.clone()),
    };
    if let Companion::Struct(_) = companion {
        let (inputs, output, body) = (&item.signature.inputs, &item.output, &item.body);
        if let Some(found) = body::first_self_type(quote!((#inputs) #output #body)) {
            errors.at(
                found,
                format!("`Self` says that `{name}` stands in an `impl`, where no companion fits; say so: `method`"),
            );
        }
    }
    if !matches!(companion, Companion::None)
        && let Some(input) =
            item.inputs.iter().find(|input| input.passing == Passing::Value && types::has_impl_trait(&input.ty))
    {
        errors.at(
            &input.ty,
            "the companion must name this type: write a generic instead of `impl`, or leave the companion out with `companion = none`",
        );
    }
    companion
}

fn options(args: &Args, runtime: &Runtime) -> Vec<Setting> {
    let time = |time: &Option<Time>| match time {
        Some(Time::Fixed(time)) => {
            let private = runtime.private(Span::mixed_site());
            let seconds = Literal::u64_unsuffixed(time.as_secs());
            let nanos = Literal::u32_unsuffixed(time.subsec_nanos());
            Some(quote!(#private::Duration::new(#seconds, #nanos)))
        }
        Some(Time::Computed(expression)) => Some(expression.to_token_stream()),
        Some(Time::OfValue(_)) | None => None,
    };
    let values = [
        ("namespace", args.namespace.as_ref().map(ToTokens::to_token_stream)),
        ("ttl", time(&args.ttl)),
        ("capacity", args.capacity.as_ref().map(ToTokens::to_token_stream)),
        ("timeout", time(&args.timeout)),
        ("wait", time(&args.wait)),
        ("max_concurrent", args.max_concurrent.as_ref().map(ToTokens::to_token_stream)),
        ("finish_abandoned", args.finish_abandoned.then(TokenStream::new)),
        ("attached", args.attached().then(TokenStream::new)),
    ];
    let setting = |(method, value): (&str, Option<TokenStream>)| {
        let at = args.word(method).map_or_else(Span::mixed_site, |word| Span::mixed_site().located_at(word.span()));
        Some(Setting { method: Ident::new(method, at), value: value? })
    };
    values.into_iter().filter_map(setting).collect()
}

fn hooks(args: &Args, runtime: &Runtime) -> Vec<Setting> {
    let mut hooks = Vec::new();
    let mut set = |method: &str, at: Span, value: TokenStream| {
        hooks.push(Setting { method: Ident::new(method, Span::mixed_site().located_at(at)), value });
    };
    if let Some(predicate) = &args.cache_if {
        set("cache_if", predicate.span(), quote!(#predicate));
    }
    if let Some(Time::OfValue(closure)) = &args.ttl {
        set("ttl", closure.span(), quote!(#closure));
    }
    // Each of these can end a call without a result. One is enough to ask for: a mistake is reported once.
    let refusing = ["timeout", "wait", "max_concurrent"].into_iter().find_map(|word| args.word(word));
    if let Some(word) = refusing {
        let private = runtime.private(word.span());
        let at = Span::mixed_site().located_at(word.span());
        set("refuse", word.span(), quote_spanned!(at=> #private::refuse));
    }
    hooks
}
