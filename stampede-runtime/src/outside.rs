//! One function's tier outside of this process: what is looked for there, kept and forgotten, and in which order.
//!
//! A key is read there only once everything that this process has said about it has arrived: values and invalidations may
//! overtake one another on their way. Where two of them were under way at once, or one has failed, nobody knows what is
//! there, so the key is taken out once more. Where even that fails, it stays unread until something newer has arrived.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::oneshot::{Receiver, channel};

use crate::coalescer::Function;
use crate::error::Error;
use crate::home::Home;
use crate::hooks::Keeping;
use crate::key::Id;
use crate::pattern::Pattern;
use crate::policy::Policy;
use crate::registry;
use crate::stats::Stats;
use crate::tags::Tagged;
#[cfg(feature = "semantic")]
use crate::tier::Heard;
use crate::tier::{Answer, Found, Given, Look, Tier, Wanted, Work};

pub(crate) struct Outside<V> {
    tier: Arc<dyn Tier<V>>,
    said: Mutex<Said>,
    /// Something that was said has arrived or failed.
    answered: Notify,
}

/// What this process has said and not yet been answered to.
#[derive(Default)]
struct Said {
    /// Of the keys that must not be read.
    keys: HashMap<Arc<Id>, Talk>,
    /// How many invalidations of all keys are under way.
    clears: usize,
    /// The last of those that failed, unless a later one has not.
    failed_clear: Option<u64>,
    /// Counts what began.
    clock: u64,
    /// How many keys are unknown.
    unknown: usize,
    /// How much is under way.
    under_way: usize,
}

/// What is said of one key.
struct Talk {
    /// Somebody asked for what else answers the key to be taken out, too.
    goes_far: bool,
    /// Zero: what is there is unknown, and nobody is about to change that.
    under_way: usize,
    /// Something has failed, or was under way beside something else.
    is_muddled: bool,
    /// What is there was unknown before, and nothing has arrived since.
    was_unknown: bool,
    /// When it became unknown.
    since: u64,
}

/// How a key stands that is to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Clear,
    UnderWay,
    /// What is there may not be what was last said.
    Unknown,
    /// Of no key is it known.
    AllUnknown,
}

/// How long a flight waits for what its process has said of its key to arrive. Then it goes on by itself.
const SETTLING: Duration = Duration::from_secs(1);

/// When so many keys are unknown, all are.
const MOST_UNKNOWN: usize = 10_000;

impl<V: 'static> Outside<V> {
    pub(crate) fn new(tier: Arc<dyn Tier<V>>) -> Arc<Outside<V>> {
        Arc::new(Outside { tier, said: Mutex::default(), answered: Notify::new() })
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where something is said that nobody's runtime has to wait for. With leases, flights of other runtimes do wait for it,
    /// so it is a runtime that does not end.
    pub(crate) fn home(&self) -> Home {
        if self.has_leases() { Home::Threads } else { Home::around().unwrap_or(Home::Threads) }
    }

    /// Whether executions are shared there, too.
    pub(crate) fn has_leases(&self) -> bool {
        self.tier.has_leases()
    }

    /// Whether it tells what other processes change.
    pub(crate) fn tells_news(&self) -> bool {
        self.tier.tells_news()
    }

    /// Other processes have taken something out.
    #[cfg(feature = "semantic")]
    pub(crate) fn hear(&self, heard: Heard) {
        self.tier.hear(heard);
    }

    /// Whether it has anything to say to a function with such a policy.
    pub(crate) fn is_asked(&self, policy: &Policy) -> bool {
        self.has_leases() || !policy.keeps_nothing()
    }

    /// Looks for what is wanted, unless nothing may be taken from there.
    pub(crate) fn look(self: &Arc<Self>, id: &Arc<Id>, look: Look) -> Option<Work<Answer<V>>> {
        let may_read = self.said().standing(id) == Standing::Clear;
        if may_read && (look.wanted == Wanted::Any || self.tier.settles()) {
            return Some(self.tier.look(id, look));
        }
        if !self.tier.settles() {
            // What is read there is of no use. What is made is to be tagged.
            return look.tagged.is_some().then(|| self.tier.look(id, Look { wanted: Wanted::Newest, ..look }));
        }
        let (outside, id) = (Arc::clone(self), Arc::clone(id));
        Some(Box::pin(async move {
            match tokio::time::timeout(SETTLING, outside.settle(&id)).await {
                Ok(true) => outside.tier.look(&id, look).await,
                _ => Answer::Nothing,
            }
        }) as Work<Answer<V>>)
    }

    /// The values of several keys, in their order: those that may be read, if they are there.
    pub(crate) fn look_many(self: &Arc<Self>, ids: &[Arc<Id>]) -> Work<Vec<Option<Found<V>>>> {
        let may_read: Vec<bool> = {
            let said = self.said();
            ids.iter().map(|id| said.standing(id) == Standing::Clear).collect()
        };
        let asked: Vec<_> = ids.iter().zip(&may_read).filter(|(_, may)| **may).map(|(id, _)| Arc::clone(id)).collect();
        if asked.is_empty() {
            return Box::pin(async move { may_read.iter().map(|_| None).collect() });
        }
        let look = self.tier.look_many(&asked);
        Box::pin(async move {
            let mut found = look.await.into_iter();
            may_read.into_iter().map(|may_read| if may_read { found.next().flatten() } else { None }).collect()
        })
    }

    /// Whether what is there of a key is what was last said of it.
    #[cfg(feature = "semantic")]
    pub(crate) fn is_known(&self, digest: [u8; 32]) -> bool {
        self.said().standing(&Arc::new(Id::Digest(digest))) == Standing::Clear
    }

    /// What tells a value's bytes from others, if the user's `Serialize` has any for it.
    #[cfg(feature = "semantic")]
    pub(crate) fn digest(&self, value: &V) -> Option<[u8; 32]> {
        catch_unwind(AssertUnwindSafe(|| self.tier.digest(value))).ok().flatten()
    }

    /// Waits until all that was said of a key has arrived, and says once more what has failed. Whether it may be read now.
    async fn settle(self: &Arc<Self>, id: &Arc<Id>) -> bool {
        loop {
            let mut answered = pin!(self.answered.notified());
            // Listens before it looks.
            answered.as_mut().enable();
            let standing = self.said().standing(id);
            match standing {
                Standing::Clear => return true,
                Standing::UnderWay => answered.await,
                Standing::Unknown => {
                    if !matches!(self.begin(id).forget(&Home::Threads).await, Ok(Ok(()))) {
                        return false;
                    }
                }
                Standing::AllUnknown => {
                    // It may take longer than anybody wants to wait.
                    drop(self.begin_clear().clear(&Home::Threads));
                    return false;
                }
            }
        }
    }

    /// Keeps what was made without a lease, as far as that can be, in the background. `held` is dropped after that.
    pub(crate) fn keep_unleased<H: Send + 'static>(
        self: &Arc<Self>,
        id: &Arc<Id>,
        value: &V,
        keeping: &Keeping,
        held: H,
    ) {
        // The user's `Serialize`.
        let work = catch_unwind(AssertUnwindSafe(|| self.tier.keep_unleased(id, value, keeping)));
        self.end(work.ok().flatten(), |()| drop(held));
    }

    /// Something is about to be said: from here on `shutdown` waits for it.
    pub(crate) fn about_to_say(self: &Arc<Self>) -> impl Drop + use<V> {
        self.said().under_way += 1;
        EndingLease(Arc::clone(self))
    }

    /// Ends a lease, in the background.
    pub(crate) fn end<T: Send + 'static>(
        self: &Arc<Self>,
        work: Option<Work<T>>,
        then: impl FnOnce(T) + Send + 'static,
    ) {
        let Some(work) = work else { return };
        let ending = self.about_to_say();
        // Not in the runtime of the body, which may be about to end.
        Home::Threads.run_outside(async move {
            then(work.await);
            drop(ending);
        });
    }

    /// Begins to say something of a key. From here on it is not read, so this comes before memory changes.
    pub(crate) fn begin(self: &Arc<Self>, id: &Arc<Id>) -> Saying<V> {
        self.said().begin(id);
        Saying::new(self, id, false)
    }

    /// Begins to take all keys out.
    pub(crate) fn begin_clear(self: &Arc<Self>) -> Clearing<V> {
        let at = self.said().begin_clear();
        Clearing { outside: Arc::clone(self), at, has_arrived: false, is_whole: true }
    }

    /// Begins to take some of them out.
    pub(crate) fn begin_matching(self: &Arc<Self>) -> Clearing<V> {
        let mut clearing = self.begin_clear();
        clearing.is_whole = false;
        clearing
    }

    /// How much is on its way.
    pub(crate) fn under_way(&self) -> usize {
        self.said().under_way
    }

    /// Has a function's memory hear what other processes change.
    pub(crate) fn listen(&self, function: Weak<dyn Function>) {
        if self.tier.tells_news() {
            self.tier.listen(function);
        }
    }

    /// Gives back what this process holds there.
    pub(crate) fn give_back(&self) -> Vec<Work<()>> {
        self.tier.give_back()
    }

    pub(crate) fn add_stats(&self, stats: &mut Stats) {
        self.tier.add_stats(stats);
    }

    pub(crate) fn reset_stats(&self) {
        self.tier.reset_stats();
    }
}

/// A lease that is being ended, or about to be.
struct EndingLease<V: 'static>(Arc<Outside<V>>);

impl<V: 'static> Drop for EndingLease<V> {
    fn drop(&mut self) {
        self.0.said().under_way -= 1;
        registry::a_flight_ended();
    }
}

/// Something that is being said of a key. Dropped before it has arrived, it has failed.
pub(crate) struct Saying<V: 'static> {
    outside: Arc<Outside<V>>,
    id: Arc<Id>,
    has_arrived: bool,
    /// What is there is as known as before.
    is_nothing: bool,
    /// It takes the key out, so there is nothing more to try.
    is_last_try: bool,
}

/// A value that is to be stored, and what is said of it.
pub(crate) type ToStore<'a, V> = (Saying<V>, &'a V, &'a Keeping, Option<&'a Arc<Tagged>>);

impl<V: 'static> Saying<V> {
    fn new(outside: &Arc<Outside<V>>, id: &Arc<Id>, is_last_try: bool) -> Saying<V> {
        let (outside, id) = (Arc::clone(outside), Arc::clone(id));
        Saying { outside, id, has_arrived: false, is_nothing: false, is_last_try }
    }

    /// There was nothing to say.
    pub(crate) fn nothing(mut self) {
        (self.has_arrived, self.is_nothing) = (true, true);
    }

    /// Sends a value, in the background. Where it cannot be written, what was there is older, and is taken out.
    /// `then` is told when it has arrived, or not.
    pub(crate) fn store(
        self,
        home: &Home,
        value: &V,
        keeping: &Keeping,
        tagged: Option<&Arc<Tagged>>,
        then: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        // The user's `Serialize`.
        let work = catch_unwind(AssertUnwindSafe(|| self.outside.tier.keep(&self.id, value, keeping, tagged)));
        let Ok(Some(work)) = work else {
            self.take_back(home);
            return then(Err(Error::unwritable()));
        };
        home.run_outside(async move {
            // All of it, not a copy of the one field.
            let mut saying = self;
            let kept = work.await;
            saying.has_arrived = kept.is_ok();
            drop(saying);
            then(kept);
        });
    }

    /// The same with several values at once. `then` is told of the first that has not arrived.
    pub(crate) fn store_many(
        all: Vec<ToStore<'_, V>>,
        home: &Home,
        then: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        let Some((first, ..)) = all.first() else { return then(Ok(())) };
        let outside = Arc::clone(&first.outside);
        let values = all.iter().map(|(saying, value, keeping, tagged)| {
            let (id, value, tagged) = (&saying.id, *value, *tagged);
            Given { id, value, keeping, tagged }
        });
        let values: Vec<Given<'_, V>> = values.collect();
        // The user's `Serialize`.
        let work = catch_unwind(AssertUnwindSafe(|| outside.tier.keep_many(&values)));
        drop(values);
        let sayings: Vec<_> = all.into_iter().map(|(saying, ..)| saying).collect();
        let Ok(work) = work else {
            for saying in sayings {
                saying.take_back(home);
            }
            return then(Err(Error::unwritable()));
        };
        home.run_outside(async move {
            let mut failed = Ok(());
            for (mut saying, kept) in sayings.into_iter().zip(work.await) {
                saying.has_arrived = kept.is_ok();
                drop(saying);
                if failed.is_ok() {
                    failed = kept;
                }
            }
            then(failed);
        });
    }

    /// Gives what is kept under the key another `ttl`, in the background.
    pub(crate) fn touch(mut self, home: &Home, ttl: Duration, then: impl FnOnce(Result<bool, Error>) + Send + 'static) {
        home.run_outside(async move {
            let told = self.outside.tier.touch(&self.id, ttl).await;
            self.has_arrived = told.is_ok();
            self.is_nothing = matches!(told, Ok(false));
            drop(self);
            then(told);
        });
    }

    /// Takes out what is kept under the key, in the background.
    pub(crate) fn take_back(mut self, home: &Home) {
        self.is_last_try = true;
        home.run_outside(async move {
            self.has_arrived = self.outside.tier.take_back(&self.id).await.is_ok();
            drop(self);
        });
    }

    /// Takes the key out, and all that answers it, in the background.
    pub(crate) fn forget(self, home: &Home) -> Receiver<Result<(), Error>> {
        let (sender, receiver) = channel();
        // Nobody may want to know.
        self.forget_then(home, |told| _ = sender.send(told.map(drop)));
        receiver
    }

    /// The same, told whether there was anything.
    pub(crate) fn forget_then(mut self, home: &Home, then: impl FnOnce(Result<bool, Error>) + Send + 'static) {
        self.is_last_try = true;
        self.outside.said().goes_far(&self.id);
        home.run_outside(async move {
            let told = self.outside.tier.forget(&self.id).await;
            self.has_arrived = told.is_ok();
            drop(self);
            then(told);
        });
    }
}

impl<V: 'static> Drop for Saying<V> {
    fn drop(&mut self) {
        let once_more = self.outside.said().end(self);
        if let Some(goes_far) = once_more {
            let (last, home) = (Saying::new(&self.outside, &self.id, true), self.outside.home());
            // Counted and logged there.
            if goes_far {
                drop(last.forget(&home));
            } else {
                last.take_back(&home);
            }
        }
        self.outside.answered.notify_waiters();
        registry::a_flight_ended();
    }
}

/// All keys are being taken out.
pub(crate) struct Clearing<V: 'static> {
    outside: Arc<Outside<V>>,
    at: u64,
    has_arrived: bool,
    /// All keys are taken out, and not only some.
    is_whole: bool,
}

impl<V: 'static> Clearing<V> {
    /// Somebody else does it, and says whether it was done.
    pub(crate) fn end(mut self, has_arrived: bool) {
        self.has_arrived = has_arrived;
    }

    /// Takes out those that match, in the background.
    pub(crate) fn clear_matching(mut self, pattern: &Pattern, home: &Home) -> Receiver<Result<(), Error>> {
        let (sender, receiver) = channel();
        let work = self.outside.tier.forget_matching(pattern);
        home.run_outside(async move {
            let told = work.await;
            self.has_arrived = told.is_ok();
            drop(self);
            let _ = sender.send(told);
        });
        receiver
    }

    /// Does it, in the background.
    pub(crate) fn clear(mut self, home: &Home) -> Receiver<Result<(), Error>> {
        let (sender, receiver) = channel();
        home.run_outside(async move {
            let told = self.outside.tier.forget_all().await;
            self.has_arrived = told.is_ok();
            drop(self);
            let _ = sender.send(told);
        });
        receiver
    }
}

impl<V: 'static> Drop for Clearing<V> {
    fn drop(&mut self) {
        self.outside.said().end_clear(self.at, self.has_arrived, self.is_whole);
        self.outside.answered.notify_waiters();
        registry::a_flight_ended();
    }
}

impl Said {
    fn standing(&self, id: &Arc<Id>) -> Standing {
        match self.keys.get(id) {
            _ if self.clears > 0 => Standing::UnderWay,
            Some(talk) if talk.under_way > 0 => Standing::UnderWay,
            _ if self.failed_clear.is_some() => Standing::AllUnknown,
            Some(_) => Standing::Unknown,
            None => Standing::Clear,
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn begin(&mut self, id: &Arc<Id>) {
        self.under_way += 1;
        let talk = Talk { goes_far: false, under_way: 1, is_muddled: false, was_unknown: false, since: 0 };
        self.keys
            .entry(Id::alone(id))
            .and_modify(|talk| {
                // If it arrives, alone, it makes up for what failed before.
                self.unknown -= usize::from(talk.under_way == 0);
                talk.was_unknown |= talk.under_way == 0;
                talk.is_muddled = talk.under_way > 0;
                talk.under_way += 1;
            })
            .or_insert(talk);
    }

    /// What is said of a key is said of all that answers it.
    fn goes_far(&mut self, id: &Arc<Id>) {
        if let Some(talk) = self.keys.get_mut(id) {
            talk.goes_far = true;
        }
    }

    /// Returns whether the key is to be taken out once more, which is under way from then on; and whether with all that
    /// answers it.
    fn end<V>(&mut self, said: &Saying<V>) -> Option<bool> {
        let Saying { id, has_arrived, is_nothing, is_last_try, .. } = said;
        self.under_way -= 1;
        let since = self.tick();
        let talk = self.keys.get_mut(id).expect("a key is noted while anything of it is under way");
        talk.under_way -= 1;
        talk.is_muddled |= !has_arrived;
        talk.was_unknown &= !has_arrived || *is_nothing;
        if talk.under_way > 0 {
            return None;
        }
        if !talk.is_muddled && !talk.was_unknown {
            self.keys.remove(id);
            return None;
        }
        if talk.is_muddled && (*has_arrived || !is_last_try) {
            (talk.under_way, talk.is_muddled) = (1, false);
            self.under_way += 1;
            return Some(talk.goes_far);
        }
        talk.since = since;
        self.unknown += 1;
        if self.unknown > MOST_UNKNOWN {
            self.keys.retain(|_, talk| talk.under_way > 0);
            (self.unknown, self.failed_clear) = (0, Some(since));
        }
        None
    }

    fn begin_clear(&mut self) -> u64 {
        self.under_way += 1;
        self.clears += 1;
        for talk in self.keys.values_mut().filter(|talk| talk.under_way > 0) {
            // It may arrive after the clear and have begun before it.
            talk.is_muddled = true;
        }
        self.tick()
    }

    fn end_clear(&mut self, at: u64, has_arrived: bool, is_whole: bool) {
        self.under_way -= 1;
        self.clears -= 1;
        if !has_arrived {
            self.failed_clear = self.failed_clear.max(Some(at));
            return;
        }
        if !is_whole {
            return;
        }
        self.failed_clear = self.failed_clear.filter(|failed| *failed > at);
        self.keys.retain(|_, talk| talk.under_way > 0 || talk.since > at);
        self.unknown = self.keys.values().filter(|talk| talk.under_way == 0).count();
    }
}
