//! What one function shares: its flights and its values. They are hit here, looked at and taken out; `board` leads from a
//! key to a seat, and in `land` flights end.

mod board;
mod find;
mod forget;
mod give;
mod land;

use std::any::{Any, TypeId};
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::oneshot::Receiver;

use crate::call::Outcome;
use crate::clock::Moment;
use crate::error::Error;
use crate::evict::{Queues, Resident};
use crate::flight::{Ending, Node, View};
use crate::home::Home;
use crate::hooks::{self, Hooks, Keeping};
use crate::invalidation::Invalidation;
use crate::key::{Id, Key, Look};
use crate::lanes;
#[cfg(feature = "semantic")]
use crate::meeting::any;
use crate::outside::{Outside, Saying};
use crate::pattern::Pattern;
use crate::policy::Policy;
use crate::registry::EndWalk;
#[cfg(feature = "semantic")]
use crate::semantic::{meet::Meetings, trust::Trust};
use crate::share::Share;
use crate::stats::{BackendState, Counters, Stats, Worth};
use crate::sync::Hashes;
use crate::table::{Locked, Table};
use crate::tags::{Mark, Marks, Tag};
#[cfg(feature = "semantic")]
use crate::tier::Came;
use crate::tier::Work;

pub(crate) use self::board::{Boarded, Missed, Purpose};
pub(crate) use self::forget::How;
pub(crate) use self::land::{By, Landed};

/// Everything that one function (one instantiation of it) shares between its calls.
pub(crate) struct Coalescing<K, S: Share> {
    /// So that a hit, which needs none, does not have to count references.
    me: Weak<Self>,
    pub(crate) name: Arc<str>,
    pub(crate) policy: Policy,
    pub(crate) hooks: Hooks<S>,
    table: Flights<K, S>,
    hasher: Hashes,
    /// What leads to flights and values other than their keys.
    pub(crate) marks: Marks,
    pub(crate) counters: Counters,
    pub(crate) permits: Option<Arc<Semaphore>>,
    /// Another tier, which may know what this process does not.
    pub(crate) outside: Option<Arc<Outside<S::Value>>>,
    /// Which flights mean the same, where that is compared.
    #[cfg(feature = "semantic")]
    pub(crate) meetings: Option<Arc<Meetings>>,
    /// Whether near answers may be trusted, where anybody knows.
    #[cfg(feature = "semantic")]
    pub(crate) trust: Option<Arc<Trust>>,
}

type Flights<K, S> = Table<Node<K, S>, Queues<Node<K, S>>>;
type Shard<'a, K, S> = Locked<'a, Node<K, S>, Queues<Node<K, S>>>;

/// A shard for about so many values: fewer would make the queues' tenth too small to tell one-time values apart.
const VALUES_PER_SHARD: usize = 4096;

impl<K: Key, S: Share> Coalescing<K, S> {
    pub(crate) fn new(
        name: Arc<str>,
        policy: Policy,
        hooks: Hooks<S>,
        outside: Option<Arc<Outside<S::Value>>>,
    ) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // One shard where values have weights: none may be heavier than a shard's part of the capacity.
        let most = if hooks.weighs() { 1 } else { 4 * cores };
        let shards = (policy.capacity / VALUES_PER_SHARD).clamp(1, most).next_power_of_two();
        let all = policy.capacity;
        let capacity = |shard| all / shards + usize::from(shard < all % shards);
        #[cfg(feature = "semantic")]
        let trusted = Arc::clone(&name);
        Arc::new_cyclic(|me| Coalescing {
            me: me.clone(),
            name,
            table: Table::new(shards, |shard| Queues::new(capacity(shard))),
            hasher: Hashes::default(),
            marks: Marks::default(),
            counters: Counters::new(hooks.has_price()),
            permits: policy.max_concurrent.map(|most| Arc::new(Semaphore::new(most))),
            #[cfg(feature = "semantic")]
            meetings: (policy.semantic && outside.is_some()).then(|| Meetings::new(&policy)),
            #[cfg(feature = "semantic")]
            trust: if policy.semantic && outside.is_some() {
                Trust::new(&trusted, &policy, hooks.verify.is_some(), hooks.agree.is_some())
            } else {
                None
            },
            policy,
            hooks,
            outside,
        })
    }

    pub(crate) fn me(&self) -> Arc<Self> {
        self.me.upgrade().expect("whoever calls a method holds a reference")
    }

    /// A number that is this function's own.
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    #[inline(always)]
    fn hash(&self, look: &impl Look) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        look.hash(&mut hasher);
        hasher.finish()
    }

    /// The kept value, if there is one. Takes no lock, allocates nothing and counts no reference.
    ///
    /// Only what is fresh is looked for here, so that this stays small wherever it is inlined.
    #[inline(always)]
    pub(crate) fn hit<L: Look<Own = K>>(&self, look: &L) -> Result<S::Output, Missed<K, S>> {
        let hash = self.hash(look);
        let (mut is_there, mut is_near) = (false, false);
        let hit = self.table.glance(hash, |node| {
            if !look.is(&node.key) {
                return None;
            }
            is_there = true;
            let value = node.fresh()?;
            node.residence().warm();
            // Other functions do not even look.
            is_near = L::HAS_QUESTION && node.came().is_near();
            Some(S::value(value))
        });
        match hit {
            Some(output) => {
                self.counters.cache_hits.add_one();
                if is_near {
                    self.count_near_again();
                }
                Ok(output)
            }
            // A thread without a lane has not been shown anything.
            None if is_there || lanes::mine().is_none() => self.look_closer(look, hash).map(|(output, _)| output),
            None => Err(Missed { hash, in_the_air: None, aging: None }),
        }
    }

    /// The same with what there is to say of it. Wherever a hit is worth something, this is asked: it counts that.
    pub(crate) fn hit_closer<L: Look<Own = K>>(&self, look: &L) -> Result<(S::Output, Outcome), Missed<K, S>> {
        self.look_closer(look, self.hash(look))
    }

    /// Counts a hit in memory whose value is the answer to a near question.
    #[inline(never)]
    #[cfg_attr(not(feature = "semantic"), allow(clippy::unused_self, reason = "for meanings"))]
    fn count_near_again(&self) {
        #[cfg(feature = "semantic")]
        if let Some(meetings) = &self.meetings {
            meetings.count_again();
        }
    }

    /// What there is of a key that has no value of which nothing is to be decided.
    #[cold]
    #[inline(never)]
    fn look_closer<L: Look<Own = K>>(&self, look: &L, hash: u64) -> Result<(S::Output, Outcome), Missed<K, S>> {
        let (mut in_the_air, mut aging, mut is_stale, mut saved) = (None, None, false, None);
        let hit = self.table.find(hash, |node| {
            if !look.is(&node.key) {
                return None;
            }
            let value = match node.view() {
                View::InTheAir => {
                    in_the_air = Some(Arc::clone(node));
                    return None;
                }
                View::Over => return None,
                View::Fault(fault) => {
                    node.residence().warm();
                    return Some((S::fault(fault), Outcome::of_hit(node)));
                }
                View::Fresh(value) => value,
                View::Stale(value) => {
                    is_stale = true;
                    value
                }
                View::Aging(value) => match self.age(node) {
                    Age::Over => return None,
                    Age::Mine => {
                        aging = Some(Arc::clone(node));
                        return None;
                    }
                    age => {
                        is_stale = age == Age::Stale;
                        value
                    }
                },
            };
            node.residence().warm();
            saved = self.worth(node);
            Some((S::value(value), Outcome::of_hit(node)))
        });
        match hit {
            Some(hit) => {
                self.counters.hit(is_stale);
                self.counters.saved(saved);
                if matches!(hit.1, Outcome::Semantic { .. }) {
                    self.count_near_again();
                }
                Ok(hit)
            }
            None => Err(Missed { hash, in_the_air, aging }),
        }
    }

    /// What a value that is no longer calm is to the caller who found it: one of them is to refresh it.
    #[cold]
    #[inline(never)]
    fn age(&self, node: &Node<K, S>) -> Age {
        // Looked at once more: somebody may have put it off by now.
        let (now, calm_until, expires) = (Moment::now(), node.calm_until(), node.expires());
        let age = self.age_without_refresh(node, now);
        let may_refresh = match age {
            Age::Fresh => hooks::is_early(expires.since(now), node.cost(), self.policy.early),
            Age::Stale => true,
            _ => false,
        };
        let is_mine =
            calm_until <= now && may_refresh && node.claim_refresh(calm_until, expires.after(self.policy.stale));
        if is_mine { Age::Mine } else { age }
    }

    fn age_without_refresh(&self, node: &Node<K, S>, now: Moment) -> Age {
        let expires = node.expires();
        if now < expires {
            Age::Fresh
        } else if node.may_be_old() && expires > Moment::PAST && now < expires.after(self.policy.stale) {
            Age::Stale
        } else {
            Age::Over
        }
    }

    /// Whether a value may still be of use: to a failing or slow execution, if to nobody else.
    fn is_retained(&self, node: &Node<K, S>) -> bool {
        let expires = node.expires();
        let retention = if node.may_be_old() { self.policy.retention() } else { Duration::ZERO };
        expires > Moment::PAST && Moment::now() < expires.after(retention)
    }

    /// The value that a call would be answered with from memory.
    pub(crate) fn peek<L: Look<Own = K>>(&self, look: &L) -> Option<S::Output> {
        self.table.find(self.hash(look), |node| match node.view() {
            _ if !look.is(&node.key) => None,
            View::Fresh(value) | View::Stale(value) => Some(S::value(value)),
            View::Fault(fault) => Some(S::fault(fault)),
            View::Aging(value) => match self.age_without_refresh(node, Moment::now()) {
                Age::Over => None,
                _ => Some(S::value(value)),
            },
            View::InTheAir | View::Over => None,
        })
    }

    /// The fresh value of a key, if it is the answer to a question so near, and what there is to say of it. Counted as a hit.
    #[cfg(feature = "semantic")]
    pub(crate) fn hit_near<L: Look<Own = K>>(&self, look: &L, least: f32) -> Option<(S::Output, Outcome)> {
        let mut saved = None;
        let hit = self.table.find(self.hash(look), |node| {
            let is_near = !matches!(node.came(), Came::Near { similarity, .. } if similarity < least);
            let value = node.fresh().filter(|_| is_near && look.is(&node.key))?;
            node.residence().warm();
            saved = self.worth(node);
            Some((S::value(value), Outcome::of_hit(node)))
        })?;
        self.counters.hit(false);
        self.counters.saved(saved);
        if matches!(hit.1, Outcome::Semantic { .. }) {
            self.count_near_again();
        }
        Some(hit)
    }

    /// What a call is spared that gets the value of a flight, where values have a cost.
    pub(crate) fn worth(&self, node: &Node<K, S>) -> Option<Worth> {
        let cost = self.hooks.price_of(node.value()?)?;
        Some(Worth { cost, time: node.cost() })
    }

    /// What the caller receives whose body ran for it alone.
    pub(crate) fn of_own(&self, output: S::Output) -> S::Output {
        match S::split(output) {
            Ok(value) => {
                self.counters.spent(self.hooks.price_of(&value));
                S::value(&value)
            }
            Err(fault) => S::fault(&fault),
        }
    }

    /// Whether a value that was found outside, and expires then, is another than the one that is kept here. The two clocks
    /// may differ by a little.
    pub(crate) fn is_newer_than_kept(&self, flight: &Node<K, S>, expires: Moment) -> bool {
        const LITTLE: Duration = Duration::from_millis(50);
        let kept = self.table.find(flight.hash(), |node| {
            let is_kept = node.value().is_some() && node.key == flight.key;
            is_kept.then(|| node.expires())
        });
        expires > Moment::now() && kept.is_none_or(|kept| expires > kept.after(LITTLE))
    }

    /// Whether there is an old value.
    pub(crate) fn has_old(&self, flight: &Node<K, S>) -> bool {
        let is_old = |node: &Node<K, S>| node.value().is_some() && self.is_retained(node);
        self.table.find(flight.hash(), |node| (is_old(node) && node.key == flight.key).then_some(())).is_some()
    }

    /// An old value that an execution of this flight may be answered with when it is slow.
    pub(crate) fn old(&self, flight: &Node<K, S>) -> Option<Arc<Node<K, S>>> {
        self.table.find(flight.hash(), |node| {
            let is_old = node.value().is_some() && self.is_retained(node) && node.key == flight.key;
            is_old.then(|| Arc::clone(node))
        })
    }

    /// Keeps a value as though a body had just returned it. Flights of the key that are in the air will not be kept.
    pub(crate) fn insert<L: Look<Own = K>>(&self, look: &L, value: S::Value, keeping: &Keeping) -> Arc<Node<K, S>> {
        let hash = self.hash(look);
        let node = Arc::new(Node::landed(look.own(), hash, Ending::Value(value), keeping));
        self.table.with(hash, |shard| {
            take_out_all(shard, hash, |key| *key == node.key);
            // Too heavy, it would drive out all others and itself.
            if shard.extra().holds(keeping.weight as usize) {
                put_in(shard, &node);
                self.keep(shard, &node);
            }
        });
        node
    }

    /// Keeps a value that is past its `ttl` and may be of use to the flight that begins now.
    pub(crate) fn keep_old(
        &self,
        flight: &Node<K, S>,
        id: Option<&Arc<Id>>,
        value: S::Value,
        keeping: &Keeping,
        tags: &[&[Tag]],
    ) {
        let hash = flight.hash();
        let node = Arc::new(Node::landed(flight.key.clone(), hash, Ending::Value(value), keeping));
        self.table.with(hash, |shard| {
            let others = alike(shard, hash, |other| other.key == flight.key && other.value().is_some());
            let is_first = others.is_empty();
            for other in others {
                shard.discard(other);
            }
            // What took the flight out has made the value older than old.
            let is_there = shard.find(hash, |other| std::ptr::eq(Arc::as_ptr(other), flight).then_some(())).is_some();
            if is_first && is_there && shard.extra().holds(keeping.weight as usize) {
                put_in(shard, &node);
                self.keep(shard, &node);
            }
        });
        self.enter_flight(&node, id, None);
        self.enter(&node, flight.id(), tags);
    }

    /// Drops what a flight has landed with, unless something newer is there.
    pub(crate) fn drop_kept(&self, node: &Arc<Node<K, S>>) {
        self.table.with(node.hash(), |shard| _ = remove(shard, node));
    }

    /// What stands for a key in the tier, where there is one.
    pub(crate) fn id_of<L: Look<Own = K>>(&self, look: &L) -> Option<Arc<Id>> {
        self.outside.as_ref()?;
        look.id().map(Arc::new)
    }

    /// Begins to say something of a key outside, before memory changes.
    pub(crate) fn say(&self, id: Option<&Arc<Id>>) -> Option<Saying<S::Value>> {
        Some(self.outside.as_ref()?.begin(id?))
    }

    /// Where something is said outside.
    pub(crate) fn home_outside(&self) -> Home {
        match (&self.outside, self.policy.blocking) {
            (Some(outside), false) => outside.home(),
            _ => Home::Threads,
        }
    }

    /// Takes out what is kept as another question's answer, where that is taken out.
    #[cfg(feature = "semantic")]
    pub(crate) fn take_out_derived(&self, id: Option<&Arc<Id>>) {
        if let (Some(meetings), Some(question)) = (&self.meetings, id.and_then(|id| id.question())) {
            for node in meetings.take_out(question.digest) {
                self.drop_kept(&node);
            }
        }
    }

    /// The same, but for the flight that has made the newest answer.
    #[cfg(feature = "semantic")]
    pub(crate) fn take_out_older(&self, id: Option<&Arc<Id>>, newest: &Arc<Node<K, S>>) {
        if let (Some(meetings), Some(question)) = (&self.meetings, id.and_then(|id| id.question())) {
            for node in meetings.take_out(question.digest) {
                if !Arc::ptr_eq(&node, newest) {
                    self.drop_kept(&node);
                }
            }
        }
    }

    /// A value that was put in is a question's answer.
    #[cfg(feature = "semantic")]
    pub(crate) fn note(&self, id: Option<&Arc<Id>>, node: &Arc<Node<K, S>>) {
        if let (Some(meetings), Some(question)) = (&self.meetings, id.and_then(|id| id.question())) {
            meetings.note(question, &any(node));
        }
    }

    /// Without meanings it is its key's.
    #[cfg(not(feature = "semantic"))]
    #[expect(clippy::unused_self, reason = "of one shape with the other")]
    pub(crate) fn note(&self, _: Option<&Arc<Id>>, _: &Arc<Node<K, S>>) {}

    /// Without meanings there is none.
    #[cfg(not(feature = "semantic"))]
    #[expect(clippy::unused_self, reason = "of one shape with the other")]
    pub(crate) fn take_out_derived(&self, _: Option<&Arc<Id>>) {}

    /// Takes a key out: its value is gone, and what is in the air will not be kept nor joined. Returns whether there was
    /// anything.
    pub(crate) fn invalidate<L: Look<Own = K>>(&self, look: &L) -> bool {
        let hash = self.hash(look);
        self.table.with(hash, |shard| take_out_all(shard, hash, |key| look.is(key)))
    }
}

/// What a value is to a caller.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Fresh,
    /// Past its `ttl`, and still to be served.
    Stale,
    /// To be served too, and then to be refreshed by this caller.
    Mine,
    Over,
}

/// What is the same for every key and result.
pub(crate) trait Function: Any + Send + Sync {
    fn stats(&self) -> Stats;
    fn reset_stats(&self);
    /// Takes out everything, as an invalidation of every key. Returns how many keys there were.
    fn clear(&self) -> usize;
    /// Others may have changed anything, and nobody has told.
    #[cfg_attr(not(feature = "backends"), expect(dead_code, reason = "for backends"))]
    fn doubt_all(&self);
    /// Takes out what has a mark. Returns how many flights and values there were.
    fn take_out_marked(&self, mark: &Mark, how: How) -> usize;
    /// The same, as another process has done it.
    #[cfg_attr(not(feature = "backends"), expect(dead_code, reason = "for backends"))]
    fn hear_marked(&self, mark: &Mark, how: How);
    #[cfg_attr(not(feature = "backends"), expect(dead_code, reason = "for backends"))]
    fn hear_all(&self);
    #[cfg_attr(not(feature = "backends"), expect(dead_code, reason = "for backends"))]
    fn hear_matching(&self, pattern: &Pattern);
    /// The same of the values that `is` picks, and what is in the air.
    fn take_out_values(&self, is: &dyn Fn(&dyn Any) -> bool) -> usize;
    /// The same of the readable keys that match.
    fn take_out_matching(&self, pattern: &Pattern) -> usize;
    /// The same outside of this process, too, where there is something.
    fn take_out_matching_everywhere(&self, pattern: &Pattern) -> Invalidation;
    /// Keys are being taken out outside by somebody else, who tells when that is done, and whether: all of them, or readable
    /// ones. `None`: it has none of those.
    fn begin_walk(&self, is_whole: bool) -> Option<EndWalk>;
    /// The same outside of this process, too, where there is something.
    fn clear_all(&self) -> Invalidation;
    fn in_flight(&self) -> usize;
    /// Takes out all that an index keeps of a function that compares meanings.
    fn clear_index(&self) -> Option<Receiver<Result<(), Error>>>;
    /// Gives back what this process holds outside.
    fn give_back(&self) -> Vec<Work<()>>;
}

/// Hashes and whose they are, equal ones beside each other. Of one type, since sorting is a lot of code for each function.
fn by_hash(hashes: Vec<u64>) -> Vec<(u64, usize)> {
    let mut order: Vec<_> = hashes.into_iter().zip(0..).collect();
    order.sort_unstable();
    order
}

impl<K: Key, S: Share> Function for Coalescing<K, S> {
    fn stats(&self) -> Stats {
        let mut kept = 0;
        self.table.with_each(|shard| kept += shard.extra().kept());
        let mut stats = self.counters.snapshot(kept);
        #[cfg(feature = "semantic")]
        if let Some(meetings) = &self.meetings {
            meetings.add_stats(&mut stats);
        }
        #[cfg(feature = "semantic")]
        if let Some(trust) = &self.trust {
            trust.add_stats(&mut stats);
        }
        if let Some(outside) = &self.outside {
            outside.add_stats(&mut stats);
        } else if self.hooks.has_tier() {
            stats.backend_state = BackendState::Missing;
        }
        stats
    }

    fn reset_stats(&self) {
        #[cfg(feature = "semantic")]
        if let Some(meetings) = &self.meetings {
            meetings.reset_stats();
        }
        #[cfg(feature = "semantic")]
        if let Some(trust) = &self.trust {
            trust.reset_stats();
        }
        if let Some(outside) = &self.outside {
            outside.reset_stats();
        }
        self.counters.reset();
    }

    fn clear(&self) -> usize {
        // First, so that no flight joins another one's that is cleared.
        #[cfg(feature = "semantic")]
        if let Some(meetings) = &self.meetings {
            meetings.clear();
        }
        #[cfg(feature = "semantic")]
        if let Some(trust) = &self.trust {
            trust.clear();
        }
        let mut cleared = Vec::new();
        self.table.with_each(|shard| {
            let first = cleared.len();
            shard.drain(|node| cleared.push(Arc::clone(node)));
            for node in &cleared[first..] {
                dismiss(shard, node);
            }
        });
        // A key that is being refreshed has two nodes. Compared without a lock, as `Eq` is the user's.
        let order = by_hash(cleared.iter().map(|node| node.hash()).collect());
        let key = |(_, at): &(u64, usize)| &cleared[*at].key;
        let keys = |alike: &[(u64, usize)]| {
            alike.iter().enumerate().filter(|(at, it)| alike[..*at].iter().all(|other| key(other) != key(it))).count()
        };
        let count = order.chunk_by(|one, next| one.0 == next.0).map(keys).sum();
        drop(cleared);
        #[cfg(feature = "semantic")]
        if let Some(meetings) = &self.meetings {
            meetings.forget_gone();
        }
        count
    }

    fn doubt_all(&self) {
        Coalescing::doubt_all(self);
    }

    fn take_out_marked(&self, mark: &Mark, how: How) -> usize {
        Coalescing::take_out_marked(self, mark, how)
    }

    fn hear_marked(&self, mark: &Mark, how: How) {
        Coalescing::hear_marked(self, mark, how);
    }

    fn hear_all(&self) {
        Coalescing::hear_all(self);
    }

    fn hear_matching(&self, pattern: &Pattern) {
        Coalescing::hear_matching(self, pattern);
    }

    fn take_out_values(&self, is: &dyn Fn(&dyn Any) -> bool) -> usize {
        Coalescing::take_out_values(self, is)
    }

    fn take_out_matching(&self, pattern: &Pattern) -> usize {
        Coalescing::take_out_matching(self, pattern)
    }

    fn take_out_matching_everywhere(&self, pattern: &Pattern) -> Invalidation {
        let clearing = self.outside.as_ref().map(Outside::begin_matching);
        let removed = Coalescing::take_out_matching(self, pattern);
        Invalidation::new(removed, clearing.map(|clearing| clearing.clear_matching(pattern, &self.home_outside())))
    }

    fn begin_walk(&self, is_whole: bool) -> Option<EndWalk> {
        let has_any = is_whole || TypeId::of::<K>() == TypeId::of::<Box<str>>();
        let outside = self.outside.as_ref().filter(|_| has_any)?;
        let clearing = if is_whole { outside.begin_clear() } else { outside.begin_matching() };
        Some(Box::new(move |has_arrived| clearing.end(has_arrived)))
    }

    fn clear_all(&self) -> Invalidation {
        let clearing = self.outside.as_ref().map(Outside::begin_clear);
        let removed = self.clear();
        Invalidation::new(removed, clearing.map(|clearing| clearing.clear(&self.home_outside())))
    }

    fn clear_index(&self) -> Option<Receiver<Result<(), Error>>> {
        let outside = self.outside.as_ref().filter(|_| self.policy.semantic)?;
        Some(outside.begin_clear().clear(&self.home_outside()))
    }

    fn give_back(&self) -> Vec<Work<()>> {
        self.outside.as_ref().map(|outside| outside.give_back()).unwrap_or_default()
    }

    fn in_flight(&self) -> usize {
        self.counters.in_flight.load(SeqCst) + self.outside.as_ref().map_or(0, |outside| outside.under_way())
    }
}

/// The nodes that `is` picks by their key. The only place where keys are compared under a lock.
fn alike<K: Key, S: Share>(
    shard: &Shard<'_, K, S>,
    hash: u64,
    is: impl Fn(&Arc<Node<K, S>>) -> bool,
) -> Vec<Arc<Node<K, S>>> {
    let mut nodes = Vec::new();
    shard.find(hash, |node| {
        if is(node) {
            nodes.push(Arc::clone(node));
        }
        None::<()>
    });
    nodes
}

/// Puts a node in, as the newest of its key.
fn put_in<K: Key, S: Share>(shard: &mut Shard<'_, K, S>, node: &Arc<Node<K, S>>) {
    node.number();
    shard.insert(node.hash(), Arc::clone(node));
}

/// Removes a node. Returns whether it was there: then the table's own reference will be dropped after the lock.
fn remove<K: Key, S: Share>(shard: &mut Shard<'_, K, S>, node: &Arc<Node<K, S>>) -> bool {
    let was_there = shard.remove(node.hash(), node);
    if was_there {
        dismiss(shard, node);
    }
    was_there
}

fn dismiss<K: Key, S: Share>(shard: &mut Shard<'_, K, S>, node: &Node<K, S>) {
    let mut passed = Vec::new();
    shard.extra().dismiss(node, |node| passed.push(node));
    for node in passed {
        shard.discard(node);
    }
}

/// Removes a node, and drops this reference to it so that it cannot be the last under the lock.
fn take_out<K: Key, S: Share>(shard: &mut Shard<'_, K, S>, node: Arc<Node<K, S>>) {
    if !remove(shard, &node) {
        shard.discard(node);
    }
}

fn take_out_all<K: Key, S: Share>(shard: &mut Shard<'_, K, S>, hash: u64, is: impl Fn(&K) -> bool) -> bool {
    let nodes = alike(shard, hash, |node| is(&node.key));
    let any = !nodes.is_empty();
    for node in nodes {
        take_out(shard, node);
    }
    any
}
