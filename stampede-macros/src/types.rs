//! What the types of a signature borrow, and so which arguments a flight and a key can own.

use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{GenericArgument, Lifetime, ParenthesizedGenericArguments, PathArguments, Type, TypeFnPtr, TypeImplTrait};
use syn::{TraitBound, TypeMacro, TypeParamBound, TypeReference, parse_quote};

use crate::errors::Errors;

/// How an argument comes to be owned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// It is moved.
    Value,
    /// `&T`: owned as `ToOwned` says, and borrowed again for the body.
    Reference,
    /// `Option<&T>`: the same, inside.
    OptionalReference,
    /// `Cow<'_, T>`: owned if it is not yet.
    Cow,
}

impl Passing {
    /// Judges the type of an argument.
    pub(crate) fn of(ty: &Type) -> Passing {
        match bare(ty) {
            Type::Reference(reference) if !is_static(reference) => Passing::Reference,
            other if optional_reference(other).is_some() => Passing::OptionalReference,
            other if borrows(other) && inside(other, "Cow").is_some() => Passing::Cow,
            _ => Passing::Value,
        }
    }
}

/// Who has to own an argument.
#[derive(Clone, Copy)]
pub(crate) enum Owner<'a> {
    /// The flight, whose body leaves the call. What to write for it to stay.
    Flight(&'a str),
    /// The key alone: the body stays.
    Key,
}

impl Owner<'_> {
    fn name(self) -> &'static str {
        match self {
            Owner::Flight(_) => "the flight",
            Owner::Key => "a key",
        }
    }

    /// What to write.
    fn remedy(self, instead: &str) -> String {
        match self {
            Owner::Flight(stay) => format!("take {instead}, or leave it out with `skip` and {stay}"),
            Owner::Key => "leave it out with `skip`, or say what identifies it with `key(…)`".to_owned(),
        }
    }
}

/// Reports what cannot be lent, and what `owner`, if there is one, cannot own.
pub(crate) fn check(ty: &Type, owner: Option<Owner<'_>>, errors: &mut Errors) {
    let reference = match bare(ty) {
        Type::Reference(reference) if !is_static(reference) => Some(reference),
        other => optional_reference(other),
    };
    if lends_mutably(ty) {
        errors.at(ty, "callers that share one execution cannot lend it `&mut`; take a value and return what changed");
        return;
    }
    let Some(owner) = owner else { return };
    let name = owner.name();
    let target = reference.map(|reference| bare(&reference.elem)).or_else(|| inside(bare(ty), "Cow"));
    match target {
        Some(Type::TraitObject(object)) => {
            let remedy = owner.remedy(&format!("`Arc<{}>`", source(object)));
            errors.at(ty, format!("{name} cannot own a `dyn` reference; {remedy}"));
        }
        Some(Type::ImplTrait(_)) => {
            errors
                .at(ty, format!("{name} must name what it owns; write a generic `T` instead of `impl`, and take `&T`"));
        }
        other if borrows(other.unwrap_or(ty)) => {
            report_borrow(ty, owner, "an owned type, such as `String` or `Arc<_>`", errors);
        }
        _ => {}
    }
}

pub(crate) fn report_borrow(tokens: impl ToTokens, owner: Owner<'_>, instead: &str, errors: &mut Errors) {
    errors.at(tokens, format!("{} outlives this borrow and cannot own it; {}", owner.name(), owner.remedy(instead)));
}

/// A type as people write it.
fn source(ty: impl ToTokens) -> String {
    let tokens = ty.to_token_stream().to_string();
    [(" < ", "<"), (" >", ">"), (" :: ", "::"), (" ,", ",")]
        .iter()
        .fold(tokens, |text, (from, to)| text.replace(from, to))
}

/// The type without parentheses, and without the invisible ones around what `macro_rules` passed on.
fn bare(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return ty,
        };
    }
}

fn is_static(reference: &TypeReference) -> bool {
    reference.mutability.is_none() && reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static")
}

/// `&str`, `String` or a reference to one.
pub(crate) fn is_text(ty: &Type) -> bool {
    let is_path = |ty: &Type, name: &str| matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name));
    match bare(ty) {
        Type::Reference(reference) => {
            let target = bare(&reference.elem);
            is_path(target, "str") || is_path(target, "String")
        }
        other => is_path(other, "String"),
    }
}

/// The `&T` of `Option<&T>`.
fn optional_reference(ty: &Type) -> Option<&TypeReference> {
    match inside(ty, "Option") {
        Some(Type::Reference(reference)) if !is_static(reference) => Some(reference),
        _ => None,
    }
}

/// The `T` of `Name<T>`, or of `Name<'_, T>`.
fn inside<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(bare(ty)),
        _ => None,
    })
}

/// Whether a type names a borrow that is not `'static`.
pub(crate) fn borrows(ty: &Type) -> bool {
    search(ty).borrow
}

/// Whether a type names a `&mut`.
pub(crate) fn lends_mutably(ty: &Type) -> bool {
    search(ty).mutable
}

/// Whether `impl Trait` occurs in a type.
pub(crate) fn has_impl_trait(ty: &Type) -> bool {
    search(ty).impl_trait
}

#[derive(Default)]
struct Search {
    borrow: bool,
    mutable: bool,
    impl_trait: bool,
}

/// syn can visit shared trees too, at the price of a second generated visitor: one clone is cheaper to compile.
fn search(ty: &Type) -> Search {
    let mut search = Search::default();
    search.visit_type_mut(&mut ty.clone());
    search
}

impl VisitMut for Search {
    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        self.borrow |= reference.lifetime.is_none();
        self.mutable |= reference.mutability.is_some();
        visit_mut::visit_type_reference_mut(self, reference);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        self.borrow |= lifetime.ident != "static";
    }

    fn visit_type_impl_trait_mut(&mut self, object: &mut TypeImplTrait) {
        self.impl_trait = true;
        visit_mut::visit_type_impl_trait_mut(self, object);
    }

    // The lifetimes of a function's arguments are its own, and so are those of `for<'a>`.
    fn visit_type_fn_ptr_mut(&mut self, _: &mut TypeFnPtr) {}
    fn visit_parenthesized_generic_arguments_mut(&mut self, _: &mut ParenthesizedGenericArguments) {}
    fn visit_trait_bound_mut(&mut self, bound: &mut TraitBound) {
        visit_own_lifetimes(self, bound);
    }
    fn visit_type_macro_mut(&mut self, _: &mut TypeMacro) {}
}

/// Passes over a bound of the form `for<'a> Trait<'a>`, whose lifetimes are its own.
fn visit_own_lifetimes(visitor: &mut impl VisitMut, bound: &mut TraitBound) {
    if bound.lifetimes.is_none() {
        visit_mut::visit_trait_bound_mut(visitor, bound);
    }
}

/// Whether a type is that of a future, as far as its name tells: `impl Future`, `Pin<Box<dyn Future>>`, `BoxFuture`.
pub(crate) fn is_future(ty: &Type) -> bool {
    let ty = bare(ty);
    let bounds = match ty {
        Type::ImplTrait(ty) => &ty.bounds,
        Type::TraitObject(ty) => &ty.bounds,
        Type::Path(path) => {
            let is_named = path
                .path
                .segments
                .last()
                .is_some_and(|last| last.ident == "BoxFuture" || last.ident == "LocalBoxFuture");
            return is_named || ["Pin", "Box"].into_iter().filter_map(|name| inside(ty, name)).any(is_future);
        }
        _ => return false,
    };
    bounds.iter().any(|bound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last().is_some_and(|last| last.ident == "Future"),
        _ => false,
    })
}

/// A type with its lifetimes left to inference, for a `let` in a body that outlives them.
pub(crate) fn without_lifetimes(ty: &Type) -> Type {
    struct Eraser;

    impl VisitMut for Eraser {
        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            if lifetime.ident != "static" {
                *lifetime = parse_quote!('_);
            }
        }

        fn visit_type_fn_ptr_mut(&mut self, _: &mut TypeFnPtr) {}
        fn visit_parenthesized_generic_arguments_mut(&mut self, _: &mut ParenthesizedGenericArguments) {}
        fn visit_trait_bound_mut(&mut self, bound: &mut TraitBound) {
            visit_own_lifetimes(self, bound);
        }
    }

    let mut ty = ty.clone();
    Eraser.visit_type_mut(&mut ty);
    ty
}
