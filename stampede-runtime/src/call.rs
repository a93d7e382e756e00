//! What is said of the calls that a future makes: what may answer them, and who wants to know what became of them.
//!
//! That is a *scope*. It holds while its future is polled, on the thread that polls it, and for the calls that begin
//! there. A call looks at it once, where it begins. While there is no scope in the process, no call looks for one.

mod outcome;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

pub use self::outcome::{Outcome, Tier};
use crate::coalescer::Coalescing;
use crate::fly::Boarding;
use crate::key::Look;
use crate::registry::{self, Special};
use crate::share::Share;

thread_local! {
    static SCOPE: RefCell<Scope> = const { RefCell::new(Scope::NONE) };
}

/// What is said of the calls that begin in a future.
#[derive(Clone)]
pub(crate) struct Scope {
    wish: Wish,
    /// How near an answer has to be.
    #[cfg(feature = "semantic")]
    pub(crate) least: Option<f32>,
    note: Option<Note>,
}

/// What may answer a call. Of two that hold, the later one here is the stronger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    /// Whatever there is.
    Any,
    /// What is newer than anything that there is.
    Newest,
    /// Its own body.
    Alone,
}

impl Scope {
    const NONE: Scope = Scope {
        wish: Wish::Any,
        #[cfg(feature = "semantic")]
        least: None,
        note: None,
    };

    /// That of the call that is being made.
    fn current() -> Scope {
        if !registry::has_specials() {
            return Scope::NONE;
        }
        // A thread that ends has none any more.
        SCOPE.try_with(|scope| scope.borrow().clone()).unwrap_or(Scope::NONE)
    }
}

/// Makes a scope the thread's while it lives.
pub(crate) struct Entered(Scope);

impl Entered {
    fn enter(scope: Scope) -> Entered {
        Entered(SCOPE.try_with(|current| current.replace(scope)).unwrap_or(Scope::NONE))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut self.0, Scope::NONE);
        let _ = SCOPE.try_with(|current| current.replace(before));
    }
}

/// Bodies are nobody's calls: what is said of a call is not said of those that its body makes.
pub(crate) fn nobodys() -> Option<Entered> {
    registry::has_specials().then(|| Entered::enter(Scope::NONE))
}

/// Polls a body.
pub(crate) async fn in_body<F: Future>(body: F) -> F::Output {
    let mut body = pin!(body);
    poll_fn(|cx| {
        let _nobodys = nobodys();
        body.as_mut().poll(cx)
    })
    .await
}

/// Where the outcome of a call is noted.
#[derive(Clone, Default)]
pub(crate) struct Note(Arc<Mutex<Option<Outcome>>>);

impl Note {
    /// That of the call that is being made, if somebody wants to know its outcome.
    pub(crate) fn current() -> Option<Note> {
        Scope::current().note
    }

    pub(crate) fn take_down(&self, outcome: Outcome) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    fn read(&self) -> Option<Outcome> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, feature = "semantic"))]
pub(crate) fn least() -> Option<f32> {
    Scope::current().least
}

/// Begins a call of which something may be said. `is_refresh`: the companion's.
pub(crate) fn begin<L: Look, S: Share>(
    state: &Coalescing<L::Own, S>,
    key: &L,
    is_refresh: bool,
) -> Result<S::Output, Boarding<L::Own, S>> {
    let scope = Scope::current();
    let wish = if is_refresh { scope.wish.max(Wish::Newest) } else { scope.wish };
    let boarding = match wish {
        _ if registry::is_off() => Boarding::off(state.me()),
        Wish::Alone => Boarding::off(state.me()),
        Wish::Newest => Boarding::refresh(state.board_refresh(key), state.id_of(key)),
        Wish::Any => match hit(state, &mut key.again(), &scope) {
            Ok(output) => return Ok(output),
            Err(boarding) => boarding,
        },
    };
    Err(boarding.noted(scope.note))
}

/// Whether a call that begins here may be answered by whatever there is.
pub(crate) fn may_be_kept() -> bool {
    Scope::current().wish == Wish::Any
}

/// Begins a call that whatever there is may answer.
fn hit<L: Look, S: Share>(
    state: &Coalescing<L::Own, S>,
    key: &mut L,
    scope: &Scope,
) -> Result<S::Output, Boarding<L::Own, S>> {
    let told = |outcome| scope.note.iter().for_each(|note| note.take_down(outcome));
    #[cfg(feature = "semantic")]
    if let Some(least) = scope.least.filter(|least| state.policy.semantic && *least > state.policy.threshold) {
        if let Some((output, outcome)) = state.hit_near(key, least) {
            told(outcome);
            return Ok(output);
        }
        key.insist(least);
    }
    let boarded = if scope.note.is_some() || state.hooks.has_price() {
        state.hit_closer(key).map(|(output, outcome)| {
            told(outcome);
            output
        })
    } else {
        state.hit(key)
    };
    boarded.map_err(|missed| Boarding::call(state.board(key, missed), state.id_of(key)))
}

/// The result of a call, and what became of it. `None`: no shared function was called.
///
/// `call` may be any future. It is said of the last of the calls that it makes to have ended (see
/// [below](#which-calls)).
///
/// ```
/// use stampede_runtime::{Outcome, Tier, cached, outcome};
///
/// #[cached(ttl = "5m")]
/// async fn forecast(city: &str) -> String {
///     format!("sunny in {city}")
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(outcome(forecast("Oslo")).await.1, Some(Outcome::Executed));
/// let (weather, outcome) = outcome(forecast("Oslo")).await;
/// if let Some(Outcome::Hit { tier: Tier::Memory, is_stale: false, age, .. }) = outcome {
///     println!("{weather}, as of {age:?} ago");
/// }
/// # assert!(matches!(outcome, Some(Outcome::Hit { tier: Tier::Memory, .. })));
/// # }
/// ```
///
/// # Which calls
///
/// Those that the future itself begins, wherever it pauses in between: a call begins when its own future is polled for the
/// first time. Not those that the *body* of a shared function makes, and not those of tasks and threads that it spawns.
/// The same holds for [`refresh`], [`bypass`] and `semantic::at_least`.
///
/// **Cancel**: dropping the future drops the call. **Panic**: that of a body goes through it, and there is no outcome.
///
/// **Cost**: one allocation. While it waits, every call in the process looks at one thread-local value more.
pub async fn outcome<F: Future>(call: F) -> (F::Output, Option<Outcome>) {
    let note = Note::default();
    let output = within(call, |scope| scope.note = Some(note.clone())).await;
    (output, note.read())
}

/// [`outcome`] for a call of a sync function.
pub fn outcome_now<R>(call: impl FnOnce() -> R) -> (R, Option<Outcome>) {
    let note = Note::default();
    let output = within_now(call, |scope| scope.note = Some(note.clone()));
    (output, note.read())
}

/// The result of calls that nothing older answers: what is kept, or was under way before. They run their bodies anew, and
/// keep what these return.
///
/// For a request that says `Cache-Control: no-cache`: `refresh(handle(request)).await`. Such a call is what the companion's
/// `refresh` is, with the same rules: it joins another refresh of its key that is under way; its own error is reported, and
/// leaves the kept value; no old value stands in for it (`stale_if_error`, `soft_timeout`). It is counted as one of
/// `refreshes`, and as no request.
///
/// `call` may be any future: of the calls that it makes, [these](outcome#which-calls) are meant. Inside of [`bypass`], that
/// is stronger.
///
/// ```
/// use stampede_runtime::{cached, refresh};
///
/// #[cached(ttl = "5m")]
/// async fn forecast(city: &str) -> String {
///     format!("sunny in {city}")
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// forecast("Oslo").await;
/// refresh(forecast("Oslo")).await;
/// assert_eq!(forecast::stats().executions, 2);
/// # }
/// ```
pub async fn refresh<F: Future>(call: F) -> F::Output {
    within(call, |scope| scope.wish = scope.wish.max(Wish::Newest)).await
}

/// [`refresh`] for calls of sync functions.
pub fn refresh_now<R>(call: impl FnOnce() -> R) -> R {
    within_now(call, |scope| scope.wish = scope.wish.max(Wish::Newest))
}

/// The result of calls that share nothing: each runs its own body, nothing that is kept is looked at, and nothing is kept.
/// What `STAMPEDE_OFF` is for a process, this is for some calls: options such as `timeout` do not apply to them either.
///
/// For a request that says `Cache-Control: no-store`: `bypass(handle(request)).await`. They are counted as `bypassed`.
///
/// `call` may be any future: of the calls that it makes, [these](outcome#which-calls) are meant. What else the companion
/// does (`insert`, `invalidate`) is not affected.
///
/// **Cancel**: dropping the future drops the body.
pub async fn bypass<F: Future>(call: F) -> F::Output {
    within(call, |scope| scope.wish = Wish::Alone).await
}

/// [`bypass`] for calls of sync functions.
pub fn bypass_now<R>(call: impl FnOnce() -> R) -> R {
    within_now(call, |scope| scope.wish = Wish::Alone)
}

/// Polls a future in a scope that `changes` the one around.
pub(crate) async fn within<F: Future>(call: F, changes: impl Fn(&mut Scope)) -> F::Output {
    let _special = Special::begin();
    let mut call = pin!(call);
    poll_fn(|cx| {
        let mut scope = Scope::current();
        changes(&mut scope);
        let _entered = Entered::enter(scope);
        call.as_mut().poll(cx)
    })
    .await
}

/// The same for what does not pause.
pub(crate) fn within_now<R>(call: impl FnOnce() -> R, changes: impl FnOnce(&mut Scope)) -> R {
    let _special = Special::begin();
    let mut scope = Scope::current();
    changes(&mut scope);
    let _entered = Entered::enter(scope);
    call()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish() -> Wish {
        Scope::current().wish
    }

    #[tokio::test]
    async fn the_stronger_wish_holds_and_ends_with_its_call() {
        assert!(refresh(async { bypass(async { wish() }).await == Wish::Alone }).await);
        assert!(bypass(async { refresh(async { wish() }).await == Wish::Alone }).await);
        assert!(refresh(async { outcome(async { wish() }).await.0 == Wish::Newest }).await);
        assert!(refresh_now(|| bypass_now(wish) == Wish::Alone) && refresh_now(wish) == Wish::Newest);
        assert!(wish() == Wish::Any);
    }

    #[tokio::test]
    async fn a_scope_holds_over_pauses_and_not_in_bodies() {
        let (seen, outcome) = outcome(async {
            tokio::task::yield_now().await;
            let in_body = {
                let _body = nobodys();
                Note::current().is_none()
            };
            Note::current().expect("there is a scope").take_down(Outcome::Executed);
            in_body
        })
        .await;
        assert_eq!((seen, outcome), (true, Some(Outcome::Executed)));
        assert!(Note::current().is_none());
    }

    #[test]
    fn a_panic_ends_a_scope() {
        let panicked = std::panic::catch_unwind(|| bypass_now(|| panic!("in the scope")));
        assert!(panicked.is_err() && wish() == Wish::Any);
    }
}
