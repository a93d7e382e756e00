//! What bodies do: be ready at once, wait, block, fail, panic, call others and themselves.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use serde::{Serialize, Serializer};
use stampede_runtime::Error;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::actor::{Aim, call};
use super::truth::{TRUTH, Token};

/// A key. Its copies can be counted.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) number: usize,
    #[expect(dead_code, reason = "held to be counted")]
    pub(crate) token: Token,
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.number == other.number
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.number.hash(hasher);
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.number.serialize(serializer)
    }
}

/// What a call brings for its body.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) function: usize,
    pub(crate) seed: u64,
    /// How many bodies this one is inside of.
    pub(crate) depth: usize,
    #[expect(dead_code, reason = "held to be counted")]
    pub(crate) token: Token,
}

#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) function: usize,
    pub(crate) key: usize,
    /// How many invalidations had begun when it was made.
    pub(crate) generation: u64,
    pub(crate) seed: u64,
    #[expect(dead_code, reason = "held to be counted")]
    pub(crate) token: Token,
}

/// Whether functions that choose keep a value.
pub(crate) fn is_good(seed: u64) -> bool {
    !seed.is_multiple_of(4)
}

/// How long functions that choose keep a value.
pub(crate) fn life_of(seed: u64) -> Duration {
    Duration::from_millis(seed % 4 * 7)
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whose {
    pub(crate) function: usize,
    pub(crate) key: usize,
}

/// A result as its caller sees it.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    Value(Value),
    Fire(Whose),
    Stampede(Error),
    Panic(String),
}

/// An error of a user, which bodies make and callers read.
pub(crate) trait Fault: From<Error> + Sized {
    fn of(whose: Whose) -> Self;

    fn seen(self) -> Seen;
}

/// An error that is cloned for every caller.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    Fire(Whose),
    Stampede(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Stampede(error)
    }
}

impl Fault for Trouble {
    fn of(whose: Whose) -> Trouble {
        Trouble::Fire(whose)
    }

    fn seen(self) -> Seen {
        match self {
            Trouble::Fire(whose) => Seen::Fire(whose),
            Trouble::Stampede(error) => Seen::Stampede(error),
        }
    }
}

/// The cause inside an error of which every caller gets a view.
#[derive(Debug)]
struct Fire(Whose);

impl fmt::Display for Fire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for Fire {}

impl Fault for anyhow::Error {
    fn of(whose: Whose) -> anyhow::Error {
        Fire(whose).into()
    }

    fn seen(self) -> Seen {
        // Callers get a view; a call from inside its own execution, which runs unshared, has the error itself.
        let view = self.downcast_ref::<Error>();
        let fire = view.map_or_else(|| self.downcast_ref(), Error::downcast_ref::<Fire>);
        match (fire, view) {
            (Some(fire), _) => Seen::Fire(fire.0),
            (None, Some(error)) => Seen::Stampede(error.clone()),
            (None, None) => unreachable!("bodies make no other errors"),
        }
    }
}

/// The text of a body's panic.
pub(crate) fn panic_text(whose: Whose) -> String {
    format!("expected in {whose:?}")
}

/// The body of every function.
pub(crate) async fn run<E: Fault>(key: Key, script: Script) -> Result<Value, E> {
    let Script { function, seed, depth, .. } = script;
    let whose = Whose { function, key: key.number };
    TRUTH.body_begins(function);
    let generation = TRUTH.generation(function, key.number);
    let mut random = Rng::with_seed(seed);
    for _ in 0..random.usize(..4) {
        match random.u32(..16) {
            0..6 => yield_now().await,
            6..10 => sleep(Duration::from_micros(random.u64(..2_000))).await,
            10 => thread::sleep(Duration::from_micros(random.u64(..200))),
            // Its own key.
            11 if TRUTH.may_nest(function, depth) => {
                call(Aim { function, key: key.number, depth: depth + 1, ..Aim::any(&mut random) }).await;
            }
            // Any other, of any function.
            _ if TRUTH.may_nest(function, depth) => {
                call(Aim { depth: depth + 1, ..Aim::any(&mut random) }).await;
            }
            _ => (),
        }
    }
    match random.u32(..16) {
        0 | 1 => Err(E::of(whose)),
        // Like `panic!`, without the lines on the standard error.
        2 => resume_unwind(Box::new(panic_text(whose))),
        _ => Ok(Value { function, key: key.number, generation, seed, token: TRUTH.value_token() }),
    }
}
