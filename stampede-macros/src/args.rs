//! What was written between the parentheses of an attribute: tokens → [`Args`]. Nothing is decided here that needs the
//! function; a mistake in one argument does not hide the next.

use std::time::Duration;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{
    Error, Expr, Index, Lit, LitFloat, LitStr, Member, Path, Result, Token, UnOp, bracketed, parenthesized, token,
};

use crate::errors::Errors;
use crate::words::{Attribute, Word};

pub(crate) struct Args {
    pub(crate) attribute: Attribute,
    /// The words as they were written, those with a bad value too: a rule about what is missing must not count them.
    written: Vec<Ident>,
    pub(crate) ttl: Option<Time>,
    pub(crate) namespace: Option<LitStr>,
    pub(crate) key: Option<KeyArg>,
    pub(crate) fields: Option<Vec<Field>>,
    pub(crate) skip: Vec<Ident>,
    pub(crate) normalize: Option<Vec<Ident>>,
    pub(crate) capacity: Option<Expr>,
    pub(crate) cache_if: Option<Expr>,
    pub(crate) timeout: Option<Time>,
    pub(crate) wait: Option<Time>,
    pub(crate) max_concurrent: Option<Expr>,
    pub(crate) finish_abandoned: bool,
    pub(crate) companion: Option<Ident>,
    pub(crate) krate: Option<Path>,
}

/// A time as it was written.
pub(crate) enum Time {
    Fixed(Duration),
    /// An expression of type `Duration`.
    Computed(Expr),
    /// A closure from the value.
    OfValue(Expr),
}

/// What `fields` names: an argument, or a field of one.
#[derive(PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) argument: Ident,
    /// Those inside it, outermost first.
    pub(crate) members: Vec<Member>,
}

/// What `key` was given.
pub(crate) enum KeyArg {
    Parts(Vec<Expr>),
    Text(LitStr),
}

/// The steps of `normalize`, in the order in which they are taken.
pub(crate) const STEPS: [&str; 4] = ["nfkc", "case", "trim", "spaces"];

impl Args {
    pub(crate) fn parse(attribute: Attribute, tokens: TokenStream, errors: &mut Errors) -> Args {
        let mut args = Args {
            attribute,
            written: Vec::new(),
            ttl: None,
            namespace: None,
            key: None,
            fields: None,
            skip: Vec::new(),
            normalize: None,
            capacity: None,
            cache_if: None,
            timeout: None,
            wait: None,
            max_concurrent: None,
            finish_abandoned: false,
            companion: None,
            krate: None,
        };
        let parser = |input: ParseStream<'_>| {
            while !input.is_empty() {
                let parsed = args.argument(input).and_then(|()| end_of_argument(input));
                if errors.keep(parsed).is_none() {
                    skip_to_comma(input);
                }
                input.parse::<Option<Token![,]>>()?;
            }
            Ok(())
        };
        let parsed = parser.parse2(tokens);
        errors.keep(parsed);
        args
    }

    /// Where `name` was written, if it was.
    pub(crate) fn word(&self, name: &str) -> Option<&Ident> {
        self.written.iter().find(|word| *word == name)
    }

    /// Whether bodies run inside the calls that begin them.
    pub(crate) fn attached(&self) -> bool {
        self.word("attached").is_some()
    }

    fn argument(&mut self, input: ParseStream<'_>) -> Result<()> {
        let at = input
            .call(Ident::parse_any)
            .map_err(|error| Error::new(error.span(), "arguments begin with a word, such as `ttl = 60`"))?;
        let name = at.to_string();
        let word = Word::find(self.attribute, &name).map_err(|message| Error::new(at.span(), message))?;
        if self.word(&name).is_some() {
            return Err(Error::new(at.span(), format!("`{name}` is already given; keep one of the two")));
        }
        self.written.push(at.clone());
        let value = Value { word, at, input };
        match word.name {
            "ttl" => self.ttl = Some(value.time()?),
            "namespace" => self.namespace = Some(value.text()?),
            "key" => self.key = Some(value.key()?),
            "fields" => self.fields = Some(value.names()?),
            "normalize" => self.normalize = Some(value.steps()?),
            "skip" => self.skip = value.names()?.into_iter().map(|Name(name)| name).collect(),
            "capacity" => self.capacity = Some(value.count()?),
            "cache_if" => self.cache_if = Some(value.predicate()?),
            "timeout" => self.timeout = Some(value.fixed_time()?),
            "wait" => self.wait = Some(value.fixed_time()?),
            "max_concurrent" => self.max_concurrent = Some(value.count()?),
            "on_abandon" => self.finish_abandoned = value.on_abandon()?,
            "companion" => self.companion = Some(value.name()?),
            // Their being written is all they say.
            "attached" | "method" => {}
            "crate" => self.krate = Some(value.path()?),
            other => unreachable!("`{other}` is in the table of words but not here"),
        }
        Ok(())
    }
}

fn end_of_argument(input: ParseStream<'_>) -> Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(());
    }
    Err(input.error("arguments are separated by `,`"))
}

fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>().expect("a stream that is not empty holds a token");
    }
}

/// A word whose value is to be read.
struct Value<'a> {
    word: &'static Word,
    at: Ident,
    input: ParseStream<'a>,
}

impl Value<'_> {
    fn time(&self) -> Result<Time> {
        let expression = self.expression()?;
        match bare(&expression) {
            Expr::Closure(closure) if closure.inputs.len() == 1 => Ok(Time::OfValue(expression)),
            Expr::Closure(closure) => {
                Err(Error::new_spanned(closure, "a closure for `ttl` takes one argument, the value: `|value| …`"))
            }
            _ => self.time_of(expression),
        }
    }

    fn fixed_time(&self) -> Result<Time> {
        let expression = self.expression()?;
        match bare(&expression) {
            Expr::Closure(closure) => {
                let message =
                    format!("`{}` is known before there is a value; only `ttl` takes a closure", self.word.name);
                Err(Error::new_spanned(closure, message))
            }
            _ => self.time_of(expression),
        }
    }

    fn time_of(&self, expression: Expr) -> Result<Time> {
        let fixed = match bare(&expression) {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Int(seconds) if seconds.suffix().is_empty() => {
                    seconds.base10_parse().ok().map(Duration::from_secs)
                }
                Lit::Str(text) => humantime::parse_duration(&text.value()).ok(),
                _ => None,
            },
            Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => None,
            _ => return Ok(Time::Computed(expression)),
        };
        match fixed {
            Some(Duration::ZERO) if self.word.name == "ttl" => Err(Error::new_spanned(
                expression,
                "a `ttl` of zero keeps nothing; leave `ttl` out to share only what is in flight",
            )),
            Some(Duration::ZERO) => Err(Error::new_spanned(
                expression,
                format!("a `{}` of zero ends every call; leave it out", self.word.name),
            )),
            Some(time) => Ok(Time::Fixed(time)),
            None => Err(Error::new_spanned(
                expression,
                format!("`{}` takes whole seconds or a duration with a unit, such as \"1m30s\"", self.word.name),
            )),
        }
    }

    fn count(&self) -> Result<Expr> {
        let expression = self.expression()?;
        let whole = match bare(&expression) {
            Expr::Lit(literal) => {
                matches!(&literal.lit, Lit::Int(count) if count.base10_parse().is_ok_and(|n: u64| n > 0))
            }
            Expr::Unary(unary) => !matches!(unary.op, UnOp::Neg(_)),
            Expr::Closure(_) => false,
            _ => true,
        };
        if whole {
            return Ok(expression);
        }
        Err(Error::new_spanned(expression, format!("`{}` takes a whole number of at least 1", self.word.name)))
    }

    fn text(&self) -> Result<LitStr> {
        let expression = self.expression()?;
        match literal_text(&expression) {
            Some(text) if !text.value().is_empty() => Ok(text),
            Some(_) => {
                Err(Error::new_spanned(expression, format!("`{}` is empty; {}", self.word.name, self.example())))
            }
            None => Err(self.wrong(expression, "text")),
        }
    }

    fn key(&self) -> Result<KeyArg> {
        if !self.input.peek(token::Paren) {
            let expression = self.expression()?;
            return match literal_text(&expression) {
                Some(text) => Ok(KeyArg::Text(text)),
                None => Err(self.wrong(expression, "expressions or text")),
            };
        }
        let content;
        parenthesized!(content in self.input);
        let parts = content.call(Punctuated::<Expr, Token![,]>::parse_terminated)?;
        if parts.is_empty() {
            return Err(Error::new(
                self.at.span(),
                "`key()` makes all calls equal; name what tells them apart, such as `key(user.id)`, or `skip` arguments",
            ));
        }
        Ok(KeyArg::Parts(parts.into_iter().collect()))
    }

    fn names<T: Parse + PartialEq + ToTokens>(&self) -> Result<Vec<T>> {
        let names = self.list()?;
        if names.is_empty() {
            return Err(Error::new(
                self.at.span(),
                format!("`{}` names no argument; {}", self.word.name, self.example()),
            ));
        }
        Ok(names)
    }

    fn steps(&self) -> Result<Vec<Ident>> {
        if self.input.peek(Token![=]) && !self.input.peek2(token::Bracket) {
            let name = self.name()?;
            if name == "none" {
                return Ok(Vec::new());
            }
            return Err(self.wrong(name, "a list of steps, or `none`"));
        }
        let steps: Vec<Ident> = self.list()?.into_iter().map(|Name(step)| step).collect();
        match steps.iter().find(|step| !STEPS.contains(&step.to_string().as_str())) {
            Some(step) => Err(self.wrong(step, "`nfkc`, `case`, `trim` and `spaces`")),
            None if steps.is_empty() => Err(Error::new(self.at.span(), "to take no step write `normalize = none`")),
            None => Ok(steps),
        }
    }

    /// `word(a, b)`, `word = [a, b]` or `word = ["a", "b"]`.
    fn list<T: Parse + PartialEq + ToTokens>(&self) -> Result<Vec<T>> {
        let content;
        if self.input.peek(token::Paren) {
            parenthesized!(content in self.input);
        } else {
            self.equals()?;
            if !self.input.peek(token::Bracket) {
                return Err(self.wrong(self.input.parse::<TokenTree>()?, "a list"));
            }
            bracketed!(content in self.input);
        }
        let list = self.items(&content);
        if list.is_err() {
            // What is left unread would be a second mistake.
            content.parse::<TokenStream>()?;
        }
        list
    }

    fn items<T: Parse + PartialEq + ToTokens>(&self, content: ParseStream<'_>) -> Result<Vec<T>> {
        let mut list = Vec::new();
        while !content.is_empty() {
            let name: T = content.parse()?;
            if !content.is_empty() && !content.peek(Token![,]) {
                let rest = content.parse::<TokenTree>()?;
                return Err(self.wrong(rest, "names, with `,` between them"));
            }
            content.parse::<Option<Token![,]>>()?;
            if list.contains(&name) {
                let written = name.to_token_stream().to_string().replace(' ', "");
                return Err(Error::new_spanned(name, format!("`{written}` is named twice")));
            }
            list.push(name);
        }
        Ok(list)
    }

    fn predicate(&self) -> Result<Expr> {
        let expression = self.expression()?;
        match bare(&expression) {
            Expr::Closure(closure) if closure.inputs.len() == 1 => Ok(expression),
            Expr::Path(_) => Ok(expression),
            _ => Err(self.wrong(expression, "a closure of the value, or the path of a function")),
        }
    }

    fn on_abandon(&self) -> Result<bool> {
        let expression = self.expression()?;
        match literal_text(&expression).map(|text| text.value()).as_deref() {
            Some("finish") => Ok(true),
            Some("cancel") => Ok(false),
            _ => Err(Error::new_spanned(expression, "`on_abandon` takes \"finish\" or \"cancel\"")),
        }
    }

    fn name(&self) -> Result<Ident> {
        self.equals()?;
        match self.input.parse()? {
            TokenTree::Ident(name) => Ok(name),
            other => Err(self.wrong(other, "a name without quotes")),
        }
    }

    fn path(&self) -> Result<Path> {
        self.equals()?;
        if self.input.peek(Lit) {
            return Err(self.wrong(self.input.parse::<Lit>()?, "a path without quotes"));
        }
        self.input.call(Path::parse_mod_style)
    }

    fn expression(&self) -> Result<Expr> {
        self.equals()?;
        self.input.parse()
    }

    /// The `=`, with something behind it.
    fn equals(&self) -> Result<()> {
        let missing = || Error::new(self.at.span(), format!("`{}` needs a value; {}", self.word.name, self.example()));
        if !self.input.peek(Token![=]) {
            return Err(missing());
        }
        self.input.parse::<Token![=]>()?;
        if self.input.is_empty() || self.input.peek(Token![,]) {
            return Err(missing());
        }
        Ok(())
    }

    fn wrong(&self, tokens: impl ToTokens, takes: &str) -> Error {
        Error::new_spanned(tokens, format!("`{}` takes {takes}; {}", self.word.name, self.example()))
    }

    fn example(&self) -> String {
        format!("write `{}`", self.word.example)
    }
}

/// An argument's name, with or without quotes.
#[derive(PartialEq)]
struct Name(Ident);

impl Parse for Name {
    fn parse(input: ParseStream<'_>) -> Result<Name> {
        perhaps_quoted(input, Ident::parse_any, "a name").map(Name)
    }
}

impl ToTokens for Name {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.0.to_tokens(tokens);
    }
}

impl Parse for Field {
    fn parse(input: ParseStream<'_>) -> Result<Field> {
        let parser = |input: ParseStream<'_>| {
            let argument = input.call(Ident::parse_any)?;
            let mut members = Vec::new();
            while input.parse::<Option<Token![.]>>()?.is_some() {
                // Two numbers and a dot are one token, a float.
                let Some(numbers) = input.parse::<Option<LitFloat>>()? else {
                    members.push(input.parse()?);
                    continue;
                };
                for number in numbers.to_string().split('.') {
                    let index = number.parse().map_err(|_| Error::new(numbers.span(), "not a field"))?;
                    members.push(Member::Unnamed(Index { index, span: numbers.span() }));
                }
            }
            Ok(Field { argument, members })
        };
        perhaps_quoted(input, parser, "an argument, or a field of one such as `request.model`")
    }
}

impl ToTokens for Field {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Field { argument, members } = self;
        tokens.extend(quote!(#argument #(.#members)*));
    }
}

fn perhaps_quoted<T>(
    input: ParseStream<'_>,
    parser: impl Fn(ParseStream<'_>) -> Result<T>,
    expected: &str,
) -> Result<T> {
    if !input.peek(LitStr) {
        return parser(input).map_err(|error| Error::new(error.span(), format!("expected {expected}")));
    }
    let text: LitStr = input.parse()?;
    text.parse_with(parser).map_err(|_| Error::new(text.span(), format!("this is not {expected}")))
}

/// The expression without parentheses, and without the invisible ones around what `macro_rules` passed on.
fn bare(mut expression: &Expr) -> &Expr {
    loop {
        expression = match expression {
            Expr::Group(group) => &group.expr,
            Expr::Paren(paren) => &paren.expr,
            _ => return expression,
        };
    }
}

fn literal_text(expression: &Expr) -> Option<LitStr> {
    match bare(expression) {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}
