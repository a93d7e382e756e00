//! Functions that are not `async`, and every word of the policy, without a prelude.

#![no_implicit_prelude]

use ::sharing::{cached, coalesce, coalesce_by_content, distributed_coalesce};
use ::std::borrow::ToOwned;
use ::std::clone::Clone;
use ::std::cmp::Eq;
use ::std::convert::From;
use ::std::default::Default;
use ::std::fmt::{Debug, Display};
use ::std::format;
use ::std::hash::Hash;
use ::std::iter::Iterator;
use ::std::marker::{Send, Sync};
use ::std::option::Option;
use ::std::result::Result::{self, Err, Ok};
use ::std::string::{String, ToString};
use ::std::sync::{Arc, Mutex};
use ::std::time::Duration;
use ::std::todo;

use crate::facade::stampede::Error;
use crate::shapes::Failure;

const SOFT: Duration = Duration::from_millis(200);
const BETA: f64 = 1.5;

/// All words of the policy that need no store, in an async function.
#[cached(
    ttl = "10m",
    stale = "1m",
    stale_if_error = "1h",
    early = BETA,
    jitter = "10%",
    cache_if = |quote| quote.is_some(),
    none_ttl = 0,
    cache_err = |failure| Duration::from_secs(failure.0.len() as u64),
    capacity = 10_000,
    weigh = |quote| quote.as_ref().map_or(0, String::len),
    timeout = "10s",
    soft_timeout = SOFT,
    wait = 5,
    max_concurrent = 8,
    on_abandon = "finish",
    namespace = "quotes",
    crate = ::sharing
)]
pub async fn quote(symbol: &str) -> Result<Option<String>, Failure> {
    match symbol {
        "" => Err(Failure("empty".to_owned())),
        "none" => Ok(Option::None),
        symbol => Ok(Option::Some(symbol.to_owned())),
    }
}

/// Kept in a backend, too.
#[cached(ttl = 60, backend = "main", version = 2, crate = ::sharing)]
#[must_use]
pub fn stored(name: &str, ids: &[u64]) -> Option<String> {
    ids.first().map(|id| format!("{name}{id}"))
}

/// Shared between processes.
#[distributed_coalesce(backend = "main", ttl = none, lease = 2, share_errors, version = 2, crate = ::sharing)]
pub async fn answer(name: &str, ids: &[u64]) -> Result<String, String> {
    ids.first().map(|id| format!("{name}{id}")).ok_or_else(|| "no id".to_owned())
}

/// Only errors are kept.
#[coalesce(cache_err = "5s", capacity = 100, jitter = 0.5, crate = ::sharing)]
pub fn denied(name: &str) -> Result<(), Failure> {
    Err(Failure(format!("{name} is denied")))
}

/// The body stays: names that an expansion could clash with, patterns and an early end.
#[must_use]
#[allow(clippy::too_many_arguments)]
#[cached(ttl = 60, skip(log), crate = ::sharing)]
pub(crate) fn stays<'a>(
    r#type: u8,
    boarding: u8,
    output: &'a str,
    mut this: u8,
    (left, _): (u8, u8),
    value: Option<&str>,
    kept: u64,
    log: &Mutex<String>,
) -> usize {
    this += r#type;
    let output: &'a str = output.trim();
    if output == "early" {
        return 0;
    }
    let mut log = log.lock().expect("nobody panics");
    log.push_str(output);
    usize::from(this + boarding + left) + log.len() + value.map_or(0, str::len) + kept.to_string().len()
}

/// What calls it in here.
///
/// # Panics
/// Never.
#[must_use]
pub fn call_stays(output: &str) -> (usize, String) {
    let log = Mutex::default();
    let sum = stays(1, 2, output, 3, (4, 5), Option::Some("six"), 7, &log);
    (sum, log.into_inner().expect("nobody panics"))
}

/// The body may leave.
///
/// # Errors
/// Where there is no topic.
#[cached(ttl = "1m", stale_if_error = "1h", soft_timeout = "200ms", timeout = "10s", crate = ::sharing)]
pub fn leaves(topic: &str, mut n: u32, tags: &[String]) -> Result<String, Error> {
    n += 1;
    let tag = tags.first().map_or(topic, String::as_str);
    Ok(format!("{topic}{n}{tag}"))
}

/// Generic, both ways.
#[coalesce(companion = Generic, crate = ::sharing)]
pub fn generic<T, const N: usize>(items: &[T; N], _other: &str) -> String
where
    T: Clone + Display + Eq + Hash + Send + Sync + 'static,
{
    items.iter().map(ToString::to_string).collect()
}

/// A type without a name.
#[cached(ttl = 60, early, companion = none, crate = ::sharing)]
#[must_use]
pub fn unnamed(value: impl Display + Clone + Hash + Eq + Send + Sync + 'static) -> String {
    value.to_string()
}

/// Content decides.
#[coalesce_by_content(fields(topic), ttl = 300, weigh = |text| text.len(), companion = none, crate = ::sharing)]
#[must_use]
pub fn content(topic: &str, _client: &Failure) -> String {
    topic.to_owned()
}

/// Before edition 2024 the guard in the last expression outlives the locals of its block.
#[cached(ttl = 60, skip(counter), crate = ::sharing)]
#[must_use]
pub fn tail_temporary(counter: Arc<Mutex<u32>>, mut by: u32) -> u32 {
    by += 1;
    *counter
        .lock()
        .map(|mut count| {
            *count += by;
            count
        })
        .expect("nobody panics")
}

/// The same where the body may leave.
#[cached(ttl = 60, stale = 60, skip(counter), crate = ::sharing)]
#[must_use]
pub fn tail_temporary_leaves(counter: &Arc<Mutex<u32>>, mut by: u32) -> u32 {
    by += 1;
    *counter
        .lock()
        .map(|mut count| {
            *count += by;
            count
        })
        .expect("nobody panics")
}

/// Nothing in, nothing out.
#[cached(ttl = 60, crate = ::sharing)]
pub fn nothing() {}

/// Not written yet.
///
/// # Errors
/// Never.
#[coalesce(crate = ::sharing)]
pub fn unfinished(_id: u64) -> Result<String, Failure> {
    todo!()
}

/// Calls itself.
#[cached(ttl = 60, crate = ::sharing)]
#[must_use]
pub fn factorial(n: u64) -> u64 {
    if n == 0 {
        1
    } else {
        n * factorial(n - 1)
    }
}

/// Generic, a method, and kept in a backend.
#[derive(Clone, Debug)]
pub struct Shelf<T>(pub T);

impl<T: Clone + Eq + Hash + Display + ::serde::Serialize + Send + Sync + 'static> Shelf<T> {
    /// A book.
    #[cached(ttl = 60, backend = "main", namespace = "shelves", key(self.0, at), companion = book, crate = ::sharing)]
    pub async fn book(&self, at: usize) -> String {
        format!("{}{at}", self.0)
    }
}

/// Neither `Clone` nor `Sync`.
#[derive(Debug)]
pub struct Store<'a> {
    /// What it reads.
    pub rows: &'a [&'static str],
    /// Its like.
    pub reads: ::std::cell::Cell<u32>,
}

impl<'a> Store<'a> {
    /// The body stays.
    #[cached(ttl = 60, key(self.rows.len(), at), companion = row, crate = ::sharing)]
    pub fn row(&self, at: usize) -> Option<&'static str> {
        let rows: &'a [&'static str] = self.rows;
        self.reads.set(self.reads.get() + 1);
        rows.get(at).copied()
    }

    /// Used up.
    #[cached(ttl = 60, skip(self), crate = ::sharing)]
    #[must_use]
    pub fn consumed(mut self, by: usize) -> usize {
        self.rows = &self.rows[by..];
        self.rows.len()
    }
}

/// Not async either.
pub trait Source: Debug {
    /// Reads.
    fn read(&self, id: u64) -> String;
}

impl Source for Failure {
    #[cached(ttl = 60, stale = 60, key(self.0, id), crate = ::sharing)]
    fn read(&self, id: u64) -> String {
        format!("{}{id}", self.0)
    }
}
