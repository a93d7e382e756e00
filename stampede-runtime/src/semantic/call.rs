//! One call: what it insists on, and what became of it.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use crate::tier::Came;

thread_local! {
    static CALL: RefCell<Scope> = const { RefCell::new(Scope { least: None, note: None }) };
}

/// What holds for the calls that begin in a future.
#[derive(Clone, Default)]
struct Scope {
    least: Option<f32>,
    note: Option<Note>,
}

/// Makes a scope the thread's while the result lives.
struct Entered(Scope);

impl Entered {
    fn enter(scope: Scope) -> Entered {
        Entered(CALL.replace(scope))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CALL.set(std::mem::take(&mut self.0));
    }
}

/// Bodies are nobody's calls: what their callers insist on is not said of what they call.
pub(crate) fn nobodys() -> impl Drop {
    Entered::enter(Scope::default())
}

/// How near an answer has to be to the call that is being made, if that says so.
pub(crate) fn least() -> Option<f32> {
    CALL.with_borrow(|scope| scope.least)
}

/// Where it is noted what becomes of the call that is being made, if somebody wants to know.
pub(crate) fn note() -> Option<Note> {
    CALL.with_borrow(|scope| scope.note.clone())
}

/// Where the outcome of a call is noted.
#[derive(Clone, Default)]
pub(crate) struct Note(Arc<Mutex<Option<Outcome>>>);

impl Note {
    pub(crate) fn take_down(&self, outcome: Outcome) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    fn read(&self) -> Option<Outcome> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a call of a `#[semantic_coalesce]` function.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its body ran, and ended in whatever way.
    Executed,
    /// It joined an execution under way: of its own question, or of one that means the same.
    Joined {
        /// How near that question is; 1 for its own.
        similarity: f32,
    },
    /// Exactly its question had been answered.
    Exact {
        /// Where the answer was.
        tier: Tier,
    },
    /// A question that means the same had been answered.
    Semantic {
        /// Where the answer was.
        tier: Tier,
        /// How near that question is, from -1 to 1.
        similarity: f32,
    },
}

impl Outcome {
    /// Of a value that was in memory.
    pub(crate) fn of_hit(came: Came) -> Outcome {
        match came {
            Came::Near { similarity, .. } => Outcome::Semantic { tier: Tier::Memory, similarity },
            _ => Outcome::Exact { tier: Tier::Memory },
        }
    }

    /// Of a call that waited for the end of a flight. `has_led`: which it has begun.
    pub(crate) fn of_flight(came: Came, has_led: bool) -> Outcome {
        match came {
            Came::Near { similarity, is_joined: true } => Outcome::Joined { similarity },
            Came::Near { similarity, is_joined: false } => Outcome::Semantic { tier: Tier::Index, similarity },
            Came::Backend => Outcome::Exact { tier: Tier::Backend },
            Came::Index => Outcome::Exact { tier: Tier::Index },
            Came::Made if has_led => Outcome::Executed,
            Came::Made | Came::Told => Outcome::Joined { similarity: 1.0 },
        }
    }

    /// Whether it was spared an execution.
    #[must_use]
    pub fn is_saved(self) -> bool {
        self != Outcome::Executed
    }

    /// How near the question is that was answered. 1 for the call's own.
    #[must_use]
    pub fn similarity(self) -> f32 {
        match self {
            Outcome::Executed | Outcome::Exact { .. } => 1.0,
            Outcome::Joined { similarity } | Outcome::Semantic { similarity, .. } => similarity,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Executed => f.write_str("executed"),
            Outcome::Joined { similarity } => write!(f, "joined, similarity {similarity:.3}"),
            Outcome::Exact { tier } => write!(f, "exact hit in {tier}"),
            Outcome::Semantic { tier, similarity } => write!(f, "semantic hit in {tier}, similarity {similarity:.3}"),
        }
    }
}

/// Where an answer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tier {
    /// In this process.
    Memory,
    /// In the backend of bytes (Redis).
    Backend,
    /// In the index.
    Index,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tier::Memory => "memory",
            Tier::Backend => "the backend",
            Tier::Index => "the index",
        })
    }
}

/// The result of a call, and what became of it. `None`: no function that compares meanings was called, or the call gave up
/// before it was decided (`wait`).
///
/// `call` may be any future: it is said of the last call that it makes of such a function, wherever it is not handed to a task.
/// What the body of that function calls is not meant.
///
/// ```
/// # async fn example() {
/// use stampede_runtime::semantic::{self, Outcome};
/// # async fn answer(question: &str) -> String { question.to_owned() }
///
/// let (answer, outcome) = semantic::outcome(answer("What is Rust?")).await;
/// if let Some(Outcome::Semantic { similarity, .. }) = outcome {
///     println!("{answer} (asked before in other words, similarity {similarity:.3})");
/// }
/// # }
/// ```
pub async fn outcome<F: Future>(call: F) -> (F::Output, Option<Outcome>) {
    let note = Note::default();
    let output = within(call, |scope| scope.note = Some(note.clone())).await;
    (output, note.read())
}

/// The result of a call that insists on more than its function: whatever answers it means the same with a similarity of at
/// least `threshold`. A `threshold` below that of the function changes nothing.
///
/// Such a call shares answers with those that insist on the same, and with others what is exactly its question.
///
/// `call` may be any future, as for [`outcome`].
pub async fn at_least<F: Future>(threshold: f32, call: F) -> F::Output {
    within(call, |scope| {
        let least = scope.least.map_or(threshold, |least| least.max(threshold));
        scope.least = Some(least);
    })
    .await
}

/// Polls a future in a scope that `changes` the one around.
async fn within<F: Future>(call: F, changes: impl Fn(&mut Scope)) -> F::Output {
    let mut call = pin!(call);
    poll_fn(|cx| {
        let mut scope = CALL.with_borrow(Clone::clone);
        changes(&mut scope);
        let _entered = Entered::enter(scope);
        call.as_mut().poll(cx)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_call_insists_on_only_grows_and_ends_with_it() {
        let inner = at_least(0.8, async { at_least(0.5, async { least() }).await }).await;
        assert_eq!(inner, Some(0.8));
        assert_eq!(at_least(0.8, async { at_least(0.9, async { least() }).await }).await, Some(0.9));
        assert_eq!(least(), None);
    }

    #[tokio::test]
    async fn a_scope_holds_over_pauses_and_not_in_bodies() {
        let (seen, outcome) = outcome(async {
            tokio::task::yield_now().await;
            let in_body = {
                let _body = nobodys();
                note().is_none()
            };
            note().expect("there is a scope").take_down(Outcome::Executed);
            in_body
        })
        .await;
        assert_eq!((seen, outcome), (true, Some(Outcome::Executed)));
        assert!(note().is_none());
    }
}
