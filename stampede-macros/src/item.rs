//! The decorated function: tokens → [`Item`]. The signature is parsed and judged; the body stays raw tokens.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::parse_quote;
use syn::visit_mut::{self, VisitMut};
use syn::{
    FnArg, Lifetime, Pat, PatIdent, Receiver, ReceiverKind, Result, ReturnType, Safety, Signature, Type, Visibility,
};

use crate::args::Args;
use crate::body;
use crate::errors::Errors;
use crate::policy::LEAVING;
use crate::types::{self, Passing};
use crate::words::Attribute;

/// A function that can be shared, as it was written.
pub(crate) struct Item {
    pub(crate) attributes: Vec<syn::Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    pub(crate) receiver: Option<SelfInput>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) output: Type,
    pub(crate) body: Group,
    /// The body stays inside the call that begins the flight.
    pub(crate) stays: bool,
}

/// A receiver.
pub(crate) struct SelfInput {
    pub(crate) written: Receiver,
    pub(crate) passing: SelfPassing,
}

/// How the flight comes to own `self`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SelfPassing {
    /// `self`, `self: Arc<Self>`.
    Value,
    /// `&self`: a clone.
    Reference,
    /// `self: &Arc<Self>`.
    Pointer,
}

/// An argument.
pub(crate) struct Input {
    /// Its name in signatures: the author's or, where the pattern is more than a name, ours.
    pub(crate) name: Ident,
    /// Whether `skip` and `fields` can say it.
    pub(crate) is_named: bool,
    /// What the body calls it, if that is more than `name`: `mut n`, `(a, b)`.
    pub(crate) pattern: Option<Pat>,
    /// The names in a pattern that has none of its own: those of `Path(id)`.
    pub(crate) bound: Vec<Ident>,
    /// Whether one of those holds others: `whole @ (id, trace)`.
    pub(crate) bound_twice: bool,
    pub(crate) attributes: Vec<syn::Attribute>,
    pub(crate) ty: Type,
    pub(crate) passing: Passing,
}

impl Input {
    /// The names that the author gave it: its own, or those in its pattern.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Ident> {
        self.is_named.then_some(&self.name).into_iter().chain(&self.bound)
    }

    pub(crate) fn binds(&self, name: &Ident) -> bool {
        self.bound.iter().any(|bound| bound.unraw() == name.unraw())
    }

    /// The name as people write it in `skip` and `fields`.
    pub(crate) fn plain_name(&self) -> String {
        self.name.unraw().to_string()
    }
}

impl Item {
    /// Reads the function and reports all that is wrong with it, whatever its key is.
    pub(crate) fn parse(args: &Args, tokens: TokenStream, errors: &mut Errors) -> Option<Item> {
        let attribute = args.attribute;
        let parsed = (|input: ParseStream<'_>| parse_function(attribute, input)).parse2(tokens);
        let (mut attributes, visibility, signature, body) = errors.keep(parsed)?;
        check_modifiers(attribute, &attributes, &signature, errors);
        let (inner, tokens) = body::split_inner_attributes(body.stream());
        attributes.extend(inner);
        let mut braces = Group::new(Delimiter::Brace, tokens);
        braces.set_span(body.span());

        let is_sync = signature.asyncness.is_none();
        let leaving = args.words(LEAVING).next();
        let stays = if is_sync { leaving.is_none() } else { args.word("attached").is_some() };
        if !stays {
            check_lifetimes(&args.how_to_stay(is_sync), &signature, &body, errors);
        }
        check_self(stays, &signature, &body, errors);
        let output = check_output(&signature, errors);
        let receiver = signature.receiver().map(|receiver| SelfInput::new(receiver, errors));
        let mut inputs = Vec::new();
        for argument in &signature.inputs {
            if let FnArg::Typed(argument) = argument {
                inputs.push(Input::new(inputs.len(), argument, errors));
            }
        }
        check_names(&inputs, errors);
        Some(Item { attributes, visibility, signature, receiver, inputs, output, body: braces, stays })
    }

    /// Its calls block their threads.
    pub(crate) fn is_sync(&self) -> bool {
        self.signature.asyncness.is_none()
    }

    /// Which argument has this name, or binds it in its pattern.
    pub(crate) fn position(&self, plain_name: &str) -> Option<usize> {
        self.inputs.iter().position(|input| input.names().any(|name| name.unraw() == plain_name))
    }

    pub(crate) fn input(&self, name: &Ident) -> Option<&Input> {
        self.inputs.iter().find(|input| input.is_named && name.unraw() == input.plain_name())
    }
}

/// A body that leaves its call must not name what stays there.
fn check_lifetimes(how_to_stay: &str, signature: &Signature, body: &Group, errors: &mut Errors) {
    let lifetimes: Vec<Lifetime> = signature.generics.lifetimes().map(|param| param.lifetime.clone()).collect();
    if let Some(named) = body::first_lifetime(body.stream(), &lifetimes) {
        errors.at(
            &named,
            format!(
                "`{named}` ends with the call, and the body outlives it; leave the lifetime out here, or {how_to_stay}, \
                 so that the body stays in the call"
            ),
        );
    }
}

/// A body whose `self` gets another name must not hide it.
fn check_self(stays: bool, signature: &Signature, body: &Group, errors: &mut Errors) {
    let is_renamed = |receiver: &Receiver| !stays || receiver.mutability.is_some();
    if signature.receiver().is_some_and(is_renamed)
        && let Some(text) = body::first_self_in_text(body.stream())
    {
        errors.at(text, "`self` has another name in here, which a text cannot follow; write `{}` and pass `self`");
    }
}

/// Names are told apart by how they read: two that read alike would be one to `key` and `skip`.
fn check_names(inputs: &[Input], errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for name in inputs.iter().flat_map(Input::names) {
        if !seen.insert(name.unraw().to_string()) {
            errors.at(name, format!("two arguments have the name `{name}`; give one of them another"));
        }
    }
}

fn parse_function(
    attribute: Attribute,
    input: ParseStream<'_>,
) -> Result<(Vec<syn::Attribute>, Visibility, Signature, Group)> {
    let attributes = input.call(syn::Attribute::parse_outer)?;
    let visibility = input.parse()?;
    let start = input.fork();
    let Ok(signature) = input.parse::<Signature>() else {
        return Err(start.error(format!("{attribute} goes on a function")));
    };
    match input.parse()? {
        TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => Ok((attributes, visibility, signature, body)),
        other => Err(syn::Error::new(
            other.span(),
            format!("{attribute} goes on a function with a body; in a trait, on its implementations"),
        )),
    }
}

fn check_modifiers(attribute: Attribute, attributes: &[syn::Attribute], signature: &Signature, errors: &mut Errors) {
    let is_ours = |path: &syn::Path| {
        path.segments.last().is_some_and(|last| Attribute::ALL.iter().any(|ours| last.ident == ours.name()))
    };
    if let Some(second) = attributes.iter().find(|attribute| is_ours(attribute.path())) {
        errors.at(second, format!("a function takes one of these attributes, and {attribute} is here already"));
    }
    if let Some(constness) = &signature.constness {
        errors.at(constness, "a `const fn` cannot wait for others; leave `const` out");
    }
    if let Safety::Unsafe(unsafety) = &signature.safety {
        errors.at(
            unsafety,
            "callers that share one execution cannot each uphold the promises of an `unsafe fn`; wrap it in a safe one",
        );
    }
    if let Some(abi) = &signature.abi {
        let message = match signature.asyncness {
            Some(_) => "callers from other languages cannot await; leave `extern` out",
            None => "a panic reaches every caller, and must not reach other languages; leave `extern` out",
        };
        errors.at(abi, message);
    }
    if let Some(variadic) = &signature.variadic {
        errors.at(variadic, "variable arguments have no key; name them");
    }
    let runs_once = attributes.iter().find(|attribute| {
        attribute.path().segments.last().is_some_and(|last| last.ident == "test" || last.ident == "main")
    });
    if let Some(attribute) = runs_once {
        errors.at(attribute, "this makes the function run once, from outside; share one that it calls");
    } else if signature.ident == "main" {
        errors.at(&signature.ident, "`main` runs once, from outside; share a function that it calls");
    } else if returns_future(signature) {
        errors.at(
            &signature.ident,
            "this returns a future, which is no result to share; annotate an inherent `async fn` and call it from here",
        );
    }
}

fn returns_future(signature: &Signature) -> bool {
    let returned = if let ReturnType::Type(_, output) = &signature.output { Some(&**output) } else { None };
    signature.asyncness.is_none() && returned.is_some_and(types::is_future)
}

fn check_output(signature: &Signature, errors: &mut Errors) -> Type {
    let ReturnType::Type(_, output) = &signature.output else {
        return parse_quote!(());
    };
    if returns_future(signature) {
        // Refused already.
    } else if types::borrows(output) {
        errors.at(
            output,
            "a shared result outlives the call that it would borrow from; return an owned type, such as `String` or `Arc<_>`",
        );
    } else if types::has_impl_trait(output) {
        errors
            .at(output, "a shared result is kept under its type, so the type needs a name; write it instead of `impl`");
    }
    (**output).clone()
}

impl SelfInput {
    fn new(written: &Receiver, errors: &mut Errors) -> SelfInput {
        let (passing, is_mutable) = match &written.kind {
            ReceiverKind::Reference(_, _, mutability) => (SelfPassing::Reference, mutability.is_some()),
            ReceiverKind::Typed(_, ty) => (typed_receiver(ty), types::lends_mutably(ty)),
            _ => (SelfPassing::Value, false),
        };
        if is_mutable {
            errors.at(written, "callers that share one execution cannot lend it `&mut self`; take `&self`");
        }
        SelfInput { written: written.clone(), passing }
    }
}

fn typed_receiver(ty: &Type) -> SelfPassing {
    match ty {
        Type::Reference(reference) => match &*reference.elem {
            Type::Path(path) if path.path.is_ident("Self") => SelfPassing::Reference,
            _ => SelfPassing::Pointer,
        },
        _ => SelfPassing::Value,
    }
}

impl Input {
    fn new(position: usize, argument: &syn::PatType, errors: &mut Errors) -> Input {
        if let Some(cfg) = argument.attrs.iter().find(|attribute| attribute.path().is_ident("cfg")) {
            errors.at(cfg, "an argument that is not always there has no place in the key; put `cfg` on the function");
        }
        let named = match &*argument.pat {
            Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => Some(pat),
            _ => None,
        };
        let is_plain = named.is_some_and(|named| named.mutability.is_none());
        let ours = || format_ident!("__argument_{position}", span = Span::mixed_site());
        Input {
            name: named.map_or_else(ours, |named| named.ident.clone()),
            is_named: named.is_some(),
            bound: if named.is_some() { Vec::new() } else { names_in(&argument.pat) },
            bound_twice: argument.pat.to_token_stream().into_iter().any(is_at),
            pattern: (!is_plain).then(|| (*argument.pat).clone()),
            attributes: argument.attrs.clone(),
            passing: Passing::of(&argument.ty),
            ty: (*argument.ty).clone(),
        }
    }
}

/// The names that a pattern binds, each once.
fn names_in(pattern: &Pat) -> Vec<Ident> {
    struct Names(Vec<Ident>);

    impl VisitMut for Names {
        fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
            if !self.0.contains(&pattern.ident) {
                self.0.push(pattern.ident.clone());
            }
            visit_mut::visit_pat_ident_mut(self, pattern);
        }
    }

    let mut names = Names(Vec::new());
    names.visit_pat_mut(&mut pattern.clone());
    names.0
}

/// The pattern, for a look at an argument that stays what it is: it takes nothing and changes nothing.
pub(crate) fn only_looking(pattern: &Pat) -> Pat {
    struct Look;

    impl VisitMut for Look {
        fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
            pattern.mutability = None;
            pattern.by_ref = None;
            visit_mut::visit_pat_ident_mut(self, pattern);
        }
    }

    let mut pattern = pattern.clone();
    Look.visit_pat_mut(&mut pattern);
    pattern
}

fn is_at(token: TokenTree) -> bool {
    match token {
        TokenTree::Group(group) => group.stream().into_iter().any(is_at),
        TokenTree::Punct(at) => at.as_char() == '@',
        _ => false,
    }
}
