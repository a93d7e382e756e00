//! The author's body. It stays raw tokens, so that a half-typed one still expands and its mistakes keep their places.

use proc_macro2::{Delimiter, Group, Ident, Spacing, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser};
use syn::{AttrStyle, Attribute, Lifetime};

/// The tokens of a body with `self` renamed: the body moves into an `async` block that owns what `self` was.
/// `None` if the body does not mention `self`, which then need not be owned.
pub(crate) fn rename_self(body: TokenStream, to: &Ident) -> Option<TokenStream> {
    let mut renamed = false;
    let body = rename(body, to, &mut renamed);
    renamed.then_some(body)
}

fn rename(tokens: TokenStream, to: &Ident, renamed: &mut bool) -> TokenStream {
    let mut out = TokenStream::new();
    let mut tokens = tokens.into_iter().peekable();
    let mut context = Context::Plain;
    while let Some(token) = tokens.next() {
        context = context.before(&token);
        let token = match token {
            TokenTree::Group(group) if context == Context::Plain => {
                let mut inner = Group::new(group.delimiter(), rename(group.stream(), to, renamed));
                inner.set_span(group.span());
                TokenTree::Group(inner)
            }
            // `self::name` is a path from this module.
            TokenTree::Ident(word) if word == "self" && context == Context::Plain && !opens_path(tokens.peek()) => {
                *renamed = true;
                TokenTree::Ident(Ident::new(&to.to_string(), to.span().located_at(word.span())))
            }
            other => other,
        };
        context = context.after(&token);
        out.extend([token]);
    }
    out
}

fn opens_path(next: Option<&TokenTree>) -> bool {
    matches!(next, Some(TokenTree::Punct(colon)) if colon.as_char() == ':' && colon.spacing() == Spacing::Joint)
}

/// Whose `self` is met.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    /// The method's.
    Plain,
    /// That of a nested `impl` or `trait`, until its braces end.
    Nested,
    /// The module of a `use`, until its semicolon.
    Import,
    /// The module of a `pub(self)`, in the next token.
    Visibility,
}

impl Context {
    fn before(self, token: &TokenTree) -> Context {
        match token {
            TokenTree::Ident(word) if matches!(self, Context::Plain | Context::Visibility) => {
                match word.to_string().as_str() {
                    "impl" | "trait" => Context::Nested,
                    "use" => Context::Import,
                    _ => self,
                }
            }
            _ => self,
        }
    }

    fn after(self, token: &TokenTree) -> Context {
        match (self, token) {
            (Context::Plain, TokenTree::Ident(word)) if word == "pub" => Context::Visibility,
            (Context::Visibility, _) => Context::Plain,
            (Context::Nested, TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => Context::Plain,
            (Context::Nested | Context::Import, TokenTree::Punct(end)) if end.as_char() == ';' => Context::Plain,
            _ => self,
        }
    }
}

/// The first `Self` of these tokens that is not a nested item's own.
pub(crate) fn first_self_type(tokens: TokenStream) -> Option<Ident> {
    let mut context = Context::Plain;
    for token in tokens {
        context = context.before(&token);
        let found = match &token {
            _ if context == Context::Nested => None,
            TokenTree::Ident(word) if word == "Self" => Some(word.clone()),
            TokenTree::Group(group) => first_self_type(group.stream()),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
        context = context.after(&token);
    }
    None
}

/// The first of `lifetimes` that a body names.
pub(crate) fn first_lifetime(body: TokenStream, lifetimes: &[Lifetime]) -> Option<Lifetime> {
    let tokens: Vec<TokenTree> = body.into_iter().collect();
    tokens.iter().enumerate().find_map(|(at, token)| match token {
        TokenTree::Group(group) => first_lifetime(group.stream(), lifetimes),
        TokenTree::Punct(quote) if quote.as_char() == '\'' && !is_label(&tokens, at) => {
            lifetimes.iter().find_map(|lifetime| match tokens.get(at + 1)? {
                TokenTree::Ident(name) if *name == lifetime.ident => {
                    Some(Lifetime { apostrophe: quote.span(), ident: name.clone() })
                }
                _ => None,
            })
        }
        _ => None,
    })
}

/// Labels look like lifetimes, but stand before a `:` or behind `break` and `continue`.
fn is_label(tokens: &[TokenTree], at: usize) -> bool {
    let jumps = at.checked_sub(1).map(|before| &tokens[before]);
    matches!(jumps, Some(TokenTree::Ident(jump)) if jump == "break" || jump == "continue")
        || matches!(tokens.get(at + 2), Some(TokenTree::Punct(colon)) if colon.as_char() == ':')
}

/// Moves the inner attributes of a body (`#![allow(…)]`) to where the function's attributes stand.
pub(crate) fn split_inner_attributes(body: TokenStream) -> (Vec<Attribute>, TokenStream) {
    let parser = |input: ParseStream<'_>| {
        let mut attributes = Attribute::parse_inner(input)?;
        for attribute in &mut attributes {
            attribute.style = AttrStyle::Outer;
        }
        Ok((attributes, input.parse()?))
    };
    parser.parse2(body.clone()).unwrap_or((Vec::new(), body))
}
