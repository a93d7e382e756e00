//! Flights whose questions mean the same: one that is about to execute joins one that does.
//!
//! Between looking into an index and executing there is a gap: a near question may be executed, and its answer put into the
//! index, after it was looked into. So an execution stays in here until its answer is in the index, and after that for as long
//! as a look-up is under way that began before.
//!
//! Here it is also known which flights, in the air or landed, have the answer to a question: those of its own, in whatever
//! spelling, and those of others. Whoever takes a question out takes all of them out.

use std::any::Any;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::mem::take;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::live::Refused;
use super::{CANDIDATES, Embedding, Guards};
use crate::home::HomeId;
use crate::key::Question;
use crate::policy::Policy;
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

/// A flight, whatever its key and its value are. So meetings are compiled once, not for each function.
pub(crate) trait Flight: Any + Send + Sync {
    /// What it is to one that means the same, which gets a seat on it if it is in the air and moves for that one's `home`.
    /// `is_over`: its answer is in the index, or nowhere.
    fn receive(&self, is_over: bool, home: Option<HomeId>) -> Option<Received>;
}

/// How a flight receives another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    Seated,
    /// It has landed, with what is the other's, too.
    Landed,
}

/// The executions of one function that can be joined, and whose answer each flight has.
pub(crate) struct Meetings {
    threshold: f32,
    guards: Guards,
    state: Mutex<State>,
    joined: AtomicU64,
    near_hits: AtomicU64,
    near_again: Striped,
    refused: Refused,
}

#[derive(Default)]
struct State {
    /// Counts what happens.
    clock: u64,
    /// By partition, the oldest first.
    under_way: HashMap<Digest, Vec<UnderWay>>,
    /// Those of them that have ended: when, and where they are.
    ended: VecDeque<(u64, Digest, u64)>,
    /// When the look-ups began that are under way, and how many at each moment.
    looking: BTreeMap<u64, usize>,
    /// When questions were last taken out, as long as something may have begun before.
    taken_out: HashMap<Digest, u64>,
    /// When all were.
    cleared: u64,
    /// By question, the flights that have its answer, or are to have it.
    noted: HashMap<Digest, Vec<Weak<dyn Flight>>>,
    noted_count: usize,
    /// When there are so many, those that are gone are looked for.
    noted_max: usize,
}

/// An execution that can be joined.
struct UnderWay {
    began: u64,
    /// Its answer is in the index, or nowhere.
    ended: Option<u64>,
    question: Digest,
    text: Arc<str>,
    /// `None`: only its own question can join it.
    embedding: Option<Embedding>,
    flight: Arc<dyn Flight>,
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

/// What a flight meets that is about to execute.
pub(crate) enum Met {
    /// Another one, with the question of that.
    Another(Arc<dyn Flight>, Received, Near, Arc<str>),
    /// None. Others can join it from now on.
    None(UnderWayMark),
}

impl Meetings {
    pub(crate) fn new(policy: &Policy) -> Arc<Meetings> {
        let state = State { noted_max: NOTED_MIN, ..State::default() };
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A flight looks for the answer to its question. What is executed from here on can be met at the end of the look.
    pub(crate) fn begin_looking(self: &Arc<Self>, question: &Question, flight: &Arc<dyn Flight>) -> Looking {
        let mut state = self.state();
        let began = state.tick();
        *state.looking.entry(began).or_default() += 1;
        state.note(question.digest, flight);
        drop(state);
        Looking { meetings: Arc::clone(self), began }
    }

    /// A flight will have a value that was put in.
    pub(crate) fn note(&self, question: &Question, flight: &Arc<dyn Flight>) {
        self.state().note(question.digest, flight);
    }

    /// A look-up has found the answer to another question. `false`: that has been taken out since.
    pub(crate) fn believe(&self, looking: &Looking, source: Digest, flight: &Arc<dyn Flight>) -> bool {
        let mut state = self.state();
        let is_good = !state.was_taken_out(&source, looking.began);
        if is_good {
            state.note(source, flight);
        }
        is_good
    }

    /// Looks for an execution that means the same as `question`, for a flight that is about to execute. `home`: its runtime, if
    /// others cannot move what that drives. `is_refresh`: it executes in any case.
    pub(crate) fn meet(
        self: &Arc<Self>,
        looking: &Looking,
        question: &Question,
        flight: &Arc<dyn Flight>,
        home: Option<HomeId>,
        wants: Wants<'_>,
    ) -> Met {
        let embedding = question.embedding.get();
        let least = wants.least.unwrap_or(self.threshold).max(question.least.unwrap_or(-1.0));
        let mut passed = Vec::new();
        loop {
            let mut state = self.state();
            let nearest = if wants.executes || passed.len() >= CANDIDATES {
                None
            } else {
                state.nearest(
                    looking.began,
                    question,
                    embedding,
                    flight,
                    &passed,
                    Wants { least: Some(least), ..wants },
                )
            };
            let Some((similarity, other)) = nearest else {
                let (mark, oldest) = state.enter(self, question, embedding, flight);
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
            if let Some(met) = state.take(looking.began, question, began, (near, text), flight, home) {
                return met;
            }
            passed.push(began);
        }
    }

    /// A question is taken out: its execution is not joined any more. Returns the flights that have its answer. They stay noted
    /// until they are gone: whoever else takes the question out meanwhile finds them, too.
    pub(crate) fn take_out<F: Flight>(&self, question: Digest) -> Vec<Arc<F>> {
        self.take_out_any(question).into_iter().filter_map(known).collect()
    }

    fn take_out_any(&self, question: Digest) -> Vec<Arc<dyn Flight>> {
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
        state.noted(question)
    }

    /// All questions are.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.cleared = state.tick();
        let gone = take(&mut state.under_way);
        state.ended.clear();
        state.taken_out.clear();
        drop(state);
        drop(gone);
    }

    /// Lets go of flights that are gone.
    pub(crate) fn forget_gone(&self) {
        self.state().forget_gone();
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

/// The flight as what it is.
pub(crate) fn known<F: Flight>(flight: Arc<dyn Flight>) -> Option<Arc<F>> {
    let flight: Arc<dyn Any + Send + Sync> = flight;
    flight.downcast().ok()
}

impl State {
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

    fn note(&mut self, question: Digest, flight: &Arc<dyn Flight>) {
        if self.noted_count >= self.noted_max {
            self.forget_gone();
        }
        let nodes = self.noted.entry(question).or_default();
        let weak = Arc::downgrade(flight);
        if !nodes.iter().any(|known| known.ptr_eq(&weak)) {
            nodes.push(weak);
            self.noted_count += 1;
        }
    }

    /// The flights that have a question's answer, or are to have it.
    fn noted(&mut self, question: Digest) -> Vec<Arc<dyn Flight>> {
        let Some(nodes) = self.noted.get_mut(&question) else { return Vec::new() };
        let before = nodes.len();
        nodes.retain(|node| node.strong_count() > 0);
        self.noted_count -= before - nodes.len();
        let noted = nodes.iter().filter_map(Weak::upgrade).collect();
        if nodes.is_empty() {
            self.noted.remove(&question);
        }
        noted
    }

    fn forget_gone(&mut self) {
        self.noted.retain(|_, nodes| {
            nodes.retain(|node| node.strong_count() > 0);
            !nodes.is_empty()
        });
        self.noted_count = self.noted.values().map(Vec::len).sum();
        self.noted_max = NOTED_MIN.max(2 * self.noted_count);
    }

    /// The nearest execution that is not `passed`, and that a look-up which `began` then can go on with.
    fn nearest(
        &self,
        began: u64,
        question: &Question,
        embedding: Option<&Embedding>,
        flight: &Arc<dyn Flight>,
        passed: &[u64],
        Wants { least, refused, .. }: Wants<'_>,
    ) -> Option<(f32, &UnderWay)> {
        self.under_way
            .get(&question.partition)?
            .iter()
            .filter(|other| !passed.contains(&other.began) && !refused.contains(&other.question))
            .filter(|other| self.is_open(other, began, question, flight))
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
    fn is_open(&self, other: &UnderWay, began: u64, question: &Question, flight: &Arc<dyn Flight>) -> bool {
        let was_looked_for = other.ended.is_none_or(|ended| ended > began);
        // Whoever has taken one of the two out wants no answer that was begun before.
        let is_wanted = [&question.digest, &other.question].iter().all(|it| !self.was_taken_out(it, other.began));
        was_looked_for && is_wanted && !Arc::ptr_eq(&other.flight, flight)
    }

    /// Goes on with the execution that `was` under way, if it still is, or has come to an end that is anyone's.
    fn take(
        &mut self,
        began: u64,
        question: &Question,
        was: u64,
        (near, text): (Near, Arc<str>),
        flight: &Arc<dyn Flight>,
        home: Option<HomeId>,
    ) -> Option<Met> {
        let of_partition = self.under_way.get(&question.partition)?;
        let other = of_partition.iter().find(|other| other.began == was)?;
        if !self.is_open(other, began, question, flight) {
            return None;
        }
        let received = other.flight.receive(other.ended.is_some(), home)?;
        let met = Met::Another(Arc::clone(&other.flight), received, near, text);
        self.note(near.source, flight);
        Some(met)
    }

    /// Lets others join an execution from now on. Returns the oldest one, if there are too many.
    fn enter(
        &mut self,
        meetings: &Arc<Meetings>,
        question: &Question,
        embedding: Option<&Embedding>,
        flight: &Arc<dyn Flight>,
    ) -> (UnderWayMark, Option<UnderWay>) {
        let began = self.tick();
        let under_way = UnderWay {
            began,
            ended: None,
            question: question.digest,
            text: Arc::from(&*question.text),
            embedding: embedding.cloned(),
            flight: Arc::clone(flight),
        };
        let of_partition = self.under_way.entry(question.partition).or_default();
        let oldest = (of_partition.len() >= UNDER_WAY_MAX).then(|| of_partition.remove(0));
        of_partition.push(under_way);
        (UnderWayMark { meetings: Arc::clone(meetings), partition: question.partition, began }, oldest)
    }

    /// Lets go of what no look-up needs any more.
    fn prune(&mut self) -> Vec<UnderWay> {
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
pub(crate) struct Looking {
    meetings: Arc<Meetings>,
    began: u64,
}

impl Drop for Looking {
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
pub(crate) struct UnderWayMark {
    meetings: Arc<Meetings>,
    partition: Digest,
    began: u64,
}

impl Drop for UnderWayMark {
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
