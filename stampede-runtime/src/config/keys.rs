//! Every key that a scope may say, and how its value is read.

use std::time::Duration;

use bytesize::ByteSize;
use config::ValueKind;

use crate::policy::{Codec, Settings};
#[cfg(feature = "semantic")]
use crate::semantic::{Guard, Guards};

/// A key of `[defaults]` and of each namespace.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The setting alone, or what the key takes.
    pub(super) read: fn(&ValueKind) -> Result<Settings, &'static str>,
}

macro_rules! keys {
    ($($name:ident: $read:ident),* $(,)?) => {
        pub(super) static KEYS: &[Key] = &[$(Key {
            name: stringify!($name),
            read: |value| Ok(Settings { $name: Some($read(value)?), ..Settings::default() }),
        }),*];

        // A setting without a key does not compile.
        const _: fn(Settings) = |Settings { $($name: _),* }| ();
    };
}

keys! {
    ttl: duration,
    stale: duration,
    stale_if_error: duration,
    early: number,
    jitter: part,
    none_ttl: duration,
    cache_err: duration,
    capacity: count,
    timeout: duration,
    soft_timeout: duration,
    wait: duration,
    max_concurrent: count,
    backend: name,
    backend_timeout: duration,
    codec: codec,
    payload_bytes_max: size,
    lease: duration,
    share_errors: yes_or_no,
    threshold: cosine,
    embed_timeout: duration,
    verify_timeout: duration,
    verify_concurrent: count,
    shadow: part,
    max_error: part,
    guard: guards,
}

/// What only an attribute can say: it belongs to the code that it stands on.
pub(super) static OF_ATTRIBUTES: &[&str] = &[
    "agree",
    "attached",
    "cache_if",
    "companion",
    "embed",
    "fields",
    "key",
    "method",
    "namespace",
    "normalize",
    "on_abandon",
    "query",
    "skip",
    "tags",
    "tenant",
    "verify",
    "version",
    "weigh",
];

/// Variables are text, so every value may be one.
pub(super) fn duration(value: &ValueKind) -> Result<Duration, &'static str> {
    let read = match value {
        ValueKind::String(text) => {
            let seconds = text.trim().parse().map(Duration::from_secs);
            seconds.ok().or_else(|| humantime::parse_duration(text.trim()).ok())
        }
        _ => whole(value).map(Duration::from_secs),
    };
    read.ok_or("whole seconds, or a duration with units such as \"1h30m\" or \"250ms\"")
}

pub(super) fn count(value: &ValueKind) -> Result<usize, &'static str> {
    let read = match value {
        ValueKind::String(text) => text.trim().replace('_', "").parse().ok(),
        _ => whole(value),
    };
    read.and_then(|count: u64| count.try_into().ok()).ok_or("a whole number, such as 1000")
}

fn number(value: &ValueKind) -> Result<f64, &'static str> {
    decimal(value).ok_or("a number, such as 1 or 0.5")
}

fn part(value: &ValueKind) -> Result<f64, &'static str> {
    let read = match value {
        ValueKind::String(text) if text.trim().ends_with('%') => {
            text.trim().trim_end_matches('%').trim_end().parse().ok().map(|percent: f64| percent / 100.0)
        }
        _ => decimal(value),
    };
    let read = read.filter(|part| (0.0..=1.0).contains(part));
    read.ok_or("a part from 0 to 1, such as 0.1, or per cent, such as \"10%\"")
}

fn cosine(value: &ValueKind) -> Result<f64, &'static str> {
    let read = decimal(value).filter(|cosine| (-1.0..=1.0).contains(cosine));
    read.ok_or("a cosine similarity from -1 to 1, such as 0.92")
}

/// Names in a list; in a variable, which is text, with commas between them.
#[cfg(feature = "semantic")]
fn guards(value: &ValueKind) -> Result<Guards, &'static str> {
    let text = |value: &ValueKind| if let ValueKind::String(text) = value { Some(text.clone()) } else { None };
    let names: Option<Vec<String>> = match value {
        ValueKind::Array(list) => list.iter().map(|name| text(&name.kind)).collect(),
        _ => text(value).map(|text| text.split(',').map(str::to_owned).collect()),
    };
    let names: Vec<String> = names.unwrap_or_default().iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    let guard = |name: &String| Guard::ALL.into_iter().find(|guard| guard.name() == name);
    let read = match &names[..] {
        [] => None,
        [only] if only == "none" => Some(Guards::NONE),
        several => {
            let guards: Option<Vec<Guard>> = several.iter().map(guard).collect();
            guards.map(|guards| Guards::of(&guards))
        }
    };
    read.ok_or("a list of \"numbers\", \"antonyms\", \"negation\", \"entities\" and \"quoted\", or \"none\"")
}

/// Nobody asks them.
#[cfg(not(feature = "semantic"))]
#[expect(clippy::unnecessary_wraps, reason = "of one shape with the other")]
fn guards(_: &ValueKind) -> Result<(), &'static str> {
    Ok(())
}

fn name(value: &ValueKind) -> Result<String, &'static str> {
    match value {
        ValueKind::String(text) => Ok(text.clone()),
        _ => Err("the name of a backend"),
    }
}

pub(super) fn yes_or_no(value: &ValueKind) -> Result<bool, &'static str> {
    let read = match value {
        ValueKind::Boolean(answer) => Some(*answer),
        ValueKind::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    };
    read.ok_or("true or false")
}

fn codec(value: &ValueKind) -> Result<Codec, &'static str> {
    let read = match value {
        ValueKind::String(text) => match &*text.trim().to_ascii_lowercase() {
            "messagepack" => Some(Codec::MessagePack),
            "json" => Some(Codec::Json),
            _ => None,
        },
        _ => None,
    };
    read.ok_or("\"messagepack\" or \"json\"")
}

pub(super) fn size(value: &ValueKind) -> Result<usize, &'static str> {
    let read = match value {
        ValueKind::String(text) => text.trim().parse().ok().map(|ByteSize(bytes)| bytes),
        _ => whole(value),
    };
    let read = read.filter(|bytes| *bytes > 0).and_then(|bytes| bytes.try_into().ok());
    read.ok_or("a size, such as \"64MiB\", or a number of bytes, more than zero")
}

fn whole(value: &ValueKind) -> Option<u64> {
    match value {
        ValueKind::I64(number) => (*number).try_into().ok(),
        ValueKind::U64(number) => Some(*number),
        _ => None,
    }
}

fn decimal(value: &ValueKind) -> Option<f64> {
    match value {
        ValueKind::Float(number) => Some(*number),
        ValueKind::String(text) => text.trim().parse().ok(),
        _ => whole(value).map(|number| number as f64),
    }
}

/// A value for the end of a sentence. Texts that may hold a password are not shown: those with an address in them, and
/// long ones.
pub(super) fn shown(value: &ValueKind) -> String {
    match value {
        ValueKind::Nil => "nothing".to_owned(),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::String(text) if text.len() > 32 || text.contains("://") || text.contains('@') => {
            "the text that stands there".to_owned()
        }
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Boolean(value) => value.to_string(),
        ValueKind::I64(value) => value.to_string(),
        ValueKind::I128(value) => value.to_string(),
        ValueKind::U64(value) => value.to_string(),
        ValueKind::U128(value) => value.to_string(),
        ValueKind::Float(value) => value.to_string(),
    }
}

/// The known name that `wrong` was probably meant to be.
pub(super) fn suggest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, name) = known.into_iter().map(|name| (strsim::osa_distance(wrong, name), name)).min()?;
    (distance <= wrong.len().max(name.len()) / 3).then_some(name)
}
