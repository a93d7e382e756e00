//! The author's body. It stays raw tokens, so that a half-typed one still expands and its mistakes keep their places.

use proc_macro2::{Delimiter, Group, Ident, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{ParseStream, Parser};
use syn::{AttrStyle, Attribute, Lifetime, LitStr};

/// The tokens of a body with `self` renamed: the body moves into an `async` block that owns what `self` was.
/// `None` if the body does not mention `self`, which then need not be owned.
pub(crate) fn rename_self(body: TokenStream, to: &Ident) -> Option<TokenStream> {
    let mut renamed = false;
    let body = rename(body, to, &mut renamed);
    renamed.then_some(body)
}

fn rename(tokens: TokenStream, to: &Ident, renamed: &mut bool) -> TokenStream {
    let level = Level::of(tokens);
    let rename = |(at, token): (usize, &TokenTree)| match token {
        TokenTree::Group(group) if level.own[at] => {
            let mut inner = Group::new(group.delimiter(), rename(group.stream(), to, renamed));
            inner.set_span(group.span());
            TokenTree::Group(inner)
        }
        TokenTree::Ident(word) if level.own[at] && word == "self" && !level.opens_path(at) => {
            *renamed = true;
            TokenTree::Ident(Ident::new(&to.to_string(), to.span().located_at(word.span())))
        }
        other => other.clone(),
    };
    level.tokens.iter().enumerate().map(rename).collect()
}

/// The first `Self` that is not a nested item's own.
pub(crate) fn first_self_type(tokens: TokenStream) -> Option<Ident> {
    find(tokens, &|level, at| match &level.tokens[at] {
        TokenTree::Ident(word) if word == "Self" => Some(word.clone()),
        _ => None,
    })
}

/// The first text with `{self}` in it: no macro can look into a text, so that `self` keeps its name.
pub(crate) fn first_self_in_text(body: TokenStream) -> Option<LitStr> {
    find(body, &|level, at| {
        let text: LitStr = syn::parse2(level.tokens[at].to_token_stream()).ok()?;
        let names_self = |inside: &str| {
            let after = inside.strip_prefix("self");
            after.is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        text.value().split('{').skip(1).any(names_self).then_some(text)
    })
}

/// The first of `lifetimes` that a body names.
pub(crate) fn first_lifetime(body: TokenStream, lifetimes: &[Lifetime]) -> Option<Lifetime> {
    find(body, &|level, at| {
        let (TokenTree::Punct(quote), TokenTree::Ident(name)) = (&level.tokens[at], level.tokens.get(at + 1)?) else {
            return None;
        };
        let named = quote.as_char() == '\'' && lifetimes.iter().any(|lifetime| lifetime.ident == *name);
        let found = Lifetime { apostrophe: quote.span(), ident: name.clone() };
        (named && !level.is_label(at)).then_some(found)
    })
}

/// The first place, in this level or inside its groups, that `test` accepts. Nested items are passed over.
fn find<T>(tokens: TokenStream, test: &dyn Fn(&Level, usize) -> Option<T>) -> Option<T> {
    let level = Level::of(tokens);
    (0..level.tokens.len()).filter(|at| level.own[*at]).find_map(|at| match &level.tokens[at] {
        TokenTree::Group(group) => find(group.stream(), test),
        _ => test(&level, at),
    })
}

/// Tokens between two delimiters.
struct Level {
    tokens: Vec<TokenTree>,
    /// Whether each token is the body's own, rather than a nested item's, which has a `self` and lifetimes of its own.
    own: Vec<bool>,
}

impl Level {
    fn of(tokens: TokenStream) -> Level {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut own = Vec::with_capacity(tokens.len());
        let mut inside = None;
        for (at, token) in tokens.iter().enumerate() {
            inside = inside.or_else(|| Foreign::begins(token, tokens.get(at + 1)));
            own.push(inside.is_none());
            inside = inside.filter(|foreign| !foreign.ends(token));
        }
        Level { tokens, own }
    }

    /// `self::name` is a path from this module.
    fn opens_path(&self, at: usize) -> bool {
        matches!(self.tokens.get(at + 1), Some(TokenTree::Punct(colon)) if colon.as_char() == ':' && colon.spacing() == Spacing::Joint)
    }

    /// Labels look like lifetimes, but stand before a `:` or behind `break` and `continue`.
    fn is_label(&self, at: usize) -> bool {
        let jumps = at.checked_sub(1).map(|before| &self.tokens[before]);
        matches!(jumps, Some(TokenTree::Ident(jump)) if jump == "break" || jump == "continue")
            || matches!(self.tokens.get(at + 2), Some(TokenTree::Punct(colon)) if colon.as_char() == ':')
    }
}

/// Something inside a body that is not the body's own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Foreign {
    /// Until its braces end, or its semicolon.
    Item,
    /// Until its semicolon: `use self::{…};`.
    Import,
    /// The next token: `pub(self)`.
    Visibility,
}

impl Foreign {
    fn begins(token: &TokenTree, next: Option<&TokenTree>) -> Option<Foreign> {
        let TokenTree::Ident(word) = token else { return None };
        let is_named = matches!(next, Some(TokenTree::Ident(_)));
        match word.to_string().as_str() {
            "impl" => Some(Foreign::Item),
            // Named, or it is a type (`fn(u8)`) or a word in someone's macro (`type="text"`).
            "enum" | "fn" | "struct" | "trait" | "type" if is_named => Some(Foreign::Item),
            "use" => Some(Foreign::Import),
            "pub" if !is_named => Some(Foreign::Visibility),
            _ => None,
        }
    }

    fn ends(self, token: &TokenTree) -> bool {
        match (self, token) {
            (Foreign::Item | Foreign::Import, TokenTree::Punct(end)) => end.as_char() == ';',
            (Foreign::Item | Foreign::Visibility, TokenTree::Group(group)) => {
                self == Foreign::Visibility || group.delimiter() == Delimiter::Brace
            }
            _ => false,
        }
    }
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
