//! A call: what a caller awaits, from boarding to its own copy of the result.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::blocking;
use crate::call::{self, Note, Outcome};
use crate::coalescer::{Boarded, Coalescing, Purpose};
use crate::error::Error;
use crate::flight::{Ending, Node, Rare};
use crate::home::Home;
use crate::key::{Id, Key};
use crate::nest::{self, Circle};
use crate::run::{Detach, Execution, Reason};
use crate::seat::Seat;
use crate::share::Share;
use crate::stats::count;
use crate::tags::Tag;
use crate::tier::{Came, Wanted};

/// A call that has boarded and not yet begun to wait.
#[must_use]
pub struct Boarding<K: Key, S: Share> {
    way: Way<K, S>,
    purpose: Purpose,
    id: Option<Arc<Id>>,
    /// What the call is tagged with.
    tags: Option<Arc<[Tag]>>,
    /// What of the tier will do.
    wanted: Option<Wanted>,
    /// Where its outcome is to be noted.
    note: Option<Note>,
}

enum Way<K: Key, S: Share> {
    Shared(Boarded<K, S>),
    /// The call runs its own body.
    Off(Arc<Coalescing<K, S>>),
}

impl<K: Key, S: Share> Boarding<K, S> {
    #[inline]
    pub(crate) fn call(boarded: Boarded<K, S>, id: Option<Arc<Id>>) -> Self {
        Boarding::new(Way::Shared(boarded), Purpose::Call, id)
    }

    pub(crate) fn refresh(boarded: Boarded<K, S>, id: Option<Arc<Id>>) -> Self {
        Boarding::new(Way::Shared(boarded), Purpose::Refresh, id)
    }

    pub(crate) fn off(coalescing: Arc<Coalescing<K, S>>) -> Self {
        Boarding::new(Way::Off(coalescing), Purpose::Call, None)
    }

    #[inline]
    fn new(way: Way<K, S>, purpose: Purpose, id: Option<Arc<Id>>) -> Self {
        let wanted = Some(if purpose == Purpose::Refresh { Wanted::Newest } else { Wanted::Any });
        Boarding { way, purpose, id, tags: None, wanted, note: None }
    }

    /// Tags the call. `tags` is called only if its body may be the one to run.
    #[inline]
    pub fn tagged(self, tags: impl FnOnce() -> Vec<Tag>) -> Self {
        match &self.way {
            Way::Shared(Boarded::First(..) | Boarded::Behind(..) | Boarded::Joined(_)) => {
                Boarding { tags: Some(tags().into()), ..self }
            }
            _ => self,
        }
    }

    /// The tier has just been asked for the key, and had nothing. `has_tags`: what it knows of tags is still of interest.
    pub(crate) fn asked(self, has_tags: bool) -> Self {
        let is_refresh = self.purpose == Purpose::Refresh;
        Boarding { wanted: (has_tags || is_refresh).then_some(Wanted::Newest), ..self }
    }

    /// Whether it is this caller's body that will run.
    pub(crate) fn is_to_run(&self) -> bool {
        match &self.way {
            Way::Off(_) => true,
            Way::Shared(boarded) => {
                matches!(boarded, Boarded::First(..) | Boarded::Behind(..) | Boarded::Circle(_))
            }
        }
    }

    /// Perhaps somebody wants to know what becomes of the call.
    pub(crate) fn noted(self, note: Option<Note>) -> Self {
        Boarding { note, ..self }
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

    /// The whole call of a sync function, whose body stays on this thread. Blocks the thread while another's body runs.
    #[inline]
    pub fn run<B: FnOnce() -> S::Output>(self, body: B) -> S::Output {
        self.with(move || blocking::Body::new(body), None).wait()
    }

    /// The same for a body that may run on another thread. `own` makes it own what it needs.
    #[inline]
    pub fn run_detached<O, B>(self, own: O) -> S::Output
    where
        O: FnOnce() -> B,
        B: FnOnce() -> S::Output + Send + 'static, // it runs on a thread of its own, and so do its arguments
    {
        self.with(move || Box::pin(blocking::Body::new(own())) as Moved<S::Output>, Some(Execution::detach)).wait()
    }

    #[inline]
    fn with<B, P>(self, body: B, detach: Option<Detach<K, S, P>>) -> Call<K, S, B, P> {
        let Boarding { way, purpose, id, tags, wanted, note } = self;
        let stage = match way {
            Way::Shared(boarded) => Stage::Boarded(boarded),
            Way::Off(coalescing) => {
                count(&coalescing.counters.bypassed);
                Stage::Alone(coalescing, None)
            }
        };
        let noted = Noted { note, has_led: false };
        let (patience, soft) = (None, Soft::Unasked);
        let flying = Flying { stage, detach, purpose, id, tags, wanted, again: false, noted, patience, soft };
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

impl<K: Key, S: Share, B, P> Call<K, S, B, P>
where
    B: FnOnce() -> P,
    P: Future<Output = S::Output> + Unpin,
{
    /// Blocks the thread until the call has its result.
    fn wait(mut self) -> S::Output {
        blocking::wait(|cx| match Pin::new(&mut self).poll(cx) {
            Poll::Ready(output) => Ok(output),
            Poll::Pending => Err(self.flying.deadline()),
        })
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
    detach: Option<Detach<K, S, P>>,
    purpose: Purpose,
    id: Option<Arc<Id>>,
    tags: Option<Arc<[Tag]>>,
    wanted: Option<Wanted>,
    /// An earlier flight of this call was abandoned.
    again: bool,
    noted: Noted,
    /// Runs while this caller waits, where `wait` is set.
    patience: Option<Patience>,
    soft: Soft,
}

/// What is known by now of what becomes of a call.
struct Noted {
    /// Where its outcome is to be noted.
    note: Option<Note>,
    /// It has begun the flight that it waits for.
    has_led: bool,
}

impl Noted {
    fn take_down(&self, outcome: impl FnOnce() -> Outcome) {
        if let Some(note) = &self.note {
            note.take_down(outcome());
        }
    }

    /// Gets the end of a flight.
    fn ends<K: Key, S: Share>(&self, coalescing: &Coalescing<K, S>, node: &Node<K, S>, purpose: Purpose) {
        self.take_down(|| Outcome::of_flight(node, self.has_led));
        // Whoever began a flight is spared the execution if another tier answered that.
        let is_spared = !self.has_led || node.came() != Came::Made;
        if is_spared && purpose == Purpose::Call {
            coalescing.counters.saved(coalescing.worth(node));
        }
    }

    /// Gets an old value in the place of a flight's end.
    fn falls_back<K: Key, S: Share>(&self, coalescing: &Coalescing<K, S>, old: &Node<K, S>) -> S::Output {
        self.take_down(|| Outcome::of_old(old, self.has_led));
        if !self.has_led {
            coalescing.counters.saved(coalescing.worth(old));
        }
        old.output().expect("only a value stands in")
    }

    /// Gets no result.
    fn is_refused<K: Key, S: Share>(&self, coalescing: &Coalescing<K, S>, error: Error) -> S::Output {
        self.take_down(|| Outcome::Refused);
        coalescing.hooks.refused(error)
    }
}

/// Runs while this caller waits, where `soft_timeout` is set and there was an old value when it began to.
enum Soft {
    Unasked,
    Set(Patience),
    Over,
}

enum Stage<K: Key, S: Share, P> {
    Boarded(Boarded<K, S>),
    Waiting(Seat<K, S>),
    /// The same, and the flight moves only as this call is polled. Dropped in this order: the body is gone when the
    /// others hear that its flight is.
    Driving(Box<Execution<K, S, P>>, Seat<K, S>),
    /// Runs its own body, unshared, at its own pace.
    Alone(Arc<Coalescing<K, S>>, Option<P>),
    /// The same, from inside its own flight.
    Inside(Arc<Coalescing<K, S>>, P),
    Over,
}

/// How long a caller waits.
struct Patience {
    until: Instant,
    /// The same on the clock by which threads wait.
    thread_until: std::time::Instant,
    /// A timer, and the runtime that it belongs to: it is of no use in another.
    timer: Option<(runtime::Id, Pin<Box<Sleep>>)>,
}

impl Patience {
    fn new(limit: Duration) -> Patience {
        // Far more than anyone's, and little enough for a clock.
        const LONGEST: Duration = Duration::from_secs(30 * 365 * 86_400);
        let limit = limit.min(LONGEST);
        Patience { until: Instant::now() + limit, thread_until: std::time::Instant::now() + limit, timer: None }
    }

    /// Ready when there is none left. `None`: outside of a runtime nobody keeps the time. A thread that waits wakes up by
    /// itself.
    fn poll(&mut self, is_blocking: bool, cx: &mut Context<'_>) -> Option<Poll<()>> {
        if is_blocking {
            let is_over = self.thread_until <= std::time::Instant::now();
            return Some(if is_over { Poll::Ready(()) } else { Poll::Pending });
        }
        let here = Handle::try_current().ok()?.id();
        let timer = self.timer.take().filter(|(home, _)| *home == here);
        let (_, sleep) = self.timer.insert(timer.unwrap_or_else(|| (here, Box::pin(sleep_until(self.until)))));
        Some(sleep.as_mut().poll(cx))
    }
}

impl Soft {
    /// An old value, once this caller has waited long enough for a new one. The flight goes on.
    fn poll<K: Key, S: Share>(
        &mut self,
        seat: &mut Seat<K, S>,
        limit: Duration,
        cx: &mut Context<'_>,
    ) -> Option<Arc<Node<K, S>>> {
        let coalescing = Arc::clone(&seat.coalescing);
        if let Soft::Unasked = self {
            let is_there = coalescing.has_old(&seat.node);
            *self = if is_there { Soft::Set(Patience::new(limit)) } else { Soft::Over };
        }
        let Soft::Set(patience) = self else { return None };
        match patience.poll(coalescing.policy.blocking, cx) {
            Some(Poll::Ready(())) => *self = Soft::Over,
            Some(Poll::Pending) | None => return None,
        }
        let old = coalescing.old(&seat.node)?;
        count(&coalescing.counters.soft_timeouts);
        seat.leave_to_finish();
        Some(old)
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
                Stage::Alone(coalescing, Some(body)) => {
                    let _nobodys = call::nobodys();
                    let output = ready!(Pin::new(body).poll(cx));
                    self.noted.take_down(|| Outcome::Bypassed);
                    return Poll::Ready(coalescing.of_own(output));
                }
                Stage::Inside(coalescing, body) => {
                    let (_nobodys, _deeper) = (call::nobodys(), nest::deeper());
                    let output = ready!(Pin::new(body).poll(cx));
                    self.noted.take_down(|| Outcome::Bypassed);
                    return Poll::Ready(coalescing.of_own(output));
                }
                Stage::Boarded(_) | Stage::Alone(_, None) | Stage::Over => (),
            }
            self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Boarded(Boarded::Hit(node)) => {
                    self.noted.take_down(|| Outcome::of_hit(&node));
                    return Poll::Ready(node.output().expect("what is kept is a value or an error"));
                }
                Stage::Boarded(Boarded::First(seat, home)) => {
                    self.noted.has_led = true;
                    self.take_off(seat, home, body, cx)
                }
                Stage::Boarded(Boarded::Behind(old, seat, home)) => {
                    self.noted.take_down(|| Outcome::of_hit(&old));
                    self.take_off_behind(seat, &home, body);
                    return Poll::Ready(old.output().expect("only a value ages"));
                }
                Stage::Boarded(Boarded::Nothing(coalescing)) => {
                    if !self.again {
                        count(&coalescing.counters.refused);
                    }
                    let function = Arc::clone(&coalescing.name);
                    return Poll::Ready(self.noted.is_refused(&coalescing, Error::Abandoned { function }));
                }
                Stage::Boarded(Boarded::Circle(coalescing)) => {
                    let depth = nest::depth();
                    if depth >= nest::DEEPEST {
                        let function = Arc::clone(&coalescing.name);
                        return Poll::Ready(self.noted.is_refused(&coalescing, Error::TooDeep { function, depth }));
                    }
                    Stage::Inside(coalescing, body.begin())
                }
                Stage::Alone(coalescing, None) => Stage::Alone(coalescing, Some(body.begin())),
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
        let mut execution = Execution::new(&mut seat, self.reason(self.purpose), self.detach, body);
        let Some(detach) = self.detach else { return Stage::Driving(Box::new(execution), seat) };
        let policy = &seat.coalescing.policy;
        let is_urgent = policy.timeout.is_some() || policy.wait.is_some() || policy.soft_timeout.is_some();
        let inline = if is_urgent { None } else { nest::inline() };
        let is_done = inline.is_some() && Pin::new(&mut execution).poll(cx).is_ready();
        drop(inline);
        if !is_done {
            let home = home.expect("a detached flight begins where it has a home");
            seat.node.set_body(detach(execution, &home));
        }
        Stage::Waiting(seat)
    }

    fn reason(&self, purpose: Purpose) -> Reason {
        let (id, tags) = (self.id.clone(), self.tags.clone());
        Reason { purpose, again: self.again, id, tags, wanted: self.wanted }
    }

    /// Begins a flight that nobody waits for.
    fn take_off_behind(&self, mut seat: Seat<K, S>, home: &Home, body: &mut dyn Unbegun<P>) {
        let detach = self.detach.expect("only bodies that can leave their callers are refreshed behind them");
        let execution = Execution::new(&mut seat, self.reason(Purpose::Behind), self.detach, body);
        seat.node.set_body(detach(execution, home));
    }

    /// When a caller that waits has to look again, whoever wakes it.
    fn deadline(&self) -> Option<std::time::Instant> {
        let soft = if let Soft::Set(patience) = &self.soft { Some(patience.thread_until) } else { None };
        self.patience.iter().map(|patience| patience.thread_until).chain(soft).min()
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
            if let Some(limit) = seat.coalescing.policy.soft_timeout.filter(|_| self.purpose == Purpose::Call)
                && let Some(old) = self.soft.poll(seat, limit, cx)
            {
                return Poll::Ready(Some(self.noted.falls_back(&seat.coalescing, &old)));
            }
            let policy = &seat.coalescing.policy;
            let Some(limit) = policy.wait else { return Poll::Pending };
            let patience = self.patience.get_or_insert_with(|| Patience::new(limit));
            match patience.poll(policy.blocking, cx) {
                Some(poll) => ready!(poll),
                None => seat.coalescing.homeless(),
            }
            // As with `soft_timeout`, an old value is better than an error.
            let keeps_old = policy.stale_if_error > Duration::ZERO;
            if let (true, Purpose::Call, Some(old)) = (keeps_old, self.purpose, seat.coalescing.old(&seat.node)) {
                count(&seat.coalescing.counters.soft_timeouts);
                return Poll::Ready(Some(self.noted.falls_back(&seat.coalescing, &old)));
            }
            return Poll::Ready(Some(self.noted.is_refused(&seat.coalescing, seat.gave_up(limit))));
        }
        let coalescing = &seat.coalescing;
        let rare = match seat.node.ending() {
            Some(Ending::Rare(rare)) => &**rare,
            Some(Ending::Value(value)) => {
                self.noted.ends(coalescing, &seat.node, self.purpose);
                return Poll::Ready(Some(S::value(value)));
            }
            None => unreachable!("a seat is ready when the flight has ended"),
        };
        match rare {
            // Who asks for a newer value does not want an older one.
            Rare::Fault(_, Some(instead)) | Rare::TimedOut(_, Some(instead)) if self.purpose == Purpose::Call => {
                if instead.use_it() {
                    count(&coalescing.counters.fallbacks);
                }
                return Poll::Ready(Some(self.noted.falls_back(coalescing, &instead.old)));
            }
            Rare::Abandoned(_) => {
                self.again = !seat.carry_due();
                let boarded = seat.coalescing.board_again(&seat.node, self.purpose, self.again, body.is_there());
                self.noted.has_led = false;
                self.stage = Stage::Boarded(boarded);
                return Poll::Ready(None);
            }
            _ => self.noted.ends(coalescing, &seat.node, self.purpose),
        }
        Poll::Ready(Some(match rare {
            Rare::Fault(fault, _) => S::fault(fault),
            Rare::TimedOut(limit, _) => {
                let function = Arc::clone(&coalescing.name);
                coalescing.hooks.refused(Error::Timeout { function, limit: *limit })
            }
            Rare::Panicked(payload) => payload.resume(),
            Rare::Abandoned(_) => unreachable!("the call goes on elsewhere"),
        }))
    }
}
