//! Flights whose questions mean the same: one that is about to execute joins one that does.
//!
//! Between looking into an index and executing there is a gap: a near question may be executed, and its answer put into the
//! index, after it was looked into. So an execution stays in here until its answer is in the index, and after that for as long
//! as a look-up is under way that began before.
//!
//! Here it is also known which kept values are answers to another question. Whatever takes that one's out takes them out, too.

use std::collections::{BTreeMap, HashMap};
use std::mem::take;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::live::Refused;
use super::{Embedding, Guards};
use crate::flight::{Ending, Node, Rare};
use crate::home::HomeId;
use crate::key::Question;
use crate::policy::Policy;
use crate::share::Share;
use crate::stats::{Stats, count};
use crate::tier::Near;

/// A question, by its digest.
type Digest = [u8; 32];

/// So many executions of a partition can be joined, the newest; more would make joining slow.
const UNDER_WAY_MAX: usize = 1_024;
/// When so many questions have been taken out while look-ups are under way, all have been.
const TAKEN_OUT_MAX: usize = 10_000;
/// How many values of other questions are noted before those that are gone are first looked for.
const DERIVED_MIN: usize = 1_024;

/// The executions of one function that can be joined, and the values that belong to another question than their own.
pub(crate) struct Meetings<K, S: Share> {
    threshold: f32,
    guards: Guards,
    state: Mutex<State<K, S>>,
    joined: AtomicU64,
    refused: Refused,
}

struct State<K, S: Share> {
    /// Counts what happens.
    clock: u64,
    /// By partition, the oldest first.
    under_way: HashMap<Digest, Vec<UnderWay<K, S>>>,
    /// When the look-ups began that are under way, and how many at each moment.
    looking: BTreeMap<u64, usize>,
    /// When questions were last taken out, as long as something may have begun before.
    taken_out: HashMap<Digest, u64>,
    /// When all were.
    cleared: u64,
    /// By the question that they answer, the flights that have its answer.
    derived: HashMap<Digest, Vec<Weak<Node<K, S>>>>,
    derived_count: usize,
    /// How many executions have ended and are still there.
    ended_count: usize,
    /// When there are so many, those that are gone are looked for.
    derived_max: usize,
}

/// An execution that can be joined.
struct UnderWay<K, S: Share> {
    began: u64,
    /// Its answer is in the index, or nowhere.
    ended: Option<u64>,
    question: Digest,
    text: Box<str>,
    embedding: Embedding,
    node: Arc<Node<K, S>>,
}

/// What a flight meets that is about to execute.
pub(crate) enum Met<K, S: Share> {
    /// Another one, which it has a seat on now.
    Another(Arc<Node<K, S>>, Near),
    /// Another one that has ended just now.
    Landed(Arc<Node<K, S>>, Near),
    /// None. Others can join it from now on.
    None(UnderWayMark<K, S>),
}

impl<K, S: Share> Meetings<K, S> {
    pub(crate) fn new(policy: &Policy) -> Arc<Meetings<K, S>> {
        let state = State {
            clock: 0,
            under_way: HashMap::new(),
            looking: BTreeMap::new(),
            taken_out: HashMap::new(),
            cleared: 0,
            derived: HashMap::new(),
            derived_count: 0,
            ended_count: 0,
            derived_max: DERIVED_MIN,
        };
        Arc::new(Meetings {
            threshold: policy.threshold,
            guards: policy.guards,
            state: Mutex::new(state),
            joined: AtomicU64::new(0),
            refused: Refused::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State<K, S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A look-up begins. What is executed from here on can be met at its end.
    pub(crate) fn begin_looking(self: &Arc<Self>) -> Looking<K, S> {
        let mut state = self.state();
        let began = state.tick();
        *state.looking.entry(began).or_default() += 1;
        drop(state);
        Looking { meetings: Arc::clone(self), began }
    }

    /// Looks for an execution that means the same as `question`, for a flight that is about to execute. `home`: its runtime, if
    /// others cannot move what that drives. `is_refresh`: it executes in any case.
    pub(crate) fn meet(
        self: &Arc<Self>,
        looking: &Looking<K, S>,
        question: &Question,
        node: &Arc<Node<K, S>>,
        home: Option<HomeId>,
        is_refresh: bool,
    ) -> Option<Met<K, S>> {
        let embedding = question.embedding.get()?;
        let mut state = self.state();
        if !is_refresh {
            let met = state.nearest(self, looking.began, question, embedding, node, home);
            if let Some(met) = met {
                drop(state);
                count(&self.joined);
                return Some(met);
            }
        }
        let began = state.tick();
        let under_way = UnderWay {
            began,
            ended: None,
            question: question.digest,
            text: question.text.clone(),
            embedding: embedding.clone(),
            node: Arc::clone(node),
        };
        let of_partition = state.under_way.entry(question.partition).or_default();
        // The users' values are dropped outside of the lock.
        let oldest = (of_partition.len() >= UNDER_WAY_MAX).then(|| of_partition.remove(0));
        of_partition.push(under_way);
        state.ended_count -= usize::from(oldest.as_ref().is_some_and(|oldest| oldest.ended.is_some()));
        drop(state);
        drop(oldest);
        Some(Met::None(UnderWayMark { meetings: Arc::clone(self), partition: question.partition, began }))
    }

    /// A flight is about to keep the answer of another question. `false`: that has been taken out since the look-up began.
    pub(crate) fn derive(&self, looking: &Looking<K, S>, source: Digest, node: &Arc<Node<K, S>>) -> bool {
        let mut state = self.state();
        if state.was_taken_out(&source, looking.began) {
            return false;
        }
        if state.derived_count >= state.derived_max {
            state.derived.retain(|_, nodes| {
                nodes.retain(|node| node.strong_count() > 0);
                !nodes.is_empty()
            });
            state.derived_count = state.derived.values().map(Vec::len).sum();
            state.derived_max = DERIVED_MIN.max(2 * state.derived_count);
        }
        state.derived.entry(source).or_default().push(Arc::downgrade(node));
        state.derived_count += 1;
        true
    }

    /// A question is taken out: its execution is not joined any more. Returns what else is to be taken out of memory.
    pub(crate) fn take_out(&self, question: &Digest) -> Vec<Arc<Node<K, S>>> {
        let mut state = self.state();
        let now = state.tick();
        if !state.is_idle() {
            if state.taken_out.len() >= TAKEN_OUT_MAX {
                state.taken_out.clear();
                state.cleared = now;
            }
            state.taken_out.insert(*question, now);
        }
        let mut gone = Vec::new();
        for of_partition in state.under_way.values_mut() {
            gone.extend(of_partition.extract_if(.., |under_way| under_way.question == *question));
        }
        state.ended_count -= gone.iter().filter(|under_way| under_way.ended.is_some()).count();
        let derived = state.derived.remove(question).unwrap_or_default();
        state.derived_count -= derived.len();
        drop(state);
        drop(gone);
        derived.iter().filter_map(Weak::upgrade).collect()
    }

    /// All questions are.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.cleared = state.tick();
        (state.derived_count, state.ended_count) = (0, 0);
        let gone = (take(&mut state.under_way), take(&mut state.derived));
        state.taken_out.clear();
        drop(state);
        drop(gone);
    }

    pub(crate) fn add_stats(&self, stats: &mut Stats) {
        stats.semantic.joined += self.joined.load(Relaxed);
        self.refused.add_to(&mut stats.semantic.refused);
    }

    pub(crate) fn reset_stats(&self) {
        self.joined.store(0, Relaxed);
        self.refused.reset();
    }
}

impl<K, S: Share> State<K, S> {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Nothing can have begun before now.
    fn is_idle(&self) -> bool {
        self.looking.is_empty() && self.under_way.is_empty()
    }

    fn was_taken_out(&self, question: &Digest, since: u64) -> bool {
        self.cleared > since || self.taken_out.get(question).is_some_and(|at| *at > since)
    }

    /// The nearest execution that `node` can go on with.
    fn nearest(
        &self,
        meetings: &Meetings<K, S>,
        began: u64,
        question: &Question,
        embedding: &Embedding,
        node: &Arc<Node<K, S>>,
        home: Option<HomeId>,
    ) -> Option<Met<K, S>> {
        let least = meetings.threshold.max(question.least.unwrap_or(-1.0));
        let mut near: Vec<(f32, &UnderWay<K, S>)> = self
            .under_way
            .get(&question.partition)?
            .iter()
            .filter(|other| other.ended.is_none_or(|ended| ended > began))
            // Whoever has taken the question out wants no answer that was begun before.
            .filter(|other| !self.was_taken_out(&question.digest, other.began) && !Arc::ptr_eq(&other.node, node))
            .filter_map(|other| Some((embedding.similarity(&other.embedding)?, other)))
            .filter(|(similarity, other)| *similarity >= least || other.question == question.digest)
            .collect();
        near.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        for (similarity, other) in near {
            if let Some(guard) = meetings.guards.refuse(&question.text, &other.text) {
                meetings.refused.count(guard);
                continue;
            }
            let near = Near { source: other.question, similarity, is_joined: true };
            let node = Arc::clone(&other.node);
            match node.ending() {
                Some(Ending::Rare(rare)) if matches!(**rare, Rare::Abandoned(_)) => {}
                // What it found is its own question's, perhaps, and not this one's.
                Some(_) if node.came().is_near() => {}
                Some(_) => return Some(Met::Landed(node, near)),
                None if node.moves_for(home) && node.take_seat() => return Some(Met::Another(node, near)),
                None => {}
            }
        }
        None
    }

    /// Lets go of what no look-up needs any more.
    fn prune(&mut self) -> Vec<UnderWay<K, S>> {
        if self.ended_count == 0 {
            return Vec::new();
        }
        let oldest = self.looking.keys().next().copied().unwrap_or(u64::MAX);
        let mut gone = Vec::new();
        self.under_way.retain(|_, of_partition| {
            gone.extend(of_partition.extract_if(.., |other| other.ended.is_some_and(|ended| ended <= oldest)));
            !of_partition.is_empty()
        });
        self.ended_count -= gone.len();
        if self.is_idle() {
            self.taken_out.clear();
        }
        gone
    }
}

/// A look-up that is under way.
pub(crate) struct Looking<K, S: Share> {
    meetings: Arc<Meetings<K, S>>,
    began: u64,
}

impl<K, S: Share> Drop for Looking<K, S> {
    fn drop(&mut self) {
        let mut state = self.meetings.state();
        if let Some(count) = state.looking.get_mut(&self.began) {
            *count -= 1;
            if *count == 0 {
                state.looking.remove(&self.began);
            }
        }
        let gone = state.prune();
        drop(state);
        drop(gone);
    }
}

/// An execution that others can join. Dropped, its answer is in the index, or nowhere.
pub(crate) struct UnderWayMark<K, S: Share> {
    meetings: Arc<Meetings<K, S>>,
    partition: Digest,
    began: u64,
}

impl<K, S: Share> Drop for UnderWayMark<K, S> {
    fn drop(&mut self) {
        let mut state = self.meetings.state();
        let now = state.tick();
        let of_partition = state.under_way.get_mut(&self.partition);
        if let Some(mine) = of_partition.and_then(|all| all.iter_mut().find(|other| other.began == self.began)) {
            mine.ended = Some(now);
            state.ended_count += 1;
        }
        let gone = state.prune();
        drop(state);
        drop(gone);
    }
}
