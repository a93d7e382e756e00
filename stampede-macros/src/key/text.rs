//! Texts with placeholders for arguments: keys and tags.

use proc_macro2::{Ident, Literal, TokenStream, TokenTree};
use quote::quote;
use syn::{Error, LitStr, Result};

use super::Value;

/// The argument of a name as an expression, or a sentence that says what there is.
pub(crate) type Find<'a> = &'a dyn Fn(&str) -> std::result::Result<Ident, String>;

/// Splits `"user:{user.id:>8}"` into `"user:{:>8}"` and `user.id`: a format text of Rust takes names, but no fields.
pub(crate) fn placeholders(text: &LitStr, find: Find<'_>) -> Result<(String, Vec<Value>)> {
    let error = |message: String| Error::new(text.span(), message);
    let source = text.value();
    let (mut format, mut values, mut rest) = (String::new(), Vec::<Value>::new(), source.as_str());
    // What follows a value ends it.
    let end = |values: &mut Vec<Value>, text: &str| {
        if let Some(value) = values.last_mut() {
            value.stop = value.stop.or(text.chars().next());
        }
    };
    while let Some(brace) = rest.find(['{', '}']) {
        end(&mut values, &rest[..brace]);
        format.push_str(&rest[..brace]);
        rest = &rest[brace..];
        if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
            end(&mut values, rest);
            format.push_str(&rest[..2]);
            rest = after;
            continue;
        }
        let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let Some((inside, after)) = inside else {
            return Err(error(
                "a brace without its other half; write `{{` or `}}` for the character itself".to_owned(),
            ));
        };
        if values.last().is_some_and(|value| value.stop.is_none()) {
            return Err(error(format!(
                "nothing tells where the value before `{{{inside}}}` ends; write a character between them, such as `:`"
            )));
        }
        let (name, spec) = inside.split_once(':').map_or((inside, ""), |(name, _)| (name, &inside[name.len()..]));
        let place = place(name.trim(), text, find).map_err(error)?;
        values.push(Value { place, spec: format!("{{{spec}}}"), stop: None });
        format.push_str("{}");
        rest = after;
    }
    end(&mut values, rest);
    format.push_str(rest);
    Ok((format, values))
}

/// `user.id` in a placeholder, as an expression at the text's place.
fn place(path: &str, text: &LitStr, find: Find<'_>) -> std::result::Result<TokenStream, String> {
    let mut names = path.split('.');
    let first = names.next().unwrap_or_default();
    let is_name =
        |name: &str| syn::parse_str::<TokenTree>(name).is_ok_and(|token| matches!(token, TokenTree::Ident(_)));
    let is_index = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if !is_name(first) || !names.clone().all(|name| is_name(name) || is_index(name)) {
        return Err(format!(
            "`{{{path}}}` is not an argument or a field of one, such as `{{id}}` or `{{user.id}}`; for anything else write `key(…)`"
        ));
    }
    let mut argument = find(first)?;
    argument.set_span(argument.span().located_at(text.span()));
    let fields = names.map(|name| -> TokenTree {
        let mut field = match name.parse() {
            Ok(index) => TokenTree::from(Literal::u32_unsuffixed(index)),
            Err(_) => Ident::new(name, text.span()).into(),
        };
        field.set_span(text.span());
        field
    });
    Ok(quote!(#argument #(.#fields)*))
}
