//! Keys of functions that compare meanings: a question, and what has to be equal.
//!
//! In memory such a key is like any other: the arguments as they are. Outside it is a [`Question`], which is made on a miss.

use std::fmt::{self, Display};
use std::hash::Hasher;

use super::{ByRef, Feed, Id, Look};

/// A question, whose it is, and the rest of the arguments.
#[derive(Debug)]
pub struct Meaning<Q, T, R> {
    question: Q,
    tenant: T,
    rest: R,
    /// What the call insists on. Another call's answer may not be near enough for it.
    least: Option<f32>,
}

impl<Q: Asked, T: Whose, R: Look> Meaning<Q, T, R> {
    /// The key of a call that is being made.
    #[inline]
    pub fn new(question: Q, tenant: T, rest: R) -> Meaning<Q, T, R> {
        Meaning { question, tenant, rest, least: None }
    }
}

impl<Q: Asked, T: Whose, R: Look> Look for Meaning<Q, T, R> {
    type Own = (Option<u32>, Q::Own, T::Own, R::Own);
    const HAS_QUESTION: bool = true;

    #[inline(always)]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.question.hash(hasher);
        self.tenant.hash(hasher);
        self.rest.hash(hasher);
    }

    #[inline(always)]
    fn is(&self, own: &Self::Own) -> bool {
        let (least, question, tenant, rest) = own;
        self.question.is(question)
            && self.rest.is(rest)
            && self.tenant.is(tenant)
            && self.least.map(f32::to_bits) == *least
    }

    fn own(&self) -> Self::Own {
        (self.least.map(f32::to_bits), self.question.own(), self.tenant.own(), self.rest.own())
    }

    #[inline(always)]
    fn again(&self) -> Self {
        let Meaning { question, tenant, rest, least } = self;
        Meaning { question: question.again(), tenant: tenant.again(), rest: rest.again(), least: *least }
    }

    #[cfg(feature = "semantic")]
    fn insist(&mut self, least: f32) {
        self.least = Some(least);
    }

    #[cfg(feature = "semantic")]
    fn id(&self) -> Option<Id> {
        let Some(Id::Digest(rest)) = self.rest.id() else { return None };
        let question = Question::new(self.question.text(), &self.tenant.name(), rest, self.least);
        Some(Id::Meaning(Box::new(question)))
    }

    #[cfg(not(feature = "semantic"))]
    fn id(&self) -> Option<Id> {
        None
    }
}

/// A part of a key that is a question.
pub trait Asked: Look {
    /// What is asked.
    fn text(&self) -> &str;
}

/// A text as a question, whatever type it came in.
pub struct Asking<'a>(ByRef<'a, str>);

impl<'a> Asking<'a> {
    /// The question.
    #[inline(always)]
    #[must_use]
    pub fn new(text: &'a str) -> Asking<'a> {
        Asking(ByRef(text))
    }
}

impl Asked for Asking<'_> {
    fn text(&self) -> &str {
        self.0.0
    }
}

/// What is asked is its user's.
impl fmt::Debug for Asking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("bytes", &self.text().len()).finish_non_exhaustive()
    }
}

impl Look for Asking<'_> {
    type Own = String;

    #[inline(always)]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
    }

    #[inline(always)]
    fn is(&self, own: &String) -> bool {
        self.0.is(own)
    }

    fn own(&self) -> String {
        self.0.own()
    }

    #[inline(always)]
    fn again(&self) -> Self {
        Asking(self.0.again())
    }
}

/// A part of a key that says whose a call is.
pub trait Whose: Look {
    /// The name of the tenant, in an index.
    fn name(&self) -> String;
}

/// A value as the name of a tenant.
#[derive(Debug)]
pub struct Tenant<'a, L, T: ?Sized>(pub L, pub &'a T);

impl<L: Look, T: ?Sized + Display> Whose for Tenant<'_, L, T> {
    fn name(&self) -> String {
        self.1.to_string()
    }
}

// As in `checked`: inherent methods come before those of traits.

impl<L: Look, T: ?Sized + Display> Tenant<'_, L, T> {
    /// The tenant, if it has a name.
    #[inline]
    #[must_use]
    pub fn stampede_tenant(self) -> Self {
        self
    }
}

/// For what has been reported.
pub trait InsteadOfTenant: Sized {
    /// The replacement.
    fn stampede_tenant(self) -> NoTenant {
        NoTenant
    }
}

impl<L, T: ?Sized> InsteadOfTenant for Tenant<'_, L, T> {}

/// Nobody in particular.
#[derive(Clone, Copy, Debug)]
pub struct NoTenant;

impl Whose for NoTenant {
    fn name(&self) -> String {
        String::new()
    }
}

impl<L: Look, T: ?Sized> Look for Tenant<'_, L, T> {
    type Own = L::Own;

    #[inline(always)]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
    }

    #[inline(always)]
    fn is(&self, own: &L::Own) -> bool {
        self.0.is(own)
    }

    fn own(&self) -> L::Own {
        self.0.own()
    }

    #[inline(always)]
    fn again(&self) -> Self {
        Tenant(self.0.again(), self.1)
    }
}

impl Look for NoTenant {
    type Own = ();

    #[inline(always)]
    fn hash<H: Hasher>(&self, _: &mut H) {}

    #[inline(always)]
    fn is(&self, (): &()) -> bool {
        true
    }

    fn own(&self) {}

    fn again(&self) -> NoTenant {
        NoTenant
    }

    fn feed(&self, _: &mut Feed) -> bool {
        true
    }
}

/// What can be a question.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no text, so its meaning cannot be compared",
    label = "a question must implement `AsRef<str>`",
    note = "name the text that is asked with `query = argument` or `query = argument.field`"
)]
pub trait IsText: AsRef<str> {}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + AsRef<str>> IsText for T {}

/// The text of a question.
#[inline]
pub fn text_of<T: ?Sized + IsText>(value: &T) -> &str {
    value.as_ref()
}

/// What can name a tenant.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no name to be kept under as a tenant",
    label = "a tenant must implement `std::fmt::Display`",
    note = "name what tells tenants apart, such as `tenant = user.organisation`"
)]
pub trait NamesTenant: Display {}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + Display> NamesTenant for T {}

/// Reports what cannot name a tenant.
#[inline]
pub fn must_name<T: ?Sized + NamesTenant>(_value: &T) {}

#[cfg(feature = "semantic")]
pub(crate) use self::question::Question;

#[cfg(feature = "semantic")]
mod question {
    use std::borrow::Cow;
    use std::fmt;
    use std::sync::OnceLock;

    use crate::key::canonical;
    use crate::key::content::Steps;
    use crate::semantic::{Embedding, QUESTION_BYTES_MAX};

    /// A question as it stands outside of memory.
    ///
    /// Questions are equal in their normal form: Unicode NFKC, case folded, no white space around it and single spaces in it.
    /// What is raised, lowered or a fraction is told from what it stands behind. The embedder and the guards get it without the
    /// case folded, which says something.
    #[derive(Clone)]
    pub struct Question {
        /// Of all that tells it from other questions of its function.
        pub(crate) digest: [u8; 32],
        /// Of its normal form.
        pub(crate) hash: [u8; 32],
        /// Of tenant and the rest of the arguments.
        pub(crate) partition: [u8; 32],
        /// Of the rest of the arguments.
        pub(crate) arguments: [u8; 32],
        pub(crate) tenant: Box<str>,
        /// What is asked. Empty: nothing, or more than has its meaning compared.
        pub(crate) text: Box<str>,
        /// How near an answer's question has to be at least, if its call says more than its function.
        pub(crate) least: Option<f32>,
        /// Its meaning, once that is known.
        pub(crate) embedding: OnceLock<Embedding>,
        /// It had none when it was looked up. What comes of that look-up is kept without one: a miss asks the embedder once.
        pub(crate) not_embedded: OnceLock<()>,
    }

    impl Question {
        pub(super) fn new(text: &str, tenant: &str, arguments: [u8; 32], least: Option<f32>) -> Question {
            let begin = |text: &str| {
                let mut hasher = canonical::begin_tuple();
                canonical::text(&mut hasher, text);
                hasher
            };
            let text = &*apart(text);
            let folded = canonical::normalise(text, Steps::ALL);
            let shown = if folded.len() > QUESTION_BYTES_MAX {
                String::new()
            } else {
                canonical::normalise(text, Steps { case: false, ..Steps::ALL }).replace('\0', "\u{FFFD}")
            };
            let hash = canonical::end_tuple(begin(&folded));
            let mut partition = begin(tenant);
            partition.update(&arguments);
            let partition = canonical::end_tuple(partition);
            Question {
                digest: Question::digest_of(&partition, &hash),
                hash,
                partition,
                arguments,
                tenant: tenant.into(),
                text: if shown.len() > QUESTION_BYTES_MAX { "".into() } else { shown.into() },
                least,
                embedding: OnceLock::new(),
                not_embedded: OnceLock::new(),
            }
        }
    }

    /// How a character stands to the one before it.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Stands {
        Beside,
        Raised,
        Lowered,
        /// It is a number by itself.
        Alone,
    }

    impl Stands {
        fn of(c: char) -> Stands {
            match c {
                '²' | '³' | '¹' | '\u{2070}'..='\u{207F}' | '\u{1D2C}'..='\u{1D61}' => Stands::Raised,
                '\u{2080}'..='\u{209C}' | '\u{1D62}'..='\u{1D6A}' => Stands::Lowered,
                '¼'..='¾' | '\u{2150}'..='\u{215F}' | '\u{2189}' | '\u{2460}'..='\u{249B}' | '\u{24EA}' => {
                    Stands::Alone
                }
                _ => Stands::Beside,
            }
        }
    }

    /// NFKC makes `2³` a number of two digits, and `1½` one that begins with 11. So where such a character stands behind
    /// another, or a digit behind it, something comes between.
    fn apart(text: &str) -> Cow<'_, str> {
        if text.is_ascii() || text.chars().all(|c| Stands::of(c) == Stands::Beside) {
            return text.into();
        }
        let (mut parts, mut before) = (String::with_capacity(text.len() + 8), ' ');
        for c in text.chars() {
            let (stands, stood) = (Stands::of(c), Stands::of(before));
            parts.extend(match stands {
                _ if before.is_whitespace() => None,
                Stands::Beside => (stood != Stands::Beside && c.is_numeric()).then_some(' '),
                Stands::Raised => (stood != stands).then_some('^'),
                Stands::Lowered => (stood != stands).then_some('_'),
                Stands::Alone => Some(' '),
            });
            parts.push(c);
            before = c;
        }
        parts.into()
    }

    impl Question {
        /// What tells a question from all others of its function.
        pub(crate) fn digest_of(partition: &[u8; 32], hash: &[u8; 32]) -> [u8; 32] {
            *blake3::Hasher::new().update(partition).update(hash).finalize().as_bytes()
        }
    }

    /// A question is its user's.
    impl fmt::Debug for Question {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Question").field("bytes", &self.text.len()).finish_non_exhaustive()
        }
    }
}

#[cfg(all(test, feature = "semantic"))]
mod tests {
    use super::*;
    use crate::key::{Cons, Fed, Nil, PartOf, ViaRef as _};

    fn question(text: &str, tenant: Option<&str>, model: &str) -> Question {
        let asking = Asking::new(text);
        let rest = Cons(Fed::new(PartOf(model).stampede_look(), model), Nil);
        let id = match tenant {
            Some(tenant) => Meaning::new(asking, Tenant(PartOf(tenant).stampede_look(), tenant), rest).id(),
            None => Meaning::new(asking, NoTenant, rest).id(),
        };
        match id {
            Some(Id::Meaning(question)) => *question,
            other => panic!("no question: {other:?}"),
        }
    }

    #[test]
    fn questions_are_equal_in_their_normal_form() {
        let (one, other) = (question("What  is\tRust? ", None, "m"), question("what is rust?", None, "m"));
        assert_eq!((one.digest, one.hash), (other.digest, other.hash));
        assert_eq!((&*one.text, &*other.text), ("What is Rust?", "what is rust?"));
        assert_ne!(one.digest, question("what is rust", None, "m").digest);
    }

    #[test]
    fn what_is_raised_lowered_or_a_fraction_is_no_further_digit() {
        let text = |text: &str| question(text, None, "m").text.into_string();
        for (written, normal) in [
            ("2³", "2^3"),
            ("10⁻²³ m²", "10^\u{2212}23 m^2"),
            ("(a+b)ⁿ", "(a+b)^n"),
            ("101₂", "101_2"),
            ("1½", "1 1\u{2044}2"),
            ("½ ½½", "1\u{2044}2 1\u{2044}2 1\u{2044}2"),
            ("²³⁵U", "235U"),
            ("x²3", "x^2 3"),
            ("２３", "23"),
        ] {
            assert_eq!(text(written), normal);
        }
        assert_ne!(question("2³", None, "m").digest, question("23", None, "m").digest);
    }

    #[test]
    fn tenant_and_arguments_are_apart_from_the_question() {
        let plain = question("q", None, "m");
        for (tenant, model) in [(Some("t"), "m"), (None, "n"), (Some("u"), "m")] {
            let other = question("q", tenant, model);
            assert_eq!(plain.hash, other.hash);
            assert_ne!((plain.digest, plain.partition), (other.digest, other.partition));
        }
        // Texts that try to be another tenant's.
        let texts = [("q", "t"), ("t\u{7}q", ""), ("", "tq"), ("tq", ""), ("q\0", "t")];
        for (at, (text, tenant)) in texts.iter().enumerate() {
            for (other, whose) in &texts[at + 1..] {
                assert_ne!(question(text, Some(tenant), "m").digest, question(other, Some(whose), "m").digest);
            }
        }
    }

    #[test]
    fn too_long_a_question_has_no_meaning_but_an_identity() {
        let long = "a b ".repeat(crate::semantic::QUESTION_BYTES_MAX / 4 + 1);
        let question = |text: &str| question(text, None, "m");
        assert!(question(&long).text.is_empty());
        assert_ne!(question(&long).digest, question(&format!("{long}c")).digest);
        assert_eq!(&*question("a\0b").text, "a\u{FFFD}b");
        assert!(question(" \n ").text.is_empty());
    }
}
