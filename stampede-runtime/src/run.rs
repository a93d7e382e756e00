//! The body of a flight, running: first inside the call that began it, then, if it has to wait for something, as a task
//! of its own.

mod land;
mod look;
#[cfg(feature = "semantic")]
mod trust;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tracing::{Dispatch, Span, dispatcher};

#[cfg(feature = "semantic")]
use self::trust::{Doubted, Trusted};
use crate::call;
use crate::clock::Stopwatch;
use crate::coalescer::{By, Coalescing, Purpose};
use crate::flight::{Ending, Node, Payload, Rare};
use crate::fly::Unbegun;
use crate::home::{Home, Task};
use crate::hooks::Keeping;
use crate::key::{Id, Key};
use crate::leased::Leased;
#[cfg(feature = "semantic")]
use crate::meeting::Meeting;
use crate::nest::{self, Held};
use crate::outside::Outside;
use crate::seat::Seat;
use crate::share::Share;
use crate::stats::count;
use crate::tags::{TAG_BYTES_MAX, TAGS_MAX, Tag, Tagged};
#[cfg(feature = "semantic")]
use crate::tier::Near;
use crate::tier::{Answer, Lease, Wanted, Work};

/// Gives an execution that has to wait for something a task of its own. One that has none is driven by its call.
pub(crate) type Detach<K, S, P> = fn(Execution<K, S, P>, &Home) -> Task;

/// Why an execution begins, and for what.
#[derive(Clone)]
pub(crate) struct Reason {
    pub(crate) purpose: Purpose,
    /// An earlier execution was abandoned.
    pub(crate) again: bool,
    /// What stands for the key outside, where there is something.
    pub(crate) id: Option<Arc<Id>>,
    /// What the call is tagged with.
    pub(crate) tags: Option<Arc<[Tag]>>,
    /// What of it will do. `None`: it is not asked.
    pub(crate) wanted: Option<Wanted>,
}

/// A flight's body, and all that has to be done around it. Dropped before the end, it ends the flight as abandoned.
pub(crate) struct Execution<K: Key, S: Share, P> {
    coalescing: Arc<Coalescing<K, S>>,
    node: Arc<Node<K, S>>,
    /// In a box of some kind, so that it can move to a task after its first poll.
    body: Option<P>,
    stage: Stage<K, S>,
    span: Span,
    /// The first caller's subscriber, where a task of its own would see another.
    dispatch: Option<Dispatch>,
    reason: Reason,
    /// Where there are tags.
    tagged: Option<Arc<Tagged>>,
    /// Another body waits for this one.
    is_nested: bool,
    detach: Option<Detach<K, S, P>>,
    /// The permits that this flight, or one that began it, holds: those it must not wait for.
    held: Option<Arc<Held>>,
    /// The right to run the body for all processes, where they share it.
    lease: Option<Arc<dyn Lease<S::Value>>>,
    /// The fence of the first lease that it had and gave back, or found another to have while it queued.
    joined: Option<u64>,
    /// What it knows of flights that mean the same.
    #[cfg(feature = "semantic")]
    meeting: Meeting,
    /// What it knows of near answers.
    #[cfg(feature = "semantic")]
    trusted: Trusted<S::Value>,
    /// Given back last, when the body is gone.
    permit: Option<OwnedSemaphorePermit>,
}

enum Stage<K: Key, S: Share> {
    New,
    /// Asks the tier outside, which may save the execution.
    Looking(Work<Answer<S::Value>>),
    /// Waits for an execution of a question that means the same.
    #[cfg(feature = "semantic")]
    Joined(Seat<K, S>, Near, Arc<str>),
    /// Waits for what `verify` says of an answer.
    #[cfg(feature = "semantic")]
    Doubting(Work<Option<bool>>, Box<Doubted<K, S>>),
    Queued(Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>),
    Running(Stopwatch),
    /// The tier, or another flight, had the value.
    Saved,
    Ended,
    #[cfg(not(feature = "semantic"))]
    #[expect(dead_code, reason = "of one shape with the other")]
    Never(std::convert::Infallible, std::marker::PhantomData<K>),
}

impl<K: Key, S: Share, P> Execution<K, S, P>
where
    P: Future<Output = S::Output> + Unpin,
{
    /// Prepares the body and begins, unless it has to queue for a permit. Where the body cannot even be made, the flight
    /// has ended already.
    pub(crate) fn new(
        seat: &mut Seat<K, S>,
        reason: Reason,
        detach: Option<Detach<K, S, P>>,
        body: &mut dyn Unbegun<P>,
    ) -> Self {
        let (coalescing, node) = (Arc::clone(&seat.coalescing), Arc::clone(&seat.node));
        let span = tracing::info_span!(
            target: "stampede",
            "execute",
            function = &*coalescing.name,
            waiters = tracing::field::Empty,
            outcome = tracing::field::Empty,
        );
        let asks_value = coalescing.hooks.has_tags();
        let tagged = reason.tags.as_ref().map(|tags| Tagged::of_call(tags, asks_value));
        let tagged = tagged.or_else(|| asks_value.then(|| Tagged::of_call(&Arc::default(), true))).map(Arc::new);
        // Before it looks anywhere and before its body begins: whoever takes a tag out from here on finds it.
        coalescing.enter_flight(&node, reason.id.as_ref(), tagged.as_deref());
        let mut execution = Execution {
            coalescing,
            node,
            body: None,
            stage: Stage::New,
            span,
            dispatch: None,
            // Nobody waits for what goes on behind a call, so it may wait for a permit like anyone.
            held: if reason.purpose == Purpose::Behind { None } else { nest::held() },
            is_nested: reason.purpose != Purpose::Behind && nest::current() != nest::NOBODY,
            reason,
            tagged,
            detach,
            lease: None,
            joined: None,
            #[cfg(feature = "semantic")]
            meeting: Meeting::default(),
            #[cfg(feature = "semantic")]
            trusted: Trusted::default(),
            permit: None,
        };
        seat.take_off();
        let prepared = catch_unwind(AssertUnwindSafe(|| {
            execution.look_or_begin(true);
            execution.body = Some(body.begin());
        }));
        if let Err(panic) = prepared {
            execution.land(execution.panicked(&*panic), &Keeping::NOT);
        }
        execution
    }

    /// Moves the execution to a task of its own.
    pub(crate) fn detach(mut self, home: &Home) -> Task
    where
        P: Send + 'static,
    {
        self.dispatch = dispatcher::has_been_set().then(|| dispatcher::get_default(Dispatch::clone));
        home.spawn(self)
    }

    /// Begins, if there is a permit or none is needed.
    fn begin_or_queue(&mut self) {
        if let Some(permit) = self.permit.take() {
            return self.begin(Some(permit));
        }
        let function = self.coalescing.id();
        let permits = self.coalescing.permits.as_ref().filter(|_| !nest::holds(self.held.as_ref(), function));
        match permits.map(|permits| Arc::clone(permits).try_acquire_owned()) {
            None => self.begin(None),
            Some(Ok(permit)) => self.begin(Some(permit)),
            Some(Err(_)) => {
                let permits = permits.map(Arc::clone);
                // Somebody else may have a permit to spare.
                self.give_lease_back();
                self.stage = Stage::Queued(Box::pin(async { permits?.acquire_owned().await.ok() }));
            }
        }
    }

    /// Lets somebody else lead. What comes of that is for this one, too.
    fn give_lease_back(&mut self) {
        if let (Some(lease), Some(outside)) = (self.lease.take(), &self.coalescing.outside) {
            self.joined.get_or_insert(lease.fence());
            outside.end(lease.end(None), |()| ());
        }
    }

    /// Counts the execution, starts its clock, and sets the watch over its time.
    fn begin(&mut self, permit: Option<OwnedSemaphorePermit>) {
        if permit.is_some() {
            let function = self.coalescing.id();
            self.held = Some(Arc::new(Held { function, by_beginner: self.held.take() }));
        }
        self.permit = permit;
        let counters = &self.coalescing.counters;
        let queue = self.node.queue();
        queue.begin();
        match self.reason.purpose {
            _ if self.reason.again => count(&counters.retries),
            Purpose::Refresh | Purpose::Behind => count(&counters.refreshes),
            // They have all left the queue, and settled or will settle as refused.
            Purpose::Call if queue.owes_nobody() && queue.claim_lead() => count(&counters.retries),
            // The first caller, or if that has left, whoever ends first of those who joined.
            Purpose::Call => counters.led.add_one(),
        }
        let is_shared = self.coalescing.outside.as_ref().is_some_and(|outside| outside.has_leases());
        if (is_shared || self.coalescing.policy.distributed) && self.lease.is_none() {
            count(&counters.unleased);
        }
        self.stage = Stage::Running(Stopwatch::start());
        if let Some(limit) = self.coalescing.policy.timeout {
            watch(&self.coalescing, &self.node, self.lease.clone(), limit);
        }
    }

    /// Polls the body and, when it is done, decides how the flight ends.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<(Ending<K, S>, Keeping)> {
        let (_current, _nobodys) = (nest::enter(self.node.id()), call::nobodys());
        let has_leases = self.coalescing.outside.as_ref().is_some_and(|outside| outside.has_leases());
        let _span = self.span.clone().entered();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            loop {
                match &mut self.stage {
                    Stage::Looking(looking) => {
                        let answer = ready!(looking.as_mut().poll(cx));
                        if let Some(saved) = self.answered(answer) {
                            return Poll::Ready(saved);
                        }
                    }
                    #[cfg(feature = "semantic")]
                    Stage::Joined(seat, near, text) => {
                        let (near, text) = (*near, Arc::clone(text));
                        let Ok(poll) = seat.poll(cx) else {
                            // It waits for what this one is to make.
                            self.begin_or_queue();
                            continue;
                        };
                        ready!(poll);
                        let other = Arc::clone(&seat.node);
                        if let Some(saved) = self.join(&other, near, &text) {
                            return Poll::Ready(saved);
                        }
                    }
                    #[cfg(feature = "semantic")]
                    Stage::Doubting(work, _) => {
                        let verdict = ready!(work.as_mut().poll(cx));
                        let Stage::Doubting(_, doubted) = std::mem::replace(&mut self.stage, Stage::New) else {
                            unreachable!("polled above")
                        };
                        if let Some(saved) = self.judged(verdict, *doubted) {
                            return Poll::Ready(saved);
                        }
                    }
                    Stage::Queued(queued) => {
                        self.permit = ready!(queued.as_mut().poll(cx));
                        if has_leases {
                            // Somebody else may have made it by now.
                            self.look_or_begin(false);
                        } else {
                            self.begin_or_queue();
                        }
                    }
                    _ => break,
                }
            }
            let _held = nest::hold(self.held.clone());
            let body = self.body.as_mut().expect("a body is there until the flight has ended");
            let output = ready!(Pin::new(body).poll(cx));
            // Dropped before anyone hears of the end: what the body held is free by then.
            self.body = None;
            let (since, took) = match &self.stage {
                Stage::Running(since) => (*since, since.elapsed()),
                _ => unreachable!("a body that was polled is running"),
            };
            self.coalescing.counters.took(took);
            let split = S::split(output);
            #[cfg(feature = "semantic")]
            if let Ok(value) = &split {
                self.compare(value);
            }
            let policy = &self.coalescing.policy;
            Poll::Ready(match split {
                Ok(value) => {
                    self.coalescing.counters.spent(self.coalescing.hooks.price_of(&value));
                    let keeping = self.coalescing.hooks.keeping(&value, took, policy);
                    let keeping = self.tag(&value, Keeping { since: Some(since), ..keeping });
                    (Ending::Value(value), keeping)
                }
                Err(fault) => {
                    let keeping = self.coalescing.hooks.keeping_fault(&fault, policy);
                    (Ending::rare(Rare::Fault(fault, None)), keeping)
                }
            })
        }));
        match polled {
            Ok(polled) => polled,
            Err(panic) => Poll::Ready((self.panicked(&*panic), Keeping::NOT)),
        }
    }

    /// Notes the tags of the value. One that has too many of them is not kept.
    fn tag(&self, value: &S::Value, keeping: Keeping) -> Keeping {
        let Some(tagged) = &self.tagged else { return keeping };
        if tagged.asks_value && keeping.is_kept() {
            let _ = tagged.of_value.set(self.coalescing.hooks.tags_of(value));
        }
        if tagged.is_in_bounds() {
            return keeping;
        }
        tracing::warn!(
            target: "stampede", function = &*self.coalescing.name,
            "a value has more than {TAGS_MAX} tags, or one of more than {TAG_BYTES_MAX} bytes; it is not kept",
        );
        keeping.not()
    }

    fn panicked(&self, panic: &(dyn std::any::Any + Send)) -> Ending<K, S> {
        Ending::rare(Rare::Panicked(Payload::new(panic, &self.coalescing.name)))
    }
}

impl<K: Key, S: Share, P> Unpin for Execution<K, S, P> {}

impl<K: Key, S: Share, P> Future for Execution<K, S, P>
where
    P: Future<Output = S::Output> + Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Stage::Ended = self.stage {
            return Poll::Ready(());
        }
        let (ending, keeping) = ready!(match self.dispatch.clone() {
            Some(dispatch) => dispatcher::with_default(&dispatch, || self.poll_body(cx)),
            None => self.poll_body(cx),
        });
        let is_saved = matches!(self.stage, Stage::Saved);
        // Callers hear of the end before the body begins behind them; `shutdown` must not take that for the end of all.
        let outside = self.coalescing.outside.clone().filter(|_| is_saved && self.body.is_some());
        let _about_to_begin = outside.as_ref().map(Outside::about_to_say);
        self.land(ending, &keeping);
        #[cfg(feature = "semantic")]
        if is_saved && let Some(shadowing) = self.take_shadowing() {
            self.shadow_behind(shadowing);
        }
        if is_saved {
            self.refresh_behind(&keeping);
        }
        Poll::Ready(())
    }
}

impl<K: Key, S: Share, P> Drop for Execution<K, S, P> {
    fn drop(&mut self) {
        if let Stage::Ended = self.stage {
            return;
        }
        // First of all: what the body held is free when others hear of its end and begin anew.
        let body = self.body.take();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(body)));
        self.land(Ending::abandoned(), &Keeping::NOT);
        if let Err(panic) = dropped
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

/// Ends the body after its `timeout`, in a task of its own: the body's would not get a turn if the body blocks.
fn watch<K: Key, S: Share>(
    coalescing: &Arc<Coalescing<K, S>>,
    node: &Arc<Node<K, S>>,
    lease: Option<Arc<dyn Lease<S::Value>>>,
    limit: Duration,
) {
    let home = coalescing.around().expect("a function with `timeout` is not called outside of a runtime");
    let (coalescing, watched) = (Arc::clone(coalescing), Arc::clone(node));
    node.set_watch(home.after(limit, move || {
        let ending = Ending::rare(Rare::TimedOut(limit, None));
        let leased = lease.map(|lease| Leased::new(&coalescing, lease, &ending));
        let landed = coalescing.land(&watched, ending, &Keeping::NOT, By::Watch);
        if let Some(leased) = leased {
            leased.end(&coalescing, &watched, None, landed, &Keeping::NOT, None, ());
        }
    }));
}
