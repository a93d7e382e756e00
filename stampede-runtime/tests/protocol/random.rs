//! Random commands, thousands of them.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use stampede_runtime::store::StoreKey;
use stampede_runtime::store::lease::{End, Wish};

use super::pair::{HOUR, Held, Pair, Said, key};

/// How many programs, and of how many steps. `STAMPEDE_PROTOCOL_SEEDS` and `STAMPEDE_PROTOCOL_STEPS` say otherwise.
const SEEDS: u64 = 16;
const STEPS: usize = 800;

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test]
async fn a_server_and_the_state_machine_agree() {
    let mut answers = BTreeSet::new();
    for seed in 0..setting("STAMPEDE_PROTOCOL_SEEDS", SEEDS) {
        let Some(mut pair) = Pair::start("a_server_and_the_state_machine_agree").await else { return };
        let mut play = Play { rng: Rng::with_seed(seed), seed, held: Vec::new(), values: 0 };
        for step in 0..setting("STAMPEDE_PROTOCOL_STEPS", STEPS) {
            play.step(&mut pair, step).await;
        }
        answers.append(&mut pair.answers);
    }
    let all = ["full", "lead", "mine", "not mine", "nothing", "told", "value", "wait", "wrong type"];
    assert!(answers.iter().eq(&all), "not all that can happen has: {answers:?}");
}

struct Play {
    rng: Rng,
    seed: u64,
    /// Leases that were given or seen, the last of them.
    held: Vec<Held>,
    values: u64,
}

const KEYS: [&str; 2] = ["a", "b c"];
const TAGS: [&str; 2] = ["user:7", "a {tag}"];
const OWNERS: [&str; 4] = ["p1-0", "p1-1", "p2-0", "p2-1"];

/// Says where a failure was.
struct Here<'a>(u64, usize, &'a str);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, step {}: {}", self.0, self.1, self.2);
        }
    }
}

impl Play {
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.rng.usize(..all.len())]
    }

    /// Often a new value, sometimes an old one; some are longer than what tells them apart.
    fn value(&mut self) -> String {
        self.values += 1;
        let number = if self.rng.u8(..4) == 0 { self.rng.u64(..self.values) } else { self.values };
        let long = if number.is_multiple_of(3) { "-".repeat(60) } else { String::new() };
        format!("value {number}{long}")
    }

    fn span(&mut self) -> u64 {
        self.one_of(&[0, HOUR, 2 * HOUR, 5 * HOUR])
    }

    /// A lease that was given once, or a wrong one.
    fn held(&mut self) -> Held {
        let nobody = Held { owner: self.one_of(&OWNERS).to_owned(), real: 0, model: 0 };
        // Mostly one of the last.
        let among = if self.rng.bool() { 2 } else { 12 }.min(self.held.len());
        let mut held = match among {
            0 => nobody,
            _ => self.held[self.held.len() - 1 - self.rng.usize(..among)].clone(),
        };
        match self.rng.u8(..10) {
            0 => (held.real, held.model) = (0, 0),
            1 => self.one_of(&OWNERS).clone_into(&mut held.owner),
            _ => {}
        }
        held
    }

    async fn step(&mut self, pair: &mut Pair, step: usize) {
        let key = key(self.one_of(&KEYS));
        let process = self.rng.usize(..2);
        let kind = self.rng.u8(..100);
        let what = format!("kind {kind} of {key} by {process}");
        let _here = Here(self.seed, step, &what);
        match kind {
            0..30 => {
                let seen = self.value();
                let wish = match self.rng.u8(..6) {
                    0 | 1 => Wish::Newest,
                    2 => Wish::Other(b"value"),
                    3 => Wish::Other(seen.as_bytes()),
                    _ => Wish::Any,
                };
                let joined = if self.rng.bool() { Some(self.held()) } else { None };
                let joined = joined.filter(|joined| joined.real != 0);
                let (owner, waits) = (self.one_of(&OWNERS), self.rng.bool());
                match pair.acquire(&key, process, owner, wish, joined.as_ref(), waits).await {
                    Said::Lead(held) | Said::Wait(held) => self.held.push(held),
                    Said::Other => {}
                }
            }
            30..50 => {
                let held = self.held();
                let (value, told, ttl, told_for) = (self.value(), self.value(), self.span(), self.span());
                let (ttl, told_for) = (Duration::from_millis(ttl), Duration::from_millis(told_for));
                let told = (told.as_bytes(), told_for);
                let (entry, forget) = (value.as_bytes(), self.rng.bool());
                let end = match self.rng.u8(..5) {
                    0 | 1 => End::Value { entry, ttl, told: None },
                    2 => End::Value { entry, ttl, told: Some(told) },
                    3 => End::Told { outcome: told.0, ttl: told.1, forget },
                    _ => End::Nothing { forget },
                };
                pair.end(&key, process, &held, end).await;
            }
            50..56 => pair.renew(&key, &self.held()).await,
            56..62 => pair.look(&key).await,
            62..66 => {
                let (value, span) = (self.value(), self.span());
                pair.set(&key, &value, span).await;
            }
            66..70 => {
                let (value, span) = (self.value(), self.span());
                pair.overwrite(&key, process, &value, span).await;
            }
            70..74 => {
                let (old, new, span) = (format!("value {}", self.values), self.value(), self.span());
                pair.replace(&key, process, &old, &new, span).await;
            }
            74..78 => pair.remove(&key, process).await,
            78..88 => self.tag(pair, process).await,
            88..91 => pair.pass(HOUR * 3 / 2),
            91..94 => pair.lapse(&key, self.rng.usize(..3)),
            94 => pair.set_full(true),
            // Not for long: little happens on a server that is full.
            95..98 if pair.is_full() => pair.set_full(false),
            95 if !pair.is_full() => pair.plant(&key, self.rng.usize(..3)),
            96 if !pair.is_full() => pair.put_ahead(&key, 1 + self.rng.usize(..2)),
            _ => {}
        }
    }

    async fn tag(&mut self, pair: &mut Pair, process: usize) {
        let tag = self.one_of(&TAGS);
        // As `key.rs` writes it; what a tag's key looks like is one of the vectors.
        let at = StoreKey::of_tag(tag);
        match self.rng.u8(..10) {
            0..4 => {
                let span = self.one_of(&[HOUR, 5 * HOUR]);
                pair.agree(&at, span).await;
            }
            4..7 => pair.change(&at, process, tag, self.rng.bool()).await,
            7 if !pair.is_full() => pair.plant_tag(&at),
            _ => pair.read_tag(&at).await,
        }
    }
}
