//! The kinds of backends, indexes and embedders that files and variables can ask for. A new kind is a new row.

use std::sync::Arc;

use config::ValueKind;

use super::backends::Made;
use super::draft::Draft;
#[cfg(feature = "redis")]
use super::keys::{duration, yes_or_no};
use super::keys::{size, suggest};
use super::sources::{Place, Said, list};
use crate::store::MemoryBackend;
#[cfg(feature = "redis")]
use crate::store::RedisBackend;

#[cfg(feature = "semantic")]
pub(super) mod embedders;
mod indexes;

pub(super) struct Kind<T> {
    pub(super) name: &'static str,
    /// Its keys besides `kind`.
    pub(super) keys: &'static [&'static str],
    /// `None`: what is wrong has been said.
    make: fn(&mut Given<'_>) -> Option<T>,
}

pub(super) static KINDS: &[Kind<Made>] = &[
    Kind {
        name: "memory",
        keys: &["capacity"],
        make: |given| Some(Made::Backend(Arc::new(MemoryBackend::new(given.needed("capacity", size)?)))),
    },
    Kind {
        name: "redis",
        keys: &[
            "url",
            "username",
            "password",
            "sentinel_username",
            "sentinel_password",
            "connect_timeout",
            "response_timeout",
            "tracking",
        ],
        make: redis,
    },
    Kind { name: "pgvector", keys: indexes::KEYS, make: indexes::pgvector },
    // Has the keys that a backend elsewhere has.
    #[cfg(test)]
    Kind {
        name: "remote",
        keys: &["url", "password"],
        make: |given| {
            let url = given.needed("url", text);
            given.value("password", text);
            if !url?.starts_with("remote://") {
                given.wrong("url", "a url begins with `remote://`");
                return None;
            }
            Some(Made::Backend(Arc::new(MemoryBackend::new(1_000))))
        },
    },
];

#[cfg(feature = "redis")]
fn redis(given: &mut Given<'_>) -> Option<Made> {
    let url = given.needed("url", text);
    let [username, password] = ["username", "password"].map(|key| given.value(key, text));
    let of_sentinels = ["sentinel_username", "sentinel_password"].map(|key| given.value(key, text));
    let [connect, response] = ["connect_timeout", "response_timeout"].map(|key| given.value(key, duration));
    let mut builder = RedisBackend::builder(url?);
    if let Some(username) = username {
        builder = builder.username(username);
    }
    if let Some(password) = password {
        builder = builder.password(password);
    }
    let [username, password] = of_sentinels;
    if let Some(username) = username {
        builder = builder.sentinel_username(username);
    }
    if let Some(password) = password {
        builder = builder.sentinel_password(password);
    }
    if let Some(timeout) = connect {
        builder = builder.connect_timeout(timeout);
    }
    if let Some(timeout) = response {
        builder = builder.response_timeout(timeout);
    }
    if let Some(tracking) = given.value("tracking", yes_or_no) {
        builder = builder.tracking(tracking);
    }
    match builder.make() {
        Ok(backend) => Some(Made::Backend(Arc::new(backend))),
        Err(problems) => {
            for (key, problem) in problems {
                given.wrong(key, &problem);
            }
            None
        }
    }
}

#[cfg(not(feature = "redis"))]
fn redis(given: &mut Given<'_>) -> Option<Made> {
    given.wrong("kind", "kind `redis` needs the cargo feature `redis` of `stampede-runtime`");
    None
}

/// Texts are where addresses and passwords are.
#[cfg(any(test, feature = "openai", feature = "pgvector", feature = "redis"))]
fn text(value: &ValueKind) -> Result<String, &'static str> {
    match value {
        ValueKind::String(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err("a text"),
    }
}

/// What is said of one thing, for the row of its kind to take. No problem shows a value: any of them may be secret.
struct Given<'a> {
    said: &'a Said,
    draft: &'a mut Draft,
}

impl Given<'_> {
    fn place(&self, key: &str) -> &Place {
        self.said.keys.get(key).map_or(&self.said.place, |(_, place)| place)
    }

    fn wrong(&mut self, key: &str, problem: &str) {
        let place = self.place(key);
        self.draft.problem(format!("{place}: {problem}"));
    }

    fn value<T>(&mut self, key: &str, read: fn(&ValueKind) -> Result<T, &'static str>) -> Option<T> {
        let (value, place) = self.said.keys.get(key)?;
        let value = read(value).map_err(|takes| self.draft.problem(format!("{place}: `{key}` takes {takes}")));
        value.ok()
    }

    fn needed<T>(&mut self, key: &str, read: fn(&ValueKind) -> Result<T, &'static str>) -> Option<T> {
        if !self.said.keys.contains_key(key) {
            self.wrong(key, &format!("`{key}` is missing"));
        }
        self.value(key, read)
    }
}

/// Makes a backend or an index, or says everything that is wrong with it.
pub(super) fn make(said: &Said, draft: &mut Draft) -> Option<(&'static str, Made)> {
    one_of(KINDS, said, draft)
}

fn one_of<T>(rows: &[Kind<T>], said: &Said, draft: &mut Draft) -> Option<(&'static str, T)> {
    let mut given = Given { said, draft };
    let Some((value, place)) = said.keys.get("kind") else {
        given.wrong("kind", &format!("`kind` is missing; there {}", kinds(rows)));
        return None;
    };
    let named = |kind: &&Kind<T>| matches!(value, ValueKind::String(name) if name == kind.name);
    let Some(kind) = rows.iter().find(named) else {
        let name = if let ValueKind::String(name) = value { name } else { "" };
        given.draft.problem(match suggest(name, rows.iter().map(|kind| kind.name)) {
            Some(meant) => format!("{place}: unknown kind; did you mean `{meant}`?"),
            None => format!("{place}: unknown kind; there {}", kinds(rows)),
        });
        return None;
    };
    for (key, (_, place)) in &said.keys {
        if key != "kind" && !kind.keys.contains(&key.as_str()) {
            let known = kind.keys.iter().copied();
            given.draft.problem(match suggest(key, known.clone()) {
                Some(meant) => format!("{place}: unknown key; did you mean `{}`?", place.spelt(meant)),
                None if kind.keys.is_empty() => format!("{place}: unknown key; kind `{}` has none", kind.name),
                None => format!("{place}: unknown key; kind `{}` has {}", kind.name, list(known)),
            });
        }
    }
    Some((kind.name, (kind.make)(&mut given)?))
}

fn kinds<T>(rows: &[Kind<T>]) -> String {
    let names: Vec<_> = rows.iter().map(|kind| kind.name).collect();
    format!("{} {}", if names.len() == 1 { "is" } else { "are" }, list(names))
}
