//! What tells calls apart: `key`, `fields`, `skip` and the arguments → one key expression.

mod question;
pub(crate) mod text;

use std::collections::BTreeSet;

use proc_macro2::{Ident, Literal, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, ExprReference, LitStr, Member, Token};

use self::question::Question;
use crate::args::{Args, Field, KeyArg, STEPS};
use crate::errors::{Errors, list, suggest};
use crate::item::{Input, Item, SelfPassing};
use crate::types::Passing;
use crate::words::Attribute;

/// The key expression, every part a reference, and what it is made of.
pub(crate) struct Key {
    pub(crate) shape: Shape,
    pub(crate) mentions: Mentions,
}

pub(crate) enum Shape {
    /// A tuple, compared as it is.
    Parts(Vec<TokenStream>),
    /// A readable text with one placeholder for each value.
    Text(LitStr, Vec<Value>),
    /// A question, compared by its meaning, and what is compared as it is. All are references.
    Meaning { question: TokenStream, tenant: Option<TokenStream>, parts: Vec<TokenStream> },
    /// Named fields, compared by their content.
    Content(Steps, Vec<(String, TokenStream)>),
}

/// A value in a text.
pub(crate) struct Value {
    pub(crate) place: TokenStream,
    /// How it is formatted: a format text for this value alone.
    pub(crate) spec: String,
    /// The character after it, if there is one.
    pub(crate) stop: Option<char>,
}

/// Which of [`STEPS`] are taken, in that order.
pub(crate) type Steps = [bool; STEPS.len()];

/// The arguments that tokens mention. A companion's functions take those of the key; a flight owns those of the body.
#[derive(Default)]
pub(crate) struct Mentions {
    pub(crate) receiver: bool,
    /// By position among the arguments.
    pub(crate) inputs: BTreeSet<usize>,
    /// Those of them that are mentioned by a name in their pattern.
    pub(crate) patterns: BTreeSet<usize>,
}

impl Key {
    pub(crate) fn new(args: &Args, item: &Item, errors: &mut Errors) -> Key {
        let question = question::find(args, item, errors);
        let named = question.as_ref().and_then(Question::argument);
        let mut key = match &args.given.key {
            Some(KeyArg::Parts(parts)) => Key::of_parts(parts, item),
            Some(KeyArg::Text(text)) => Key::of_text(text, item, errors),
            None => Key::of_arguments(args, item, named, errors),
        };
        if let Some(question) = question {
            key = question.into_key(key, args, item, errors);
        }
        key
    }

    fn of_parts(parts: &[Expr], item: &Item) -> Key {
        let mentions = Mentions::of(quote!(#(#parts)*), item);
        Key { shape: Shape::Parts(parts.iter().map(|part| part_reference(part, item)).collect()), mentions }
    }

    fn of_text(text: &LitStr, item: &Item, errors: &mut Errors) -> Key {
        let (format, values) = errors.keep(text::placeholders(text, &|name| find(name, item))).unwrap_or_default();
        let places = values.iter().map(|value| &value.place);
        let mentions = Mentions::of(quote!(#(#places)* #text), item);
        Key { shape: Shape::Text(LitStr::new(&format, text.span()), values), mentions }
    }

    /// All that are not left out. `question`: one that counts elsewhere.
    fn of_arguments(args: &Args, item: &Item, question: Option<&Ident>, errors: &mut Errors) -> Key {
        // Whether it is said if `self` counts. What is said wrongly is reported already.
        let mut is_self_said = args.word("key").is_some() || args.word("fields").is_some();
        is_self_said |= args.word("skip").is_some() && args.given.skip.is_empty();
        let fields = || args.given.fields.iter().flatten();
        for name in fields().map(|field| &field.argument).chain(&args.given.skip) {
            if let Err(message) = find(&name.unraw().to_string(), item) {
                errors.at(name, message);
                is_self_said = true;
            }
        }
        // What of an argument counts: its name and a reference to it, or those of the fields that are named.
        let skips = |name: &str| args.given.skip.iter().chain(question).any(|skipped| skipped.unraw() == name);
        let counting = |plain: &str, whole: TokenStream| -> Vec<(String, TokenStream)> {
            if args.given.fields.is_none() {
                return if skips(plain) { Vec::new() } else { vec![(plain.to_owned(), whole)] };
            }
            let named = fields().filter(|field| field.argument.unraw() == plain);
            named.map(|field| (field_name(field), field_reference(field, &whole))).collect()
        };
        let mut mentions = Mentions::default();
        let mut parts = Vec::new();
        if let Some(receiver) = &item.receiver {
            let counts = counting("self", self_reference(item));
            if !counts.is_empty() && !is_self_said {
                errors.at(&receiver.written, how_to_say_self(args.attribute));
            }
            mentions.receiver = !counts.is_empty();
            parts.extend(counts);
        }
        for (position, input) in item.inputs.iter().enumerate() {
            let bound: Vec<String> = input.bound.iter().map(|name| name.unraw().to_string()).collect();
            // A pattern counts as a whole, unless one of its names says otherwise.
            let by_name = !bound.is_empty() && (args.given.fields.is_some() || bound.iter().any(|name| skips(name)));
            let counts: Vec<_> = if by_name {
                let each = bound.iter().zip(&input.bound);
                each.flat_map(|(plain, name)| counting(plain, refer(name, name.span()))).collect()
            } else if input.is_named {
                counting(&input.plain_name(), input_reference(input))
            } else if args.given.fields.is_none() {
                vec![(format!("{position}"), input_reference(input))]
            } else {
                Vec::new()
            };
            if let (true, Some(skipped)) = (input.bound_twice, args.given.skip.iter().find(|name| input.binds(name))) {
                errors.at(skipped, "another name in its pattern holds it too; name what counts with `key(…)`");
            }
            if !counts.is_empty() {
                mentions.inputs.insert(position);
                if by_name {
                    mentions.patterns.insert(position);
                }
            }
            parts.extend(counts);
        }
        let shape = match args.attribute {
            Attribute::CoalesceByContent => Shape::Content(steps(args.given.normalize.as_deref()), parts),
            _ => Shape::Parts(parts.into_iter().map(|(_, part)| part).collect()),
        };
        Key { shape, mentions }
    }
}

/// `request.model`, as it stands in the digest.
fn field_name(field: &Field) -> String {
    let members = field.members.iter().map(|member| match member {
        Member::Named(name) => name.unraw().to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    });
    [field.argument.unraw().to_string()].into_iter().chain(members).collect::<Vec<_>>().join(".")
}

fn field_reference(field: &Field, whole: &TokenStream) -> TokenStream {
    if field.members.is_empty() { whole.clone() } else { refer(field, field.span()) }
}

/// `self` is never silently in or out of a key.
fn how_to_say_self(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::CoalesceByContent => {
            "say whether `self` counts: name it in `fields(self, …)`, or leave it out with `skip(self)`"
        }
        _ => "say what of `self` tells calls apart, as in `key(self.id, …)`, or that nothing does: `skip(self)`",
    }
}

fn steps(chosen: Option<&[Ident]>) -> Steps {
    STEPS.map(|step| chosen.is_none_or(|chosen| chosen.iter().any(|name| name == step)))
}

fn self_reference(item: &Item) -> TokenStream {
    let receiver = item.receiver.as_ref().expect("asked for only where there is one");
    let word = receiver.written.self_token;
    match receiver.passing {
        SelfPassing::Reference | SelfPassing::Pointer => quote!(#word),
        SelfPassing::Value => refer(word, word.span),
    }
}

fn input_reference(input: &Input) -> TokenStream {
    let name = &input.name;
    match input.passing {
        Passing::Reference => quote!(#name),
        Passing::Value | Passing::OptionalReference | Passing::Cow => refer(name, name.span()),
    }
}

/// A reference to an expression at its own place, where the compiler then reports what it cannot do in a key.
fn refer(expression: impl ToTokens, at: Span) -> TokenStream {
    quote_spanned!(Span::mixed_site().located_at(at)=> &#expression)
}

/// A part of `key(…)`; what is a reference already needs no second `&`.
fn part_reference(part: &Expr, item: &Item) -> TokenStream {
    if let Expr::Path(path) = part
        && let Some(name) = path.path.get_ident()
    {
        match item.input(name) {
            Some(input) if input.passing == Passing::Reference => return quote!(#part),
            None if name == "self" && item.receiver.is_some() => return self_reference(item),
            _ => {}
        }
    }
    let (and_token, expr) = (Token![&](Span::mixed_site().located_at(part.span())), Box::new(part.clone()));
    ExprReference { attrs: Vec::new(), and_token, mutability: None, expr }.into_token_stream()
}

impl Mentions {
    pub(crate) fn of(tokens: TokenStream, item: &Item) -> Mentions {
        let mut mentions = Mentions::default();
        mentions.scan(tokens, item);
        mentions
    }

    /// Adds what is named: by a word, or inside a text such as `"{id}"`. To find too much costs little.
    fn scan(&mut self, tokens: TokenStream, item: &Item) {
        let mut dots = 0;
        for token in tokens {
            let is_field = dots == 1;
            dots = 0;
            match token {
                TokenTree::Group(group) => self.scan(group.stream(), item),
                TokenTree::Punct(dot) if dot.as_char() == '.' => dots = 1 + usize::from(is_field),
                TokenTree::Ident(word) if !is_field => self.add(&word.unraw().to_string(), item),
                TokenTree::Literal(text) => self.scan_text(&text, item),
                _ => {}
            }
        }
    }

    fn scan_text(&mut self, literal: &Literal, item: &Item) {
        let Ok(text) = syn::parse2::<LitStr>(literal.to_token_stream()) else { return };
        let text = text.value();
        for inside in text.split('{').skip(1) {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let end = inside.find(|c| !is_part(c)).unwrap_or(inside.len());
            self.add(&inside[..end], item);
            // A width or a precision may be an argument's, too: `{:>width$}`.
            let spec = inside.split('}').next().unwrap_or_default();
            for name in spec.split('$').map(|before| before.trim_start_matches(|c| !is_part(c))) {
                self.add(name.rsplit(|c| !is_part(c)).next().unwrap_or_default(), item);
            }
        }
    }

    fn add(&mut self, plain_name: &str, item: &Item) {
        self.receiver |= plain_name == "self" && item.receiver.is_some();
        if let Some(position) = item.position(plain_name) {
            self.inputs.insert(position);
            if !item.inputs[position].is_named {
                self.patterns.insert(position);
            }
        }
    }
}

/// The argument `plain_name` as an expression, or a sentence that says what there is.
pub(crate) fn find(plain_name: &str, item: &Item) -> std::result::Result<Ident, String> {
    let receiver = item.receiver.as_ref().map(|receiver| Ident::new("self", receiver.written.self_token.span));
    let of_input = |input: &Input| if input.is_named { vec![input.name.clone()] } else { input.bound.clone() };
    let inputs = item.inputs.iter().flat_map(of_input);
    let names: Vec<(String, Ident)> =
        receiver.into_iter().chain(inputs).map(|name| (name.unraw().to_string(), name)).collect();
    if let Some((_, name)) = names.iter().find(|(known, _)| known == plain_name) {
        return Ok(name.clone());
    }
    let function = &item.signature.ident;
    let known = || names.iter().map(|(known, _)| known.as_str());
    Err(match suggest(plain_name, known()) {
        Some(meant) => format!("`{function}` has no argument `{plain_name}`; did you mean `{meant}`?"),
        None if names.is_empty() => format!("`{function}` has no argument `{plain_name}`, nor any that has a name"),
        None => format!("`{function}` has no argument `{plain_name}`; it has {}", list(known())),
    })
}
