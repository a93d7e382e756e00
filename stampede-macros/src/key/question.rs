//! Which argument a function of meaning asks about.

use std::collections::BTreeSet;

use proc_macro2::Ident;
use quote::{ToTokens, quote};
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
    // What is said to count, or not to, is no question.
    let is_skipped = |input: &Input| args.given.skip.iter().any(|name| name.unraw() == input.name.unraw());
    let counts = match &args.given.key {
        Some(KeyArg::Parts(parts)) => Mentions::of(quote!(#(#parts)*), item).inputs,
        _ => BTreeSet::new(),
    };
    let is_free = |(at, input): &(usize, &Input)| {
        input.is_named && types::is_text(&input.ty) && !is_skipped(input) && !counts.contains(at)
    };
    let texts: Vec<&Input> = item.inputs.iter().enumerate().filter(is_free).map(|(_, input)| input).collect();
    match &texts[..] {
        [only] => return Some(Question { field: Field { argument: only.name.clone(), members: Vec::new() } }),
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

impl Question {
    /// The argument, if all of it is the question.
    pub(super) fn argument(&self) -> Option<&Ident> {
        self.field.members.is_empty().then_some(&self.field.argument)
    }

    /// The key with the question, where `key` is what has to be equal.
    pub(super) fn into_key(self, key: Key, args: &Args, item: &Item, errors: &mut Errors) -> Key {
        let name = &self.field.argument;
        let Shape::Parts(parts) = key.shape else {
            if let (Some(at), Some(KeyArg::Text(_))) = (args.word("key"), &args.given.key) {
                errors.at(at, "what has to be equal is a list of expressions here, such as `key(request.model)`");
            }
            return key;
        };
        let is_in_parts = args.given.key.is_none()
            && !self.field.members.is_empty()
            && !args.given.skip.iter().any(|skipped| skipped.unraw() == name.unraw());
        if is_in_parts {
            errors.at(
                name,
                format!(
                    "all of `{name}` has to be equal, the question in it too; name what else counts with `key(…)`, or leave the rest out with `skip({name})`"
                ),
            );
        }
        if args.given.skip.iter().any(|skipped| self.argument().is_some_and(|name| skipped.unraw() == name.unraw())) {
            errors.at(name, format!("`{name}` is the question, so it is not skipped; remove one of the two"));
        }
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
}
