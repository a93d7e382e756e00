//! Flights whose questions mean the same: one that is about to execute joins one that does.
//!
//! Between looking into an index and executing there is a gap: a near question may be executed, and its answer put into the
//! index, after it was looked into. So an execution stays in here until its answer is in the index, and after that for as long
//! as a look-up is under way that began before.
//!
//! Here it is also known which flights, in the air or landed, have the answer to a question: those of its own, in whatever
//! spelling, and those of others. Whoever takes a question out takes all of them out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::mem::take;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::live::Refused;
use super::{CANDIDATES, Embedding, Guards};
use crate::clock::Moment;
use crate::flight::{Ending, Node, Rare};
use crate::home::HomeId;
use crate::key::Question;
use crate::policy::Policy;
use crate::share::Share;
use crate::stats::{Stats, Striped, count};
use crate::tier::Near;

/// A question, by its digest.
type Digest = [u8; 32];

/// So many executions of a partition can be joined, the newest; more would make joining slow.
const UNDER_WAY_MAX: usize = 1_024;
/// So many executions that have ended are kept for look-ups that began before, the newest.
const ENDED_MAX: usize = 4_096;
/// When so many questions have been taken out while look-ups are under way, all have been.
const TAKEN_OUT_MAX: usize = 10_000;
/// How many flights are noted before those that are gone are first looked for.
const NOTED_MIN: usize = 1_024;

/// The executions of one function that can be joined, and whose answer each flight has.
pub(crate) struct Meetings<K, S: Share> {
    threshold: f32,
    guards: Guards,
    state: Mutex<State<K, S>>,
    joined: AtomicU64,
    near_hits: AtomicU64,
    near_again: Striped,
    refused: Refused,
}

struct State<K, S: Share> {
    /// Counts what happens.
    clock: u64,
    /// By partition, the oldest first.
    under_way: HashMap<Digest, Vec<UnderWay<K, S>>>,
    /// Those of them that have ended: when, and where they are.
    ended: VecDeque<(u64, Digest, u64)>,
    /// When the look-ups began that are under way, and how many at each moment.
    looking: BTreeMap<u64, usize>,
    /// When questions were last taken out, as long as something may have begun before.
    taken_out: HashMap<Digest, u64>,
    /// When all were.
    cleared: u64,
    /// By question, the flights that have its answer, or are to have it.
    noted: HashMap<Digest, Vec<Weak<Node<K, S>>>>,
    noted_count: usize,
    /// When there are so many, those that are gone are looked for.
    noted_max: usize,
}

/// An execution that can be joined.
struct UnderWay<K, S: Share> {
    began: u64,
    /// Its answer is in the index, or nowhere.
    ended: Option<u64>,
    question: Digest,
    text: Arc<str>,
    /// `None`: only its own question can join it.
    embedding: Option<Embedding>,
    node: Arc<Node<K, S>>,
}

/// What a flight wants that is about to execute.
#[derive(Clone, Copy)]
pub(crate) struct Wants<'a> {
    /// To execute, whatever it meets.
    pub(crate) executes: bool,
    /// How near another one has to be, if that is more than its function says.
    pub(crate) least: Option<f32>,
    /// Questions that do not mean the same.
    pub(crate) refused: &'a [Digest],
}

/// What a flight meets that is about to execute: with the question of that.
pub(crate) enum Met<K, S: Share> {
    /// Another one, which it has a seat on now.
    Another(Arc<Node<K, S>>, Near, Arc<str>),
    /// Another one that has ended just now.
    Landed(Arc<Node<K, S>>, Near, Arc<str>),
    /// None. Others can join it from now on.
    None(UnderWayMark<K, S>),
}

impl<K, S: Share> Meetings<K, S> {
    pub(crate) fn new(policy: &Policy) -> Arc<Meetings<K, S>> {
        let state = State {
            clock: 0,
            under_way: HashMap::new(),
            ended: VecDeque::new(),
            looking: BTreeMap::new(),
            taken_out: HashMap::new(),
            cleared: 0,
            noted: HashMap::new(),
            noted_count: 0,
            noted_max: NOTED_MIN,
        };
        Arc::new(Meetings {
            threshold: policy.threshold,
            guards: policy.guards,
            state: Mutex::new(state),
            joined: AtomicU64::new(0),
            near_hits: AtomicU64::new(0),
            near_again: Striped::default(),
            refused: Refused::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State<K, S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A flight looks for the answer to its question. What is executed from here on can be met at the end of the look.
    pub(crate) fn begin_looking(self: &Arc<Self>, question: &Question, node: &Arc<Node<K, S>>) -> Looking<K, S> {
        let mut state = self.state();
        let began = state.tick();
        *state.looking.entry(began).or_default() += 1;
        state.note(question.digest, node);
        drop(state);
        Looking { meetings: Arc::clone(self), began }
    }

    /// A flight will have a value that was put in.
    pub(crate) fn note(&self, question: &Question, node: &Arc<Node<K, S>>) {
        self.state().note(question.digest, node);
    }

    /// A look-up has found the answer to another question. `false`: that has been taken out since.
    pub(crate) fn believe(&self, looking: &Looking<K, S>, source: Digest, node: &Arc<Node<K, S>>) -> bool {
        let mut state = self.state();
        let is_good = !state.was_taken_out(&source, looking.began);
        if is_good {
            state.note(source, node);
        }
        is_good
    }

    /// Looks for an execution that means the same as `question`, for a flight that is about to execute. `home`: its runtime, if
    /// others cannot move what that drives. `is_refresh`: it executes in any case.
    pub(crate) fn meet(
        self: &Arc<Self>,
        looking: &Looking<K, S>,
        question: &Question,
        node: &Arc<Node<K, S>>,
        home: Option<HomeId>,
        wants: Wants<'_>,
    ) -> Met<K, S> {
        let embedding = question.embedding.get();
        let least = wants.least.unwrap_or(self.threshold).max(question.least.unwrap_or(-1.0));
        let mut passed = Vec::new();
        loop {
            let mut state = self.state();
            let nearest = if wants.executes || passed.len() >= CANDIDATES {
                None
            } else {
                state.nearest(looking.began, question, embedding, node, &passed, Wants { least: Some(least), ..wants })
            };
            let Some((similarity, other)) = nearest else {
                let (mark, oldest) = state.enter(self, question, embedding, node);
                drop(state);
                // The users' values are dropped outside of the lock.
                drop(oldest);
                return Met::None(mark);
            };
            let (began, source) = (other.began, other.question);
            let text = Arc::clone(&other.text);
            if source != question.digest {
                drop(state);
                if let Some(guard) = self.guards.refuse(&question.text, &text) {
                    self.refused.count(guard);
                    passed.push(began);
                    continue;
                }
                state = self.state();
            }
            let near = Near { source, similarity, is_joined: true };
            if let Some(met) = state.take(looking.began, question, began, (near, text), node, home) {
                return met;
            }
            passed.push(began);
        }
    }

    /// A question is taken out: its execution is not joined any more. Returns the flights that have its answer.
    pub(crate) fn take_out(&self, question: Digest) -> Vec<Arc<Node<K, S>>> {
        let mut state = self.state();
        let now = state.tick();
        if state.is_idle() {
            state.taken_out.clear();
        } else {
            if state.taken_out.len() >= TAKEN_OUT_MAX {
                state.taken_out.clear();
                state.cleared = now;
            }
            state.taken_out.insert(question, now);
        }
        let noted = state.noted.remove(&question).unwrap_or_default();
        state.noted_count -= noted.len();
        drop(state);
        noted.iter().filter_map(Weak::upgrade).collect()
    }

    /// All questions are.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.cleared = state.tick();
        state.noted_count = 0;
        let gone = (take(&mut state.under_way), take(&mut state.noted));
        state.ended.clear();
        state.taken_out.clear();
        drop(state);
        drop(gone);
    }

    /// A call was answered with a near question's answer: one that was found, or one that it joined.
    pub(crate) fn count(&self, near: Near) {
        count(if near.is_joined { &self.joined } else { &self.near_hits });
    }

    /// Memory has answered a call with what a near question was once given. As often as any hit, and so counted like one.
    pub(crate) fn count_again(&self) {
        self.near_again.add_one();
    }

    pub(crate) fn add_stats(&self, stats: &mut Stats) {
        stats.semantic.joined += self.joined.load(Relaxed);
        stats.semantic.index_hits += self.near_hits.load(Relaxed);
        stats.semantic.memory_hits += self.near_again.sum();
        self.refused.add_to(&mut stats.semantic.refused);
    }

    pub(crate) fn reset_stats(&self) {
        self.joined.store(0, Relaxed);
        self.near_hits.store(0, Relaxed);
        self.near_again.reset();
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

    fn note(&mut self, question: Digest, node: &Arc<Node<K, S>>) {
        if self.noted_count >= self.noted_max {
            self.noted.retain(|_, nodes| {
                nodes.retain(|node| node.strong_count() > 0);
                !nodes.is_empty()
            });
            self.noted_count = self.noted.values().map(Vec::len).sum();
            self.noted_max = NOTED_MIN.max(2 * self.noted_count);
        }
        let nodes = self.noted.entry(question).or_default();
        let weak = Arc::downgrade(node);
        if !nodes.iter().any(|known| known.ptr_eq(&weak)) {
            nodes.push(weak);
            self.noted_count += 1;
        }
    }

    /// The nearest execution that is not `passed`, and that a look-up which `began` then can go on with.
    fn nearest(
        &self,
        began: u64,
        question: &Question,
        embedding: Option<&Embedding>,
        node: &Arc<Node<K, S>>,
        passed: &[u64],
        Wants { least, refused, .. }: Wants<'_>,
    ) -> Option<(f32, &UnderWay<K, S>)> {
        self.under_way
            .get(&question.partition)?
            .iter()
            .filter(|other| !passed.contains(&other.began) && !refused.contains(&other.question))
            .filter(|other| self.is_open(other, began, question, node))
            .filter_map(|other| {
                if other.question == question.digest {
                    return Some((1.0, other));
                }
                let similarity = embedding?.similarity(other.embedding.as_ref()?)?;
                least.is_none_or(|least| similarity >= least).then_some((similarity, other))
            })
            // Of equal ones the newest.
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
    }

    /// Whether an execution can answer a look-up that `began` then.
    fn is_open(&self, other: &UnderWay<K, S>, began: u64, question: &Question, node: &Arc<Node<K, S>>) -> bool {
        let was_looked_for = other.ended.is_none_or(|ended| ended > began);
        // Whoever has taken one of the two out wants no answer that was begun before.
        let is_wanted = [&question.digest, &other.question].iter().all(|it| !self.was_taken_out(it, other.began));
        was_looked_for && is_wanted && !Arc::ptr_eq(&other.node, node)
    }

    /// Goes on with the execution that `was` under way, if it still is, or has come to an end that is anyone's.
    fn take(
        &mut self,
        began: u64,
        question: &Question,
        was: u64,
        (near, text): (Near, Arc<str>),
        node: &Arc<Node<K, S>>,
        home: Option<HomeId>,
    ) -> Option<Met<K, S>> {
        let of_partition = self.under_way.get(&question.partition)?;
        let other = of_partition.iter().find(|other| other.began == was)?;
        if !self.is_open(other, began, question, node) {
            return None;
        }
        let (has_ended, other) = (other.ended.is_some(), Arc::clone(&other.node));
        let met = match other.ending() {
            // What it found is its own question's, and perhaps not this one's.
            Some(_) if other.came().is_near() => return None,
            // What was not kept, like an error, is for those who came before the end.
            Some(Ending::Value(_)) if has_ended || other.expires() > Moment::now() => {
                Met::Landed(Arc::clone(&other), near, text)
            }
            Some(Ending::Rare(rare)) if has_ended && matches!(**rare, Rare::Fault(..) | Rare::Panicked(_)) => {
                Met::Landed(Arc::clone(&other), near, text)
            }
            None if other.moves_for(home) && other.take_seat() => Met::Another(Arc::clone(&other), near, text),
            _ => return None,
        };
        self.note(near.source, node);
        Some(met)
    }

    /// Lets others join an execution from now on. Returns the oldest one, if there are too many.
    fn enter(
        &mut self,
        meetings: &Arc<Meetings<K, S>>,
        question: &Question,
        embedding: Option<&Embedding>,
        node: &Arc<Node<K, S>>,
    ) -> (UnderWayMark<K, S>, Option<UnderWay<K, S>>) {
        let began = self.tick();
        let under_way = UnderWay {
            began,
            ended: None,
            question: question.digest,
            text: Arc::from(&*question.text),
            embedding: embedding.cloned(),
            node: Arc::clone(node),
        };
        let of_partition = self.under_way.entry(question.partition).or_default();
        let oldest = (of_partition.len() >= UNDER_WAY_MAX).then(|| of_partition.remove(0));
        of_partition.push(under_way);
        (UnderWayMark { meetings: Arc::clone(meetings), partition: question.partition, began }, oldest)
    }

    /// Lets go of what no look-up needs any more.
    fn prune(&mut self) -> Vec<UnderWay<K, S>> {
        let oldest = self.looking.keys().next().copied().unwrap_or(u64::MAX);
        let mut gone = Vec::new();
        while let Some((ended, partition, began)) = self.ended.front().copied() {
            if ended > oldest && self.ended.len() <= ENDED_MAX {
                break;
            }
            self.ended.pop_front();
            let Some(of_partition) = self.under_way.get_mut(&partition) else { continue };
            if let Some(at) = of_partition.iter().position(|other| other.began == began) {
                gone.push(of_partition.remove(at));
            }
            if of_partition.is_empty() {
                self.under_way.remove(&partition);
            }
        }
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
            state.ended.push_back((now, self.partition, self.began));
        }
        let gone = state.prune();
        drop(state);
        drop(gone);
    }
}
