//! A call: what a caller awaits, from boarding to its own copy of the result.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::coalescer::{Boarded, Coalescing, Purpose};
use crate::error::Error;
use crate::flight::{Ending, Rare};
use crate::home::{Home, Task};
use crate::key::Key;
use crate::nest::{self, Circle};
use crate::run::{Execution, Hooks};
use crate::seat::Seat;
use crate::share::Share;
use crate::stats::count;

/// A call that has boarded and not yet begun to wait.
#[must_use]
pub struct Boarding<K: Key, S: Share> {
    way: Way<K, S>,
    purpose: Purpose,
    hooks: Hooks<S>,
}

enum Way<K: Key, S: Share> {
    Shared(Boarded<K, S>),
    /// `STAMPEDE_OFF`: every call runs its own body.
    Off(Arc<Coalescing<K, S>>),
}

impl<K: Key, S: Share> Boarding<K, S> {
    #[inline]
    pub(crate) fn call(boarded: Boarded<K, S>, hooks: Hooks<S>) -> Self {
        Boarding { way: Way::Shared(boarded), purpose: Purpose::Call, hooks }
    }

    pub(crate) fn refresh(boarded: Boarded<K, S>, hooks: Hooks<S>) -> Self {
        Boarding { way: Way::Shared(boarded), purpose: Purpose::Refresh, hooks }
    }

    pub(crate) fn off(coalescing: Arc<Coalescing<K, S>>, hooks: Hooks<S>) -> Self {
        Boarding { way: Way::Off(coalescing), purpose: Purpose::Call, hooks }
    }

    /// The rest of the call. `body` is called only if this caller's body is the one to run, and then runs on its own.
    ///
    /// All bodies of one result have one type from here on: otherwise each function would have the flight, and tokio's
    /// task around it, compiled anew.
    #[inline]
    pub fn fly<B, F>(self, body: B) -> Call<K, S, impl FnOnce() -> Moved<S::Output>, Moved<S::Output>>
    where
        B: FnOnce() -> F,
        F: Future<Output = S::Output> + Send + 'static, // a body that is not can stay in its call: say `attached`
    {
        self.with(move || Box::pin(body()) as Moved<S::Output>, Some(Execution::detach))
    }

    /// The same for a body that stays inside this call.
    #[inline]
    pub fn fly_attached<B, F>(self, body: B) -> Call<K, S, impl FnOnce() -> Pin<Box<F>>, Pin<Box<F>>>
    where
        B: FnOnce() -> F,
        F: Future<Output = S::Output>,
    {
        self.with(move || Box::pin(body()), None)
    }

    #[inline]
    fn with<B, P>(self, body: B, detach: Option<Detach<K, S, P>>) -> Call<K, S, B, P> {
        let Boarding { way, purpose, hooks } = self;
        let stage = match way {
            Way::Shared(boarded) => Stage::Boarded(boarded),
            Way::Off(coalescing) => {
                count(&coalescing.counters.bypassed);
                Stage::Alone(None)
            }
        };
        let flying = Flying { stage, hooks, detach, purpose, again: false, patience: None };
        Call { flying, body: Some(body) }
    }
}

/// A body that may move to a task.
pub(crate) type Moved<R> = Pin<Box<dyn Future<Output = R> + Send>>;

/// A call under way. Dropping it gives up its seat, and its execution where that has not left it.
///
/// `B`: makes the body. `P`: the body, in a box.
#[must_use = "futures do nothing unless awaited"]
pub struct Call<K: Key, S: Share, B, P> {
    flying: Flying<K, S, P>,
    /// Until it is needed.
    body: Option<B>,
}

// Nothing in here is pinned by our being pinned: bodies are boxed.
impl<K: Key, S: Share, B, P> Unpin for Call<K, S, B, P> {}

impl<K: Key, S: Share, B, P> Future for Call<K, S, B, P>
where
    B: FnOnce() -> P,
    P: Future<Output = S::Output> + Unpin,
{
    type Output = S::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<S::Output> {
        let Call { flying, body } = &mut *self;
        flying.poll(body, cx)
    }
}

impl<K: Key, S: Share, B, P> Call<K, S, B, P> {
    /// The body, if it was not the one to run.
    pub(crate) fn into_body(self) -> Option<B> {
        self.body
    }
}

/// What makes a call's body, while that has not begun.
pub(crate) trait Unbegun<P> {
    fn is_there(&self) -> bool;

    /// # Panics
    /// When it has begun already, or the user's code does.
    fn begin(&mut self) -> P;
}

impl<P, B: FnOnce() -> P> Unbegun<P> for Option<B> {
    fn is_there(&self) -> bool {
        self.is_some()
    }

    fn begin(&mut self) -> P {
        self.take().expect("a body is used up only by the flight that it begins")()
    }
}

/// A call, whatever makes its body.
struct Flying<K: Key, S: Share, P> {
    stage: Stage<K, S, P>,
    hooks: Hooks<S>,
    detach: Option<Detach<K, S, P>>,
    purpose: Purpose,
    /// An earlier flight of this call was abandoned.
    again: bool,
    /// Runs while this caller waits, where `wait` is set.
    patience: Option<Patience>,
}

/// Gives an execution that has to wait for something a task of its own. One that has none is driven by its call.
type Detach<K, S, P> = fn(Execution<K, S, P>, &Home) -> Task;

enum Stage<K: Key, S: Share, P> {
    Boarded(Boarded<K, S>),
    Waiting(Seat<K, S>),
    /// The same, and the flight moves only as this call is polled. Dropped in this order: the body is gone when the
    /// others hear that its flight is.
    Driving(Box<Execution<K, S, P>>, Seat<K, S>),
    /// Runs its own body, unshared, at its own pace.
    Alone(Option<P>),
    /// The same, from inside its own flight.
    Inside(P),
    Over,
}

/// How long a caller waits.
struct Patience {
    until: Instant,
    /// A timer, and the runtime that it belongs to: it is of no use in another.
    timer: Option<(runtime::Id, Pin<Box<Sleep>>)>,
}

impl Patience {
    fn new(limit: Duration) -> Patience {
        // Far more than anyone's, and little enough for a clock.
        const LONGEST: Duration = Duration::from_secs(30 * 365 * 86_400);
        Patience { until: Instant::now() + limit.min(LONGEST), timer: None }
    }

    /// Ready when there is none left. `None`: outside of a runtime nobody keeps the time.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Poll<()>> {
        let here = Handle::try_current().ok()?.id();
        let timer = self.timer.take().filter(|(home, _)| *home == here);
        let (_, sleep) = self.timer.insert(timer.unwrap_or_else(|| (here, Box::pin(sleep_until(self.until)))));
        Some(sleep.as_mut().poll(cx))
    }
}

impl<K: Key, S: Share, P> Flying<K, S, P>
where
    P: Future<Output = S::Output> + Unpin,
{
    #[inline(never)]
    fn poll(&mut self, body: &mut dyn Unbegun<P>, cx: &mut Context<'_>) -> Poll<S::Output> {
        loop {
            match &mut self.stage {
                Stage::Boarded(Boarded::Joined(_)) | Stage::Waiting(_) | Stage::Driving(..) => {
                    match ready!(self.poll_seat(body, cx)) {
                        Some(output) => {
                            self.stage = Stage::Over;
                            return Poll::Ready(output);
                        }
                        // The stage is a new one.
                        None => continue,
                    }
                }
                Stage::Alone(Some(body)) => return Pin::new(body).poll(cx).map(S::of_own),
                Stage::Inside(body) => {
                    let _deeper = nest::deeper();
                    return Pin::new(body).poll(cx).map(S::of_own);
                }
                Stage::Boarded(_) | Stage::Alone(None) | Stage::Over => (),
            }
            self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Boarded(Boarded::Hit(output)) => return Poll::Ready(output),
                Stage::Boarded(Boarded::First(seat, home)) => self.take_off(seat, home, body, cx),
                Stage::Boarded(Boarded::Nothing(coalescing)) => {
                    if !self.again {
                        count(&coalescing.counters.refused);
                    }
                    let function = Arc::clone(&coalescing.name);
                    return Poll::Ready(self.hooks.refused(Error::Abandoned { function }));
                }
                Stage::Boarded(Boarded::Circle(coalescing)) => {
                    let depth = nest::depth();
                    if depth >= nest::DEEPEST {
                        let function = Arc::clone(&coalescing.name);
                        return Poll::Ready(self.hooks.refused(Error::TooDeep { function, depth }));
                    }
                    Stage::Inside(body.begin())
                }
                Stage::Alone(None) => Stage::Alone(Some(body.begin())),
                Stage::Over => panic!("a call was polled after it had returned"),
                _ => unreachable!("polled above"),
            };
        }
    }

    /// Begins the flight: polls the body once, here, and hands it to the runtime if it is not done. A function whose
    /// calls must end in time hands it over at once, since a body may block in its first poll as in any other.
    fn take_off(
        &self,
        mut seat: Seat<K, S>,
        home: Option<Home>,
        body: &mut dyn Unbegun<P>,
        cx: &mut Context<'_>,
    ) -> Stage<K, S, P> {
        let mut execution = Execution::new(&mut seat, self.hooks, self.purpose, self.again, body);
        let Some(detach) = self.detach else { return Stage::Driving(Box::new(execution), seat) };
        let policy = &seat.coalescing.policy;
        let is_urgent = policy.timeout.is_some() || policy.wait.is_some();
        let inline = if is_urgent { None } else { nest::inline() };
        let is_done = inline.is_some() && Pin::new(&mut execution).poll(cx).is_ready();
        drop(inline);
        if !is_done {
            let home = home.expect("only functions that are `attached` lead outside of a runtime");
            seat.node.set_body(detach(execution, &home));
        }
        Stage::Waiting(seat)
    }

    /// Waits for the flight's end, which a body that stays here has to reach here. `None`: the stage is a new one.
    fn poll_seat(&mut self, body: &mut dyn Unbegun<P>, cx: &mut Context<'_>) -> Poll<Option<S::Output>> {
        let seat = match &mut self.stage {
            Stage::Boarded(Boarded::Joined(seat)) | Stage::Waiting(seat) => seat,
            Stage::Driving(execution, seat) => {
                // Its time may be up; then it is not polled again.
                if seat.node.ending().is_none() {
                    // Landing says what became of it.
                    let _ = Pin::new(&mut **execution).poll(cx);
                }
                seat
            }
            _ => unreachable!("only a call that waits comes here"),
        };
        let hooks = self.hooks;
        let poll = match seat.poll(cx) {
            Ok(poll) => poll,
            Err(Circle) if body.is_there() => {
                self.stage = Stage::Boarded(Boarded::Circle(Arc::clone(&seat.coalescing)));
                return Poll::Ready(None);
            }
            // Begun outside and then awaited inside itself, with no body left to run: `wait` and `timeout` end that.
            Err(Circle) => Poll::Pending,
        };
        if poll.is_pending() {
            let Some(limit) = seat.coalescing.policy.wait else { return Poll::Pending };
            let patience = self.patience.get_or_insert_with(|| Patience::new(limit));
            match patience.poll(cx) {
                Some(poll) => ready!(poll),
                None => seat.coalescing.outside(),
            }
            return Poll::Ready(Some(hooks.refused(seat.gave_up(limit))));
        }
        let function = || Arc::clone(&seat.coalescing.name);
        let rare = match seat.node.ending() {
            Some(Ending::Value { value, .. }) => return Poll::Ready(Some(S::value(value))),
            Some(Ending::Rare(rare)) => rare,
            None => unreachable!("a seat is ready when the flight has ended"),
        };
        Poll::Ready(Some(match &**rare {
            Rare::Fault(fault) => S::fault(fault),
            Rare::Panicked(payload) => payload.resume(),
            Rare::TimedOut(limit) => hooks.refused(Error::Timeout { function: function(), limit: *limit }),
            Rare::Abandoned(_) => {
                self.again = !seat.carry_due();
                let boarded = seat.coalescing.board_again(&seat.node, self.purpose, self.again, body.is_there());
                self.stage = Stage::Boarded(boarded);
                return Poll::Ready(None);
            }
        }))
    }
}
