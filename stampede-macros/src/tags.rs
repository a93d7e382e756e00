//! `tags("user:{id}", |user| …)`: what leads to kept values besides their keys.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Expr, LitStr};

use crate::args::{Args, KeyArg};
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
            if let Some(name) = first_other(text, &mentioned, args, item, key) {
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

/// What a text takes that is not in the key.
fn first_other(text: &LitStr, mentioned: &Mentions, args: &Args, item: &Item, key: &Key) -> Option<String> {
    let find = |name: &str| key::find(name, item);
    let written = |tokens: TokenStream| tokens.to_string().replace([' ', '&'], "");
    let said: Option<Vec<String>> = match (&args.given.key, &args.given.fields) {
        (Some(KeyArg::Parts(parts)), _) => Some(parts.iter().map(|part| written(quote!(#part))).collect()),
        (Some(KeyArg::Text(text)), _) => {
            let (_, values) = placeholders(text, &find).ok()?;
            Some(values.into_iter().map(|value| written(value.place)).collect())
        }
        (None, Some(fields)) => Some(fields.iter().map(|field| written(quote!(#field))).collect()),
        (None, None) => None,
    };
    if let Some(said) = said {
        let (_, values) = placeholders(text, &find).ok()?;
        let is_in_key =
            |place: &String| said.iter().any(|part| part == place || place.starts_with(&format!("{part}.")));
        return values.into_iter().map(|value| written(value.place)).find(|place| !is_in_key(place));
    }
    let is_other = mentioned.inputs.iter().find(|position| !key.mentions.inputs.contains(position));
    let other = is_other.map(|position| item.inputs[*position].plain_name());
    other.or_else(|| (mentioned.receiver && !key.mentions.receiver).then(|| "self".to_owned()))
}

/// One tag, as an expression.
pub(crate) fn tag(text: &LitStr, find: Find<'_>, runtime: &Runtime) -> syn::Result<TokenStream> {
    rendered(text, find, runtime, |value, _| value)
}

/// The same of a pattern over readable keys, whose values are written as they stand there.
pub(crate) fn pattern(text: &LitStr, find: Find<'_>, runtime: &Runtime) -> syn::Result<TokenStream> {
    let private = runtime.private(text.span());
    rendered(text, find, runtime, |value, stop| {
        let nothing = quote!(::core::option::Option::None);
        let stop = stop.map_or(nothing, |stop| quote!(::core::option::Option::Some(#stop)));
        quote!(#private::Globbed(#value, #stop))
    })
}

fn rendered(
    text: &LitStr,
    find: Find<'_>,
    runtime: &Runtime,
    write: impl Fn(TokenStream, Option<char>) -> TokenStream,
) -> syn::Result<TokenStream> {
    let (format, values) = placeholders(text, find)?;
    let private = runtime.private(text.span());
    let format = LitStr::new(&format, text.span());
    let values =
        values.iter().map(|Value { place, spec, stop }| write(quote!(::core::format_args!(#spec, #place)), *stop));
    Ok(quote_spanned!(text.span()=> #private::tag(::core::format_args!(#format #(, #values)*))))
}
