//! How the value of a word is read: tokens → what [`Given`](crate::args::Given) holds.

use std::time::Duration;

use proc_macro2::{Ident, Literal, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprLit, Lit, LitStr, Path, Result, Token, UnOp, bracketed, parenthesized, parse_quote, token};

use crate::args::{Field, GUARDS, KeyArg, Name, STEPS, Time, skip_to_comma};
use crate::errors::suggest;
use crate::tags::TagsArg;
use crate::words::{Attribute, Word};

/// The runtime refreshes no value earlier than this asks for.
const MOST_EARLY: f64 = 100.0;

/// A word whose value is to be read.
pub(crate) struct Value<'a> {
    pub(crate) attribute: Attribute,
    pub(crate) word: &'static Word,
    pub(crate) at: Ident,
    pub(crate) input: ParseStream<'a>,
}

impl Value<'_> {
    /// A time that is known before there is a result.
    pub(crate) fn time(&self) -> Result<Time> {
        let expression = self.expression()?;
        match bare(&expression) {
            Expr::Closure(closure) => {
                let message = format!(
                    "`{}` is known before there is a result; only `ttl` and `cache_err` take a closure",
                    self.word.name
                );
                Err(Error::new_spanned(closure, message))
            }
            _ => self.time_without_closure(expression),
        }
    }

    /// A time, a closure of what is kept, or in the one attribute that keeps values unasked `none`, which keeps nothing.
    pub(crate) fn ttl(&self) -> Result<Time> {
        let ttl = self.time_of("value")?;
        match &ttl {
            Time::Computed(none) if is_none(none) && self.attribute == Attribute::DistributedCoalesce => {
                Ok(Time::Fixed(Duration::ZERO))
            }
            Time::Computed(none) if is_none(none) => Err(Error::new_spanned(none, self.zero())),
            _ => Ok(ttl),
        }
    }

    /// A time, or a closure of `what` is kept.
    pub(crate) fn time_of(&self, what: &str) -> Result<Time> {
        let expression = self.expression()?;
        match bare(&expression) {
            Expr::Closure(closure) if closure.inputs.len() == 1 => Ok(Time::OfResult(expression)),
            Expr::Closure(closure) => {
                let message =
                    format!("a closure for `{}` takes one argument, the {what}: `|{what}| …`", self.word.name);
                Err(Error::new_spanned(closure, message))
            }
            _ => self.time_without_closure(expression),
        }
    }

    fn time_without_closure(&self, expression: Expr) -> Result<Time> {
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
            Some(Duration::ZERO) if self.word.name != "none_ttl" => Err(Error::new_spanned(expression, self.zero())),
            Some(time) => Ok(Time::Fixed(time)),
            None => Err(Error::new_spanned(
                expression,
                format!("`{}` takes whole seconds or a duration with a unit, such as \"1m30s\"", self.word.name),
            )),
        }
    }

    /// What is wrong with a time of zero.
    fn zero(&self) -> String {
        let name = self.word.name;
        match (name, self.attribute) {
            ("ttl", Attribute::Cached) => {
                "a `ttl` of zero keeps nothing; for what is shared in flight only there is `#[coalesce]`".to_owned()
            }
            ("ttl", Attribute::DistributedCoalesce) => {
                "a `ttl` of zero keeps nothing; to share only what is in flight write `ttl = none`".to_owned()
            }
            ("ttl", Attribute::SemanticCoalesce) => {
                "a `ttl` of zero keeps nothing to be near to; for what is shared in flight only there is `#[coalesce]`"
                    .to_owned()
            }
            ("ttl", _) => "a `ttl` of zero keeps nothing; leave `ttl` out to share only what is in flight".to_owned(),
            ("lease", _) => "a `lease` of zero is lost at once; leave it out for the default of 5 seconds".to_owned(),
            ("cache_err", _) => "a `cache_err` of zero keeps no error; leave it out".to_owned(),
            ("stale" | "stale_if_error", _) => format!("a `{name}` of zero serves nothing old; leave it out"),
            ("soft_timeout", _) => {
                "a `soft_timeout` of zero waits for nothing new; leave it out, or serve old values with `stale`"
                    .to_owned()
            }
            _ => format!("a `{name}` of zero ends every call; leave it out"),
        }
    }

    /// How eagerly values are refreshed: the word alone says 1.
    pub(crate) fn early(&self) -> Result<Expr> {
        if !self.input.peek(Token![=]) {
            return Ok(parse_quote!(1.0));
        }
        let expression = self.expression()?;
        match number(&expression) {
            Number::Given(beta) if beta > 0.0 && beta <= MOST_EARLY => Ok(literal(beta, &expression)),
            Number::Computed => Ok(expression),
            _ => Err(Error::new_spanned(
                expression,
                "`early` takes a number above 0, up to 100: `early` alone means 1, and more is earlier",
            )),
        }
    }

    /// A part of the `ttl`.
    pub(crate) fn part(&self) -> Result<Expr> {
        self.share("`ttl`")
    }

    /// A part of the `whole`.
    pub(crate) fn share(&self, whole: &str) -> Result<Expr> {
        let expression = self.expression()?;
        match share(&expression) {
            Number::Given(part) if part > 0.0 && part <= 1.0 => Ok(literal(part, &expression)),
            Number::Computed => Ok(expression),
            _ => Err(Error::new_spanned(
                expression,
                format!(
                    "`{}` takes a part of the {whole}, above 0 and up to 1, such as 0.1, or a percentage, such as \"10%\"",
                    self.word.name
                ),
            )),
        }
    }

    /// A part that is neither nothing nor all.
    pub(crate) fn max_error(&self) -> Result<Expr> {
        let expression = self.expression()?;
        match share(&expression) {
            Number::Given(part) if part > 0.0 && part < 1.0 => Ok(literal(part, &expression)),
            Number::Computed => Ok(expression),
            _ => Err(Error::new_spanned(
                expression,
                "`max_error` takes the part of the semantic hits that may be wrong, above 0 and below 1, such as 0.02, or a \
                 percentage, such as \"2%\"",
            )),
        }
    }

    /// The path of a function.
    pub(crate) fn function_path(&self) -> Result<Expr> {
        let expression = self.expression()?;
        match bare(&expression) {
            Expr::Path(_) => Ok(expression),
            _ => {
                Err(self
                    .wrong(expression, "the path of an async function of the question, the one found, and its answer"))
            }
        }
    }

    /// A function of two values.
    pub(crate) fn comparison(&self) -> Result<Expr> {
        let expression = self.expression()?;
        match bare(&expression) {
            Expr::Closure(closure) if closure.inputs.len() == 2 => Ok(expression),
            Expr::Path(_) => Ok(expression),
            _ => Err(self.wrong(expression, "a closure of the old and the new value, or the path of a function")),
        }
    }

    /// `true` or `false`: the word alone says `true`.
    pub(crate) fn yes_or_no(&self) -> Result<bool> {
        if !self.input.peek(Token![=]) {
            return Ok(true);
        }
        let expression = self.expression()?;
        match bare(&expression) {
            Expr::Lit(ExprLit { lit: Lit::Bool(answer), .. }) => Ok(answer.value),
            _ => Err(self.wrong(expression, "`true` or `false`")),
        }
    }

    pub(crate) fn version(&self) -> Result<Expr> {
        let expression = self.expression()?;
        let fits = match bare(&expression) {
            Expr::Lit(literal) => {
                matches!(&literal.lit, Lit::Int(version) if ["", "u32"].contains(&version.suffix()) && version.base10_parse::<u32>().is_ok())
            }
            Expr::Unary(unary) => !matches!(unary.op, UnOp::Neg(_)),
            Expr::Closure(_) => false,
            _ => true,
        };
        if fits {
            return Ok(expression);
        }
        Err(self.wrong(expression, "a whole number that fits `u32`"))
    }

    pub(crate) fn count(&self) -> Result<Expr> {
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

    pub(crate) fn text(&self) -> Result<LitStr> {
        let expression = self.expression()?;
        match literal_text(&expression) {
            Some(text) if !text.value().is_empty() => Ok(text),
            Some(_) => {
                Err(Error::new_spanned(expression, format!("`{}` is empty; {}", self.word.name, self.example())))
            }
            None => Err(self.wrong(expression, "text")),
        }
    }

    pub(crate) fn key(&self) -> Result<KeyArg> {
        if !self.input.peek(token::Paren) {
            let expression = self.expression()?;
            return match literal_text(&expression) {
                _ if self.attribute == Attribute::SemanticCoalesce => {
                    Err(self.wrong(expression, "a list of expressions: what has to be equal besides the question"))
                }
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

    pub(crate) fn names<T: Parse + PartialEq + ToTokens>(&self) -> Result<Vec<T>> {
        let names = self.list()?;
        if names.is_empty() {
            return Err(Error::new(
                self.at.span(),
                format!("`{}` names no argument; {}", self.word.name, self.example()),
            ));
        }
        Ok(names)
    }

    pub(crate) fn steps(&self) -> Result<Vec<Ident>> {
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

    /// A function of the value.
    pub(crate) fn function(&self) -> Result<Expr> {
        let expression = self.expression()?;
        match bare(&expression) {
            Expr::Closure(closure) if closure.inputs.len() == 1 => Ok(expression),
            Expr::Path(_) => Ok(expression),
            _ => Err(self.wrong(expression, "a closure of the value, or the path of a function")),
        }
    }

    /// An argument, or a field of one.
    pub(crate) fn field(&self) -> Result<Field> {
        self.equals()?;
        let rest = self.input.fork();
        let field = self.input.parse();
        if field.is_ok() && (self.input.is_empty() || self.input.peek(Token![,])) {
            return field;
        }
        let written: Expr = rest.parse()?;
        skip_to_comma(self.input);
        Err(self.wrong(written, "an argument, or a field of one such as `request.text`"))
    }

    /// A cosine.
    pub(crate) fn threshold(&self) -> Result<Expr> {
        let expression = self.expression()?;
        let (number, minus) = match bare(&expression) {
            Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => (number(&unary.expr), Some(unary.op)),
            other => (number(other), None),
        };
        match number {
            Number::Given(cosine) if cosine <= 1.0 => {
                let cosine = literal(cosine, &expression);
                Ok(parse_quote!(#minus #cosine))
            }
            Number::Computed => Ok(expression),
            _ => Err(Error::new_spanned(
                expression,
                "`threshold` takes a cosine similarity from -1 to 1, such as 0.92: the nearer to 1, the more alike",
            )),
        }
    }

    /// An embedder, or a function that is one.
    pub(crate) fn embedder(&self) -> Result<Expr> {
        let expression = self.expression()?;
        match bare(&expression) {
            Expr::Lit(_) => Err(self.wrong(expression, "an embedder, or the path of an async function")),
            Expr::Closure(_) | Expr::Async(_) => Err(Error::new_spanned(
                expression,
                "embeddings are kept under the name of their model, and a closure has none; write the path of an async \
                 function, or `embed = semantic::from_fn(\"model\", 0, |texts| …)`",
            )),
            _ => Ok(expression),
        }
    }

    pub(crate) fn guards(&self) -> Result<Vec<Ident>> {
        if self.input.peek(Token![=]) && !self.input.peek2(token::Bracket) {
            let name = self.name()?;
            if name == "none" {
                return Ok(Vec::new());
            }
            return Err(self.wrong(name, "a list of guards, or `none`"));
        }
        let guards: Vec<Ident> = self.list()?.into_iter().map(|Name(guard)| guard).collect();
        match guards.iter().find(|guard| !GUARDS.contains(&guard.to_string().as_str())) {
            Some(guard) => Err(match suggest(&guard.to_string(), GUARDS) {
                Some(meant) => Error::new_spanned(guard, format!("unknown guard `{guard}`; did you mean `{meant}`?")),
                None => self.wrong(guard, "`numbers`, `antonyms`, `negation`, `entities` and `quoted`"),
            }),
            None if guards.is_empty() => Err(Error::new(self.at.span(), "to have no guard write `guard = none`")),
            None => Ok(guards),
        }
    }

    /// Texts, and at the end perhaps a function of the value.
    pub(crate) fn tags(&self) -> Result<TagsArg> {
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
        let (mut tags, mut parts) =
            (TagsArg::default(), content.call(Punctuated::<Expr, Token![,]>::parse_terminated)?);
        if parts.is_empty() {
            return Err(Error::new(self.at.span(), format!("`tags` names none; {}", self.example())));
        }
        if let Some(last) = parts.last()
            && literal_text(last).is_none()
        {
            let last = parts.pop().expect("there is one");
            let is_function = match bare(&last) {
                Expr::Closure(closure) => closure.inputs.len() == 1,
                other => matches!(other, Expr::Path(_)),
            };
            if !is_function {
                return Err(
                    self.wrong(last, "texts, and last perhaps a closure of the value, or the path of a function")
                );
            }
            tags.of_value = Some(last);
        }
        for part in parts {
            match literal_text(&part) {
                Some(text) if !text.value().is_empty() => tags.texts.push(text),
                Some(text) => return Err(Error::new_spanned(text, format!("a tag is empty; {}", self.example()))),
                None => return Err(self.wrong(part, "texts, and last perhaps a closure of the value")),
            }
        }
        Ok(tags)
    }

    /// What shows whose a call is.
    pub(crate) fn tenant(&self) -> Result<Expr> {
        let expression = self.expression()?;
        match bare(&expression) {
            written if is_none(written) || matches!(written, Expr::Closure(_) | Expr::Lit(_)) => {
                Err(self.wrong(expression, "an expression of the arguments, whose `Display` names the tenant"))
            }
            _ => Ok(expression),
        }
    }

    pub(crate) fn on_abandon(&self) -> Result<bool> {
        let expression = self.expression()?;
        match literal_text(&expression).map(|text| text.value()).as_deref() {
            Some("finish") => Ok(true),
            Some("cancel") => Ok(false),
            _ => Err(Error::new_spanned(expression, "`on_abandon` takes \"finish\" or \"cancel\"")),
        }
    }

    pub(crate) fn name(&self) -> Result<Ident> {
        self.equals()?;
        match self.input.parse()? {
            TokenTree::Ident(name) => Ok(name),
            other => Err(self.wrong(other, "a name without quotes")),
        }
    }

    pub(crate) fn path(&self) -> Result<Path> {
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
        let example = match (self.word.name, self.attribute) {
            ("key", Attribute::SemanticCoalesce) => "key(request.model)",
            _ => self.word.example,
        };
        format!("write `{example}`")
    }
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

fn is_none(expression: &Expr) -> bool {
    matches!(bare(expression), Expr::Path(path) if path.path.is_ident("none"))
}

/// A part of a whole, as a number or as a percentage.
fn share(expression: &Expr) -> Number {
    let percent = |text: LitStr| text.value().strip_suffix('%').and_then(|number| number.trim().parse().ok());
    match literal_text(expression) {
        Some(text) => percent(text).map_or(Number::Wrong, |percent: f64| Number::Given(percent / 100.0)),
        None => number(expression),
    }
}

/// A number, if it was written as one.
enum Number {
    Given(f64),
    /// An expression of type `f64`.
    Computed,
    Wrong,
}

fn number(expression: &Expr) -> Number {
    let given = match bare(expression) {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(number) if ["", "f64"].contains(&number.suffix()) => number.base10_parse().ok(),
            Lit::Float(number) if ["", "f64"].contains(&number.suffix()) => number.base10_parse().ok(),
            _ => None,
        },
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => None,
        Expr::Closure(_) => None,
        _ => return Number::Computed,
    };
    given.map_or(Number::Wrong, Number::Given)
}

/// A number at the place of `at`.
fn literal(number: f64, at: &Expr) -> Expr {
    let mut literal = Literal::f64_unsuffixed(number);
    literal.set_span(at.span());
    Expr::Lit(ExprLit { attrs: Vec::new(), lit: Lit::new(literal) })
}
