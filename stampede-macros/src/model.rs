//! What will be built: [`Args`] + [`Item`] → [`Model`]. Every rule between arguments, and between an argument and the
//! function, lives here.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{LitStr, Path, ReceiverKind};

use crate::args::{Args, Given};
use crate::body;
use crate::errors::Errors;
use crate::item::{Item, SelfPassing};
use crate::key::Key;
use crate::policy;
use crate::tags::Tags;
use crate::types::{self, Owner, Passing};
use crate::words::Attribute;

/// One shared function, complete and legal.
pub(crate) struct Model {
    pub(crate) runtime: Runtime,
    pub(crate) item: Item,
    /// The policy, evaluated at the first call.
    pub(crate) options: Vec<Setting>,
    /// What depends on the type of the result.
    pub(crate) hooks: Vec<Setting>,
    pub(crate) key: Key,
    /// What a call is tagged with.
    pub(crate) tags: Option<Tags>,
    /// Where values are kept outside of the process.
    pub(crate) stored: Option<Stored>,
    pub(crate) companion: Companion,
}

/// What a function says about the backend that keeps its values.
pub(crate) struct Stored {
    /// How the site is told.
    pub(crate) verb: &'static str,
    /// Its name, if the function says one.
    pub(crate) backend: Option<LitStr>,
    pub(crate) namespace: Option<LitStr>,
    /// The macro that picks how its errors are carried to other processes, if they are.
    pub(crate) carry: Option<&'static str>,
}

impl Stored {
    fn new(args: &Args) -> Option<Stored> {
        let is_stored = args.attribute.is_stored();
        let Given { backend, namespace, share_errors, .. } = &args.given;
        (is_stored || backend.is_some()).then(|| Stored {
            verb: if args.attribute == Attribute::SemanticCoalesce { "meant" } else { "stored" },
            backend: backend.clone(),
            namespace: namespace.clone(),
            // Only what was asked for in writing has to be possible.
            carry: is_stored.then_some(if *share_errors == Some(true) { "must_carry" } else { "carry" }),
        })
    }
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
    pub(crate) fn new(path: Option<&Path>) -> Runtime {
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
        check_key(args, errors);
        policy::check(args, &item, errors);
        let key = Key::new(args, &item, errors);
        check_ownership(args, &item, &key, errors);
        let companion = companion(args, &item, errors);
        let runtime = Runtime::new(args.given.krate.as_ref());
        Model {
            tags: Tags::new(args, &item, &key, &runtime, errors),
            options: policy::options(args, &item, &runtime),
            hooks: policy::hooks(args, &item, &runtime),
            runtime,
            item,
            key,
            stored: Stored::new(args),
            companion,
        }
    }
}

/// What tells calls apart is said in one way.
fn check_key(args: &Args, errors: &mut Errors) {
    for word in ["key", "fields"] {
        if let (Some(_), Some(skip)) = (args.word(word), args.word("skip")) {
            errors
                .at(skip, format!("`{word}` names all that counts, so there is nothing to skip; keep one of the two"));
        }
    }
}

/// A flight owns what its body needs, unless the body stays in its call; a key always owns what it is made of.
fn check_ownership(args: &Args, item: &Item, key: &Key, errors: &mut Errors) {
    // What `key` was given are expressions, which the compiler judges, and a digest owns nothing.
    let key_owns = args.given.key.is_none() && args.attribute != Attribute::CoalesceByContent;
    let how_to_stay = args.how_to_stay(item.is_sync());
    let owner = |is_mentioned: bool| {
        if item.stays { (is_mentioned && key_owns).then_some(Owner::Key) } else { Some(Owner::Flight(&how_to_stay)) }
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
        // Of one that is skipped, a field may be in the key: an expression, too.
        let is_skipped = args.given.skip.iter().any(|name| name.unraw() == input.plain_name());
        types::check(&input.ty, owner(key.mentions.inputs.contains(&position) && !is_skipped), errors);
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
    let companion = match &args.given.companion {
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
