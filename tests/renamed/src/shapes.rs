//! Shared functions of the shapes that are met most, without a prelude.

#![no_implicit_prelude]

use ::sharing::{coalesce, coalesce_by_content};
use ::std::borrow::ToOwned;
use ::std::clone::Clone;
use ::std::cmp::Eq;
use ::std::convert::From;
use ::std::format;
use ::std::hash::Hash;
use ::std::marker::{Send, Sync};
use ::std::option::Option;
use ::std::result::Result::{self, Err, Ok};
use ::std::string::{String, ToString};
use ::std::sync::Arc;
use ::std::time::Duration;

use crate::facade;

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

impl From<facade::stampede::Error> for Failure {
    fn from(error: facade::stampede::Error) -> Failure {
        Failure(error.to_string())
    }
}

/// Borrowed, mutable and plain arguments, an early return and `?`.
#[coalesce(ttl = "1m", cache_if = |text| text.len() < 100, timeout = "10s", crate = ::sharing)]
pub async fn plain(topic: &str, mut n: u32) -> Result<String, Failure> {
    n += 1;
    if topic == "early" {
        return Ok("early".to_owned());
    }
    let text = failing(topic, n)?;
    Ok(text)
}

fn failing(topic: &str, n: u32) -> Result<String, Failure> {
    if topic.is_empty() {
        Err(Failure("empty".to_owned()))
    } else {
        Ok(format!("{topic}{n}"))
    }
}

/// Names that an expansion could clash with, patterns and no result.
#[must_use]
#[allow(clippy::too_many_arguments)]
#[coalesce(ttl = facade::stampede::ttl::MINUTE, crate = crate::facade::stampede, namespace = "names")]
pub(crate) async fn names(
    r#type: u8,
    key: u8,
    owned: u8,
    site: u8,
    output: &str,
    boarding: u8,
    (left, _): (u8, u8),
    [this, ..]: [u8; 2],
    value: Option<&str>,
) -> usize {
    let numbers = r#type + key + owned + site + boarding + left + this;
    usize::from(numbers) + output.len() + value.map_or(0, str::len)
}

/// Generic, with bounds of both kinds; the key is a text.
#[coalesce(key = "{item}", companion = Generic, crate = ::sharing)]
pub async fn generic<'a, T, const N: usize>(item: &'a T, _other: &'a str) -> T
where
    T: Clone + ::std::fmt::Display + Send + Sync + 'static,
{
    item.clone()
}

/// The key is computed.
#[coalesce(key(name.to_lowercase(), format!("{id:04}"), name.len() + 1), ttl = 60, crate = ::sharing)]
pub async fn computed(name: &str, id: u32) -> String {
    format!("{name}{id}")
}

/// Content decides; the client is left out.
#[coalesce_by_content(fields(topic, context), normalize(case, trim), ttl = 300, crate = ::sharing)]
pub async fn content(topic: &str, context: String, _client: &Arc<Failure>) -> String {
    format!("{topic}/{context}")
}

/// A repository.
#[derive(Clone, Debug)]
pub struct Repository<T> {
    id: u64,
    item: T,
}

impl<T: Clone + Send + Sync + 'static> Repository<T> {
    const TTL: Duration = Duration::from_secs(60);

    /// A repository of one item.
    pub const fn new(id: u64, item: T) -> Self {
        Repository { id, item }
    }

    /// Part of `self` is in the key, and the whole in the body.
    #[coalesce(key(self.id, name), ttl = Self::TTL, companion = item, crate = ::sharing)]
    pub async fn item(&self, name: &str) -> (T, String) {
        let _: &Self = self;
        (self.item.clone(), name.to_owned())
    }

    /// Nothing of `self` counts, and the body does not need it.
    #[coalesce(skip(self), crate = ::sharing)]
    pub async fn number(&self, number: u64) -> u64 {
        number
    }

    /// A pointer.
    #[coalesce(key(self.id), ttl = |id| Duration::from_secs(*id), companion = shared, crate = ::sharing)]
    pub async fn shared(self: Arc<Self>) -> u64 {
        self.id
    }

    /// No receiver.
    #[coalesce(method, companion = twice, crate = ::sharing)]
    pub async fn twice<S: Clone + Hash + Eq + Send + Sync + 'static>(text: S) -> (S, S) {
        (text.clone(), text)
    }
}

/// A trait whose implementations are shared.
pub trait Source {
    /// Reads.
    fn read(&self, id: u64) -> impl ::std::future::Future<Output = String> + Send;
}

impl Source for Repository<String> {
    #[coalesce(key(self.id, id), crate = ::sharing)]
    async fn read(&self, id: u64) -> String {
        format!("{}{id}", self.item)
    }
}

macro_rules! shared {
    ($name:ident, $argument:ident: $type:ty, $ttl:literal, $body:expr) => {
        /// Made by a macro.
        #[coalesce(ttl = $ttl, crate = ::sharing)]
        pub async fn $name($argument: $type, count: u8) -> String {
            let text: String = $body;
            format!("{text}{count}")
        }
    };
}

shared!(from_macro, text: &str, "5m", text.to_owned() + "!");

/// Calls itself with another key.
#[coalesce(ttl = 60, crate = ::sharing)]
pub async fn factorial(n: u64) -> u64 {
    if n == 0 {
        1
    } else {
        n * factorial(n - 1).await
    }
}

/// Holds a function of its own.
pub async fn outer(n: u8) -> u8 {
    #[coalesce(ttl = 60, crate = ::sharing)]
    async fn inner(n: u8) -> u8 {
        n.wrapping_add(1)
    }

    inner::insert(0, 7_u8);
    inner(n).await
}
