//! The body that all functions have: it ends when its program says so, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use stampede_runtime::Error;

use super::program::{Call, Ending, Quality};

/// Tells how many copies there are of what holds it.
pub(super) type Token = Arc<()>;

/// A key. Its copies can be counted.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) number: usize,
    #[expect(dead_code, reason = "held to be counted")]
    pub(super) token: Token,
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

/// Where a value comes from: the execution that a call began, or an `insert`, by its place among the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Call(Call),
    Put(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) key: usize,
    pub(super) origin: Origin,
    pub(super) quality: Quality,
    #[expect(dead_code, reason = "held to be counted")]
    pub(super) token: Token,
}

/// How a call ended, or what a key is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Value(Origin),
    Error(Call),
    Panic(Call),
    Timeout,
    WaitTimeout,
    Refused,
}

/// An error of a user, which bodies make and tests read.
pub(super) trait Fault: From<Error> + Sized {
    fn of(call: Call) -> Self;

    fn outcome(&self) -> Outcome;
}

fn outcome_of(error: &Error) -> Outcome {
    match error {
        Error::Timeout { .. } => Outcome::Timeout,
        Error::WaitTimeout { .. } => Outcome::WaitTimeout,
        Error::Refused { .. } => Outcome::Refused,
        other => panic!("nothing in these programs ends a call like this: {other}"),
    }
}

/// An error that is cloned for every caller.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    Fire(Call),
    Stampede(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Stampede(error)
    }
}

impl Fault for Trouble {
    fn of(call: Call) -> Trouble {
        Trouble::Fire(call)
    }

    fn outcome(&self) -> Outcome {
        match self {
            Trouble::Fire(call) => Outcome::Error(*call),
            Trouble::Stampede(error) => outcome_of(error),
        }
    }
}

/// The cause inside an error of which every caller gets a view.
#[derive(Debug)]
struct Fire(Call);

impl std::fmt::Display for Fire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "fire in call {}", self.0)
    }
}

impl std::error::Error for Fire {}

impl Fault for anyhow::Error {
    fn of(call: Call) -> anyhow::Error {
        Fire(call).into()
    }

    fn outcome(&self) -> Outcome {
        let error = self.downcast_ref::<Error>().expect("callers get a view, a lone one too");
        error.downcast_ref::<Fire>().map_or_else(|| outcome_of(error), |fire| Outcome::Error(fire.0))
    }
}

/// What the bodies of one program share with it.
#[derive(Debug, Default)]
pub(super) struct World(Mutex<Bodies>);

#[derive(Debug, Default)]
struct Bodies {
    begun: BTreeSet<Call>,
    alive: BTreeMap<Call, Option<Waker>>,
    endings: BTreeMap<Call, Ending>,
}

impl World {
    fn bodies(&self) -> MutexGuard<'_, Bodies> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the body that a call brought end like this, be it running or yet to begin.
    pub(super) fn end(&self, call: Call, ending: Ending) {
        let mut bodies = self.bodies();
        bodies.endings.insert(call, ending);
        let waker = bodies.alive.get_mut(&call).and_then(Option::take);
        drop(bodies);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The calls whose bodies have begun.
    pub(super) fn begun(&self) -> BTreeSet<Call> {
        self.bodies().begun.clone()
    }

    /// The calls whose bodies have begun and are not gone yet.
    pub(super) fn alive(&self) -> BTreeSet<Call> {
        self.bodies().alive.keys().copied().collect()
    }
}

/// What a call brings for its body.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) call: Call,
    pub(super) world: Arc<World>,
    #[expect(dead_code, reason = "held to be counted")]
    pub(super) argument: Token,
    /// A copy goes into the value.
    pub(super) value: Token,
}

impl Script {
    /// The body of every function.
    pub(super) async fn run<E: Fault>(self, key: Key) -> Result<Value, E> {
        let _leave = Leave::of(&self);
        let ending = poll_fn(|cx| {
            let mut bodies = self.world.bodies();
            if let Some(ending) = bodies.endings.get(&self.call) {
                return Poll::Ready(*ending);
            }
            bodies.alive.insert(self.call, Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
        let call = self.call;
        match ending {
            Ending::Value(quality) => {
                let origin = Origin::Call(call);
                Ok(Value { key: key.number, origin, quality, token: Arc::clone(&self.value) })
            }
            Ending::Error => Err(E::of(call)),
            // Like `panic!`, without the lines on the standard error.
            Ending::Panic => resume_unwind(Box::new(format!("panic in call {call}"))),
        }
    }
}

/// The call that a panic came from.
pub(super) fn panicked(message: &str) -> Outcome {
    let call = message.strip_prefix("panic in call ").and_then(|call| call.parse().ok());
    Outcome::Panic(call.unwrap_or_else(|| panic!("a panic that is no body's: {message}")))
}

/// A body that is alive.
struct Leave {
    call: Call,
    world: Arc<World>,
}

impl Leave {
    fn of(script: &Script) -> Leave {
        let mut bodies = script.world.bodies();
        assert!(bodies.begun.insert(script.call), "a body runs twice");
        bodies.alive.insert(script.call, None);
        Leave { call: script.call, world: Arc::clone(&script.world) }
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.world.bodies().alive.remove(&self.call);
    }
}
