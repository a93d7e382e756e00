//! A call: what a caller awaits, from boarding to its own copy of the result.

use std::future::Future;
use std::marker::PhantomData;
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
    #[inline]
    pub fn fly<B, F>(self, body: B) -> Call<K, S, B, F>
    where
        B: FnOnce() -> F,
        F: Future<Output = S::Output> + Send + 'static, // a body that is not can stay in its call: say `attached`
    {
        self.with(body, Some(Execution::detach))
    }

    /// The same for a body that stays inside this call.
    #[inline]
    pub fn fly_attached<B, F>(self, body: B) -> Call<K, S, B, F>
    where
        B: FnOnce() -> F,
        F: Future<Output = S::Output>,
    {
        self.with(body, None)
    }

    #[inline]
    fn with<B, F>(self, body: B, detach: Option<Detach<K, S, F>>) -> Call<K, S, B, F> {
        let Boarding { way, purpose, hooks } = self;
        let stage = match way {
            Way::Shared(Boarded::Hit(output)) => Stage::Done(output),
            Way::Shared(Boarded::Joined(seat)) => Stage::Waiting(seat),
            Way::Shared(Boarded::First(seat, home)) => Stage::First(seat, home),
            Way::Shared(Boarded::Circle(coalescing)) => Stage::Circle(coalescing),
            Way::Shared(Boarded::Nothing(coalescing)) => Stage::Nothing(coalescing),
            Way::Off(coalescing) => {
                count(&coalescing.counters.bypassed);
                Stage::Alone(None)
            }
        };
        Call { stage, hooks, body: Some(body), detach, purpose, again: false, patience: None, returns: PhantomData }
    }
}

/// A call under way. Dropping it gives up its seat, and its execution where that has not left it.
#[must_use = "futures do nothing unless awaited"]
pub struct Call<K: Key, S: Share, B, F> {
    stage: Stage<K, S, F>,
    hooks: Hooks<S>,
    body: Option<B>,
    detach: Option<Detach<K, S, F>>,
    purpose: Purpose,
    /// An earlier flight of this call was abandoned.
    again: bool,
    /// Runs while this caller waits, where `wait` is set.
    patience: Option<Patience>,
    returns: PhantomData<fn() -> F>,
}

/// How long a caller waits.
struct Patience {
    until: Instant,
    /// A timer, and the runtime that it belongs to: it is of no use in another, nor when its own has ended.
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

/// Gives an execution that has to wait for something a task of its own. One that has none is driven by its call.
type Detach<K, S, F> = fn(Execution<K, S, F>, &Home) -> Task;

enum Stage<K: Key, S: Share, F> {
    Done(S::Output),
    First(Seat<K, S>, Option<Home>),
    Waiting(Seat<K, S>),
    /// The same, and the flight moves only as this call is polled. Dropped in this order: the body is gone when the
    /// others hear that its flight is.
    Driving(Box<Execution<K, S, F>>, Seat<K, S>),
    /// Inside its own flight.
    Circle(Arc<Coalescing<K, S>>),
    /// Its body was lost with the runtime that ran it, and there is nobody to join.
    Nothing(Arc<Coalescing<K, S>>),
    /// Runs its own body, unshared, at its own pace.
    Alone(Option<Pin<Box<F>>>),
    /// The same, from inside its own flight.
    Inside(Pin<Box<F>>),
    Over,
}

// Nothing in here is pinned by our being pinned: bodies are boxed.
impl<K: Key, S: Share, B, F> Unpin for Call<K, S, B, F> {}

impl<K: Key, S: Share, B, F> Future for Call<K, S, B, F>
where
    B: FnOnce() -> F,
    F: Future<Output = S::Output>,
{
    type Output = S::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<S::Output> {
        if let Stage::Done(_) = self.stage {
            let Stage::Done(output) = std::mem::replace(&mut self.stage, Stage::Over) else { unreachable!() };
            return Poll::Ready(output);
        }
        self.poll_miss(cx)
    }
}

impl<K: Key, S: Share, B, F> Call<K, S, B, F>
where
    B: FnOnce() -> F,
    F: Future<Output = S::Output>,
{
    #[inline(never)]
    fn poll_miss(&mut self, cx: &mut Context<'_>) -> Poll<S::Output> {
        loop {
            match &mut self.stage {
                Stage::Waiting(_) | Stage::Driving(..) => match ready!(self.poll_seat(cx)) {
                    Some(output) => {
                        self.stage = Stage::Over;
                        return Poll::Ready(output);
                    }
                    // Abandoned: the stage is a new one.
                    None => continue,
                },
                Stage::Alone(Some(body)) => return body.as_mut().poll(cx).map(S::of_own),
                Stage::Inside(body) => {
                    let _deeper = nest::deeper();
                    return body.as_mut().poll(cx).map(S::of_own);
                }
                _ => (),
            }
            self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::First(seat, home) => {
                    let body = self.own_body();
                    self.take_off(seat, home, body, cx)
                }
                Stage::Nothing(coalescing) => {
                    if !self.again {
                        count(&coalescing.counters.refused);
                    }
                    let function = Arc::clone(&coalescing.name);
                    return Poll::Ready(self.hooks.refused(Error::Abandoned { function }));
                }
                Stage::Circle(coalescing) => {
                    let depth = nest::depth();
                    if depth >= nest::DEEPEST {
                        let function = Arc::clone(&coalescing.name);
                        return Poll::Ready(self.hooks.refused(Error::TooDeep { function, depth }));
                    }
                    Stage::Inside(Box::pin(self.own_body()()))
                }
                Stage::Alone(None) => Stage::Alone(Some(Box::pin(self.own_body()()))),
                Stage::Done(output) => return Poll::Ready(output),
                Stage::Over => panic!("a call was polled after it had returned"),
                Stage::Waiting(_) | Stage::Driving(..) | Stage::Alone(Some(_)) | Stage::Inside(_) => {
                    unreachable!("polled above")
                }
            };
        }
    }

    fn own_body(&mut self) -> B {
        self.body.take().expect("a body is used up only by the flight that it begins")
    }

    /// Begins the flight: polls the body once, here, and hands it to the runtime if it is not done. A function whose
    /// calls must end in time hands it over at once, since a body may block in its first poll as in any other.
    fn take_off(&self, mut seat: Seat<K, S>, home: Option<Home>, body: B, cx: &mut Context<'_>) -> Stage<K, S, F> {
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
    fn poll_seat(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Output>> {
        let seat = match &mut self.stage {
            Stage::Waiting(seat) => seat,
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
            Err(Circle) if self.body.is_some() => {
                self.stage = Stage::Circle(Arc::clone(&seat.coalescing));
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
                let may_lead = self.body.is_some();
                self.stage = match seat.coalescing.board_again(&seat.node, self.purpose, self.again, may_lead) {
                    Boarded::Hit(output) => Stage::Done(output),
                    Boarded::Joined(seat) => Stage::Waiting(seat),
                    Boarded::First(seat, home) => Stage::First(seat, home),
                    Boarded::Circle(coalescing) => Stage::Circle(coalescing),
                    Boarded::Nothing(coalescing) => Stage::Nothing(coalescing),
                };
                return Poll::Ready(None);
            }
        }))
    }
}

impl<K: Key, S: Share, B, F> Call<K, S, B, F> {
    /// The body, if it was not the one to run.
    pub(crate) fn into_body(self) -> Option<B> {
        self.body
    }
}
