//! What was written between the parentheses of an attribute: tokens → [`Args`]. Nothing is decided here that needs the
//! function; a mistake in one argument does not hide the next.

use std::time::Duration;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Error, Expr, Index, LitFloat, LitStr, Member, Path, Result, Token};

use crate::errors::{Errors, all};
use crate::policy::LEAVING;
use crate::tags::TagsArg;
use crate::value::Value;
use crate::words::{Attribute, Word};

pub(crate) struct Args {
    pub(crate) attribute: Attribute,
    /// The words as they were written, those with a bad value too: a rule about what is missing must not count them.
    written: Vec<Ident>,
    pub(crate) given: Given,
}

/// What the words were given.
#[derive(Default)]
pub(crate) struct Given {
    pub(crate) namespace: Option<LitStr>,
    pub(crate) key: Option<KeyArg>,
    pub(crate) fields: Option<Vec<Field>>,
    pub(crate) skip: Vec<Ident>,
    pub(crate) normalize: Option<Vec<Ident>>,
    pub(crate) ttl: Option<Time>,
    pub(crate) stale: Option<Time>,
    pub(crate) stale_if_error: Option<Time>,
    pub(crate) early: Option<Expr>,
    pub(crate) jitter: Option<Expr>,
    pub(crate) cache_if: Option<Expr>,
    pub(crate) none_ttl: Option<Time>,
    pub(crate) cache_err: Option<Time>,
    pub(crate) capacity: Option<Expr>,
    pub(crate) weigh: Option<Expr>,
    pub(crate) cost: Option<Expr>,
    pub(crate) tags: Option<TagsArg>,
    pub(crate) timeout: Option<Time>,
    pub(crate) soft_timeout: Option<Time>,
    pub(crate) wait: Option<Time>,
    pub(crate) max_concurrent: Option<Expr>,
    pub(crate) backend: Option<LitStr>,
    pub(crate) version: Option<Expr>,
    pub(crate) lease: Option<Time>,
    pub(crate) share_errors: Option<bool>,
    pub(crate) query: Option<Field>,
    pub(crate) threshold: Option<Expr>,
    pub(crate) embed: Option<Expr>,
    pub(crate) guards: Option<Vec<Ident>>,
    pub(crate) tenant: Option<Expr>,
    pub(crate) verify: Option<Expr>,
    pub(crate) verify_timeout: Option<Time>,
    pub(crate) verify_concurrent: Option<Expr>,
    pub(crate) shadow: Option<Expr>,
    pub(crate) agree: Option<Expr>,
    pub(crate) max_error: Option<Expr>,
    pub(crate) finish_abandoned: bool,
    pub(crate) companion: Option<Ident>,
    pub(crate) krate: Option<Path>,
}

/// A time as it was written.
pub(crate) enum Time {
    Fixed(Duration),
    /// An expression of type `Duration`.
    Computed(Expr),
    /// A closure of what is kept.
    OfResult(Expr),
}

impl Time {
    /// The time, if it was written as one.
    pub(crate) fn fixed(&self) -> Option<Duration> {
        if let Time::Fixed(time) = self { Some(*time) } else { None }
    }
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

/// The guards, as the runtime knows them.
pub(crate) const GUARDS: [&str; 5] = ["numbers", "antonyms", "negation", "entities", "quoted"];

impl Args {
    pub(crate) fn parse(attribute: Attribute, tokens: TokenStream, errors: &mut Errors) -> Args {
        let mut args = Args { attribute, written: Vec::new(), given: Given::default() };
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

    /// Those of `names` that were written.
    pub(crate) fn words<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a Ident> {
        names.iter().filter_map(|name| self.word(name))
    }

    /// What to write for the body to stay in its call.
    pub(crate) fn how_to_stay(&self, is_sync: bool) -> String {
        if is_sync { format!("remove {}", all(self.words(LEAVING))) } else { "say `attached`".to_owned() }
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
        let (value, given) = (Value { attribute: self.attribute, word, at, input }, &mut self.given);
        match word.name {
            "namespace" => given.namespace = Some(value.text()?),
            "key" => given.key = Some(value.key()?),
            "fields" => given.fields = Some(value.names()?),
            "normalize" => given.normalize = Some(value.steps()?),
            "skip" => given.skip = value.names()?.into_iter().map(|Name(name)| name).collect(),
            "ttl" => given.ttl = Some(value.ttl()?),
            "stale" => given.stale = Some(value.time()?),
            "stale_if_error" => given.stale_if_error = Some(value.time()?),
            "early" => given.early = Some(value.early()?),
            "jitter" => given.jitter = Some(value.part()?),
            "cache_if" => given.cache_if = Some(value.function()?),
            "none_ttl" => given.none_ttl = Some(value.time()?),
            "cache_err" => given.cache_err = Some(value.time_of("error")?),
            "capacity" => given.capacity = Some(value.count()?),
            "weigh" => given.weigh = Some(value.function()?),
            "cost" => given.cost = Some(value.function()?),
            "tags" => given.tags = Some(value.tags()?),
            "timeout" => given.timeout = Some(value.time()?),
            "soft_timeout" => given.soft_timeout = Some(value.time()?),
            "wait" => given.wait = Some(value.time()?),
            "max_concurrent" => given.max_concurrent = Some(value.count()?),
            "backend" => given.backend = Some(value.text()?),
            "version" => given.version = Some(value.version()?),
            "lease" => given.lease = Some(value.time()?),
            "share_errors" => given.share_errors = Some(value.yes_or_no()?),
            "query" => given.query = Some(value.field()?),
            "threshold" => given.threshold = Some(value.threshold()?),
            "embed" => given.embed = Some(value.embedder()?),
            "guard" => given.guards = Some(value.guards()?),
            "tenant" => given.tenant = Some(value.tenant()?),
            "verify" => given.verify = Some(value.function_path()?),
            "verify_timeout" => given.verify_timeout = Some(value.time()?),
            "verify_concurrent" => given.verify_concurrent = Some(value.count()?),
            "shadow" => given.shadow = Some(value.share("semantic hits")?),
            "agree" => given.agree = Some(value.comparison()?),
            "max_error" => given.max_error = Some(value.max_error()?),
            "on_abandon" => given.finish_abandoned = value.on_abandon()?,
            "companion" => given.companion = Some(value.name()?),
            // Their being written is all they say.
            "attached" | "method" => {}
            "crate" => given.krate = Some(value.path()?),
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

pub(crate) fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>().expect("a stream that is not empty holds a token");
    }
}

/// An argument's name, with or without quotes.
#[derive(PartialEq)]
pub(crate) struct Name(pub(crate) Ident);

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
