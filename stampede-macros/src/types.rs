//! What the types of a signature borrow, and so which arguments the flight can own.

use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{GenericArgument, Lifetime, ParenthesizedGenericArguments, PathArguments, Type, TypeFnPtr, TypeImplTrait};
use syn::{TypeMacro, TypeReference};

use crate::errors::Errors;

/// How the flight comes to own an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// It is moved.
    Value,
    /// `&T`: owned as `ToOwned` says, and borrowed again for the body.
    Reference,
    /// `Option<&T>`: the same, inside.
    OptionalReference,
}

impl Passing {
    /// Judges the type of an argument.
    pub(crate) fn of(ty: &Type, errors: &mut Errors) -> Passing {
        let (passing, target) = match bare(ty) {
            Type::Reference(reference) if !is_static(reference) => (Passing::Reference, Some(reference)),
            other => match optional_reference(other) {
                Some(reference) => (Passing::OptionalReference, Some(reference)),
                None => (Passing::Value, None),
            },
        };
        match target {
            Some(reference) => check_reference(ty, reference, errors),
            None if borrows(ty) => errors.at(ty, BORROWED),
            None => {}
        }
        passing
    }
}

const BORROWED: &str =
    "the flight outlives this borrow and cannot own it; take an owned type, such as `String` or `Arc<_>`";

fn check_reference(ty: &Type, reference: &TypeReference, errors: &mut Errors) {
    if reference.mutability.is_some() {
        errors.at(ty, "callers that share one execution cannot lend it `&mut`; take a value and return what changed");
        return;
    }
    match bare(&reference.elem) {
        Type::TraitObject(object) => {
            errors.at(ty, format!("the flight cannot own a `dyn` reference; take `Arc<{}>`", source(object)));
        }
        Type::ImplTrait(_) => {
            errors.at(ty, "the flight must name what it owns; write a generic `T` instead of `impl`, and take `&T`");
        }
        target if borrows(target) => errors.at(ty, BORROWED),
        _ => {}
    }
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

/// The `&T` of `Option<&T>`.
fn optional_reference(ty: &Type) -> Option<&TypeReference> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(ty) => match bare(ty) {
            Type::Reference(reference) if !is_static(reference) => Some(reference),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a type names a borrow that is not `'static`.
pub(crate) fn borrows(ty: &Type) -> bool {
    search(ty).borrow
}

/// Whether `impl Trait` occurs in a type.
pub(crate) fn has_impl_trait(ty: &Type) -> bool {
    search(ty).impl_trait
}

#[derive(Default)]
struct Search {
    borrow: bool,
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
        visit_mut::visit_type_reference_mut(self, reference);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        self.borrow |= lifetime.ident != "static";
    }

    fn visit_type_impl_trait_mut(&mut self, object: &mut TypeImplTrait) {
        self.impl_trait = true;
        visit_mut::visit_type_impl_trait_mut(self, object);
    }

    // The lifetimes of a function's arguments are its own.
    fn visit_type_fn_ptr_mut(&mut self, _: &mut TypeFnPtr) {}
    fn visit_parenthesized_generic_arguments_mut(&mut self, _: &mut ParenthesizedGenericArguments) {}
    fn visit_type_macro_mut(&mut self, _: &mut TypeMacro) {}
}

/// A type with its lifetimes left to inference, for a `let` in a body that outlives them.
pub(crate) fn without_lifetimes(ty: &Type) -> Type {
    struct Eraser;

    impl VisitMut for Eraser {
        fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
            if reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident != "static") {
                reference.lifetime = None;
            }
            visit_mut::visit_type_reference_mut(self, reference);
        }
    }

    let mut ty = ty.clone();
    Eraser.visit_type_mut(&mut ty);
    ty
}
