//! Which argument a function of meaning asks about.

use std::collections::BTreeSet;

use proc_macro2::Ident;
use quote::{ToTokens, quote};
use syn::Expr;
use syn::ext::IdentExt;

use super::{
    Key, Mentions, Shape, field_reference, find as find_argument, input_reference, part_reference, refer,
    self_reference,
};
use crate::args::{Args, Field, KeyArg};
use crate::errors::{Errors, list};
use crate::item::{Input, Item};
use crate::types;
use crate::words::Attribute;

/// What is compared by its meaning: an argument, or a field of one.
pub(super) struct Question {
    field: Field,
}

/// The question of a function that is to have one.
pub(super) fn find(args: &Args, item: &Item, errors: &mut Errors) -> Option<Question> {
    if args.attribute != Attribute::SemanticCoalesce {
        return None;
    }
    if args.word("query").is_some() {
        let Field { argument, members } = args.given.query.as_ref()?;
        return match find_argument(&argument.unraw().to_string(), item) {
            Ok(name) => {
                let mut argument = name;
                argument.set_span(args.given.query.as_ref()?.argument.span());
                Some(Question { field: Field { argument, members: members.clone() } })
            }
            Err(message) => {
                errors.at(argument, message);
                None
            }
        };
    }
    let function = &item.signature.ident;
    // What is said to count, or not to, is no question. What is said wrongly is reported already.
    let counts = match (&args.given.key, args.word("key")) {
        (Some(KeyArg::Parts(parts)), _) => Mentions::of(quote!(#(#parts)*), item).inputs,
        (_, None) => BTreeSet::new(),
        (_, Some(_)) => return None,
    };
    let of_tenant = args.given.tenant.as_ref().map(|tenant| Mentions::of(tenant.to_token_stream(), item).inputs);
    let is_said = |at: usize, input: &Input| {
        is_skipped(&input.name, args) || counts.contains(&at) || of_tenant.iter().flatten().any(|of| *of == at)
    };
    let texts = || item.inputs.iter().enumerate().filter(|(_, input)| input.is_named && types::is_text(&input.ty));
    let free: Vec<&Input> = texts().filter(|(at, input)| !is_said(*at, input)).map(|(_, input)| input).collect();
    match &free[..] {
        [only] => return Some(Question { field: Field { argument: only.name.clone(), members: Vec::new() } }),
        [] if texts().next().is_some() => errors.at(
            function,
            format!(
                "every text that `{function}` takes is in `key`, `skip` or `tenant`; name the one that is compared by its meaning with `query = argument`"
            ),
        ),
        [] => errors.at(
            function,
            format!("`{function}` takes no `&str` or `String`; name what its calls ask with `query = argument`"),
        ),
        several => {
            let names: Vec<String> = several.iter().map(|input| input.plain_name()).collect();
            let first = &names[0];
            errors.at(
                function,
                format!(
                    "`{function}` takes several texts, {}; name the one that is compared by its meaning, such as `query = {first}`",
                    list(names.iter().map(String::as_str))
                ),
            );
        }
    }
    None
}

fn is_skipped(argument: &Ident, args: &Args) -> bool {
    args.given.skip.iter().any(|skipped| skipped.unraw() == argument.unraw())
}

impl Question {
    /// The argument, if all of it is the question.
    pub(super) fn argument(&self) -> Option<&Ident> {
        self.field.members.is_empty().then_some(&self.field.argument)
    }

    /// The key with the question, where `key` is what has to be equal.
    pub(super) fn into_key(self, key: Key, args: &Args, item: &Item, errors: &mut Errors) -> Key {
        let name = &self.field.argument;
        let Shape::Parts(parts) = key.shape else { return key };
        self.check(args, item, errors);
        let whole = match item.input(name) {
            Some(input) => input_reference(input),
            None if name == "self" && item.receiver.is_some() => self_reference(item),
            None => refer(name, name.span()),
        };
        let question = field_reference(&self.field, &whole);
        let tenant = args.given.tenant.as_ref().map(|tenant| part_reference(tenant, item));
        let mut mentions = key.mentions;
        mentions.scan(self.field.to_token_stream(), item);
        if let Some(tenant) = &args.given.tenant {
            mentions.scan(tenant.to_token_stream(), item);
        }
        Key { shape: Shape::Meaning { question, tenant, parts }, mentions }
    }

    /// What is compared in another way must not have to be equal, too.
    fn check(&self, args: &Args, item: &Item, errors: &mut Errors) {
        let (name, field) = (&self.field.argument, self.field.to_token_stream().to_string());
        if self.argument().is_some_and(|name| is_skipped(name, args)) {
            errors.at(name, format!("`{name}` is the question, so it is not skipped; remove one of the two"));
        }
        if args.word("key").is_some() {
            let Some(KeyArg::Parts(parts)) = &args.given.key else { return };
            let holds_question = |part: &&Expr| {
                let written = part.to_token_stream().to_string();
                written == field || *name == written
            };
            if let Some(part) = parts.iter().find(holds_question) {
                errors.at(
                    part,
                    "the question is in here, and would have to be equal; in `key(…)` name what else tells calls apart",
                );
            }
            return;
        }
        // What has to be said of `self` is said elsewhere.
        let counts = |argument: &Ident| argument != "self" && !is_skipped(argument, args);
        let mut report = |at: &dyn ToTokens, argument: &Ident, what: &str| {
            errors.at(
                at,
                format!(
                    "all of `{argument}` has to be equal, the {what} in it too; name what else counts with `key(…)`, or leave the rest out with `skip({argument})`"
                ),
            );
        };
        if self.argument().is_none() && counts(name) {
            report(name, name, "question");
        }
        let Some(tenant) = args.given.tenant.as_ref().filter(|tenant| !matches!(tenant, Expr::Path(_))) else { return };
        let of_tenant = Mentions::of(tenant.to_token_stream(), item).inputs;
        let mut others = of_tenant.iter().map(|at| &item.inputs[*at]).filter(|input| input.is_named);
        if let Some(input) = others.find(|input| input.name != *name && counts(&input.name)) {
            report(tenant, &input.name, "tenant");
        }
    }
}
