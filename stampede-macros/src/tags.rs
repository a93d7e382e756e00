//! `tags("user:{id}", |user| …)`: what leads to kept values besides their keys.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Expr, LitStr};

use crate::args::Args;
use crate::errors::Errors;
use crate::item::Item;
use crate::key::text::{Find, placeholders};
use crate::key::{self, Key, Mentions, Value};
use crate::model::Runtime;

/// What `tags` was given.
#[derive(Default)]
pub(crate) struct TagsArg {
    pub(crate) texts: Vec<LitStr>,
    /// A function of the value.
    pub(crate) of_value: Option<Expr>,
}

/// The tags of a call, and which arguments they take.
pub(crate) struct Tags {
    pub(crate) texts: Vec<TokenStream>,
    pub(crate) mentions: Mentions,
}

impl Tags {
    pub(crate) fn new(args: &Args, item: &Item, key: &Key, runtime: &Runtime, errors: &mut Errors) -> Option<Tags> {
        let given = args.given.tags.as_ref().filter(|given| !given.texts.is_empty())?;
        let (mut texts, mut mentions) = (Vec::new(), Mentions::default());
        for text in &given.texts {
            let find = |name: &str| key::find(name, item);
            texts.extend(errors.keep(tag(text, &find, runtime)));
            let mentioned = Mentions::of(quote!(#text), item);
            // Calls of one key share one value, which has one list of tags.
            let is_other = mentioned.inputs.iter().find(|position| !key.mentions.inputs.contains(position));
            let other = is_other.map(|position| item.inputs[*position].plain_name());
            let other = other.or_else(|| (mentioned.receiver && !key.mentions.receiver).then(|| "self".to_owned()));
            if let Some(name) = other {
                errors.at(
                    text,
                    format!("calls with one key share one value and its tags, and `{name}` is not in the key; put it there, or take the tag from the value: `tags(|value| …)`"),
                );
            }
            mentions.inputs.extend(mentioned.inputs);
            mentions.patterns.extend(mentioned.patterns);
        }
        Some(Tags { texts, mentions })
    }
}

/// One tag, as an expression.
pub(crate) fn tag(text: &LitStr, find: Find<'_>, runtime: &Runtime) -> syn::Result<TokenStream> {
    let (format, values) = placeholders(text, find)?;
    let private = runtime.private(text.span());
    let format = LitStr::new(&format, text.span());
    let values = values.iter().map(|Value { place, spec, .. }| quote!(::core::format_args!(#spec, #place)));
    Ok(quote_spanned!(text.span()=> #private::tag(::core::format_args!(#format #(, #values)*))))
}
