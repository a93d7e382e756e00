//! What goes wrong, and when: the script of one verb.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::store::{BackendError, BackendErrorKind};

/// What goes wrong with one call of a verb.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It fails, and nothing is done.
    Fail(BackendErrorKind),
    /// It is done, and then it fails: the answer was lost.
    FailLate(BackendErrorKind),
    /// It is done after so long, on tokio's clock.
    Delay(Duration),
    /// It never answers, and nothing is done.
    Hang,
    /// It says that it was done, and nothing is. A look-up finds nothing.
    Lose,
    /// One bit of the entry is turned: the one with this number, counted from its first byte and around its end. Of an entry
    /// that is read, the one that is handed out; of one that is written, the one that is kept. Other verbs: nothing.
    FlipBit(usize),
    /// The entry is cut off after so many bytes. Otherwise as [`FlipBit`](Self::FlipBit).
    Truncate(usize),
    /// In the place of the entry there are these bytes, also where a look-up would have found nothing. Otherwise as
    /// [`FlipBit`](Self::FlipBit).
    Replace(Arc<[u8]>),
    /// It begins when it is [released](Script::release).
    HoldCall,
    /// It is done, and says so when it is [released](Script::release).
    HoldAnswer,
    /// It panics when it is polled.
    Panic,
}

impl Fault {
    /// What becomes of an entry.
    pub(super) fn spoil(&self, entry: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let mut entry = match self {
            Fault::Replace(bytes) => return Some(bytes.to_vec()),
            _ => entry?,
        };
        match self {
            Fault::FlipBit(bit) if !entry.is_empty() => {
                let bit = bit % (entry.len() * 8);
                entry[bit / 8] ^= 1 << (bit % 8);
            }
            Fault::Truncate(length) => entry.truncate(*length),
            _ => (),
        }
        Some(entry)
    }
}

/// What goes wrong with the calls of one verb, in which order; and how many there were.
///
/// A [`FaultyBackend`](super::FaultyBackend) has one for each verb. Fakes of one's own can have them, too: each call is
/// handed to [`act`](Self::act).
///
/// Calls are counted and take their faults when they are first polled.
#[derive(Debug, Default)]
pub struct Script {
    plan: Mutex<Plan>,
    asked: watch::Sender<usize>,
    /// Calls whose faults were said up to this one are let go of.
    released: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Plan {
    next: VecDeque<(usize, Said)>,
    always: Said,
    /// Counts what was said.
    said: u64,
}

/// A fault, and the how-manieth that was said.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) fault: Fault,
    number: u64,
}

impl Script {
    /// A verb that does what it should.
    #[must_use]
    pub fn new() -> Script {
        Script::default()
    }

    /// The next so many calls, after those of earlier `next`s.
    pub fn next(&self, calls: usize, fault: Fault) {
        let mut plan = self.plan();
        let said = plan.say(fault);
        if calls > 0 {
            plan.next.push_back((calls, said));
        }
    }

    /// All calls that no [`next`](Self::next) is for, until another `always` or [`heal`](Self::heal).
    pub fn always(&self, fault: Fault) {
        let mut plan = self.plan();
        plan.always = plan.say(fault);
    }

    /// From the call with this number on, the next one being number 1. The calls before it go well: what was said earlier is
    /// dropped.
    pub fn from(&self, call: usize, fault: Fault) {
        let mut plan = self.plan();
        let (well, always) = (plan.say(Fault::None), plan.say(fault));
        plan.next.clear();
        plan.next.extend((call > 1).then(|| (call - 1, well)));
        plan.always = always;
    }

    /// From now on nothing goes wrong. Calls that are held are let go of; those that hang still do.
    pub fn heal(&self) {
        let mut plan = self.plan();
        plan.next.clear();
        plan.always = plan.say(Fault::None);
        drop(plan);
        self.release();
    }

    /// Lets go of the calls that are held, and of those to come for whom holding has been said already.
    pub fn release(&self) {
        let said = self.plan().said;
        self.released.send_replace(said);
    }

    /// How many calls there were.
    #[must_use]
    pub fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    /// Returns once there were so many calls, whatever becomes of them.
    ///
    /// **Limit**: none. A test that may wait for ever sets its own.
    pub async fn arrived(&self, calls: usize) {
        // There is always a sender, the one in `self`.
        let _ = self.asked.subscribe().wait_for(|asked| *asked >= calls).await;
    }

    /// A call, for fakes of one's own: does the work, or what the script says. `T::default()` is what a lost call answers;
    /// entries are not spoiled.
    pub async fn act<T: Default>(
        &self,
        work: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let said = self.take();
        self.play(&said, || Ok(T::default()), work).await
    }

    /// The fault of a call that begins.
    pub(super) fn take(&self) -> Said {
        let mut plan = self.plan();
        let said = match plan.next.front_mut() {
            Some((left @ 2.., said)) => {
                *left -= 1;
                said.clone()
            }
            Some(_) => plan.next.pop_front().map(|(_, said)| said).unwrap_or_default(),
            None => plan.always.clone(),
        };
        drop(plan);
        self.asked.send_modify(|asked| *asked += 1);
        said
    }

    /// Does the work, or not. `lost`: what is answered to a call that is lost.
    pub(super) async fn play<T>(
        &self,
        said: &Said,
        lost: impl FnOnce() -> Result<T, BackendError>,
        work: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        match said.fault {
            Fault::None | Fault::FlipBit(_) | Fault::Truncate(_) | Fault::Replace(_) => work.await,
            Fault::Fail(kind) => Err(kind.into()),
            Fault::FailLate(kind) => {
                // What it says does not arrive.
                let _ = work.await;
                Err(kind.into())
            }
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                work.await
            }
            Fault::Hang => pending().await,
            Fault::Lose => lost(),
            Fault::HoldCall => {
                self.let_go(said).await;
                work.await
            }
            Fault::HoldAnswer => {
                let answer = work.await;
                self.let_go(said).await;
                answer
            }
            Fault::Panic => panic!("a fault of the script"),
        }
    }

    async fn let_go(&self, said: &Said) {
        let _ = self.released.subscribe().wait_for(|released| *released >= said.number).await;
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn say(&mut self, fault: Fault) -> Said {
        self.said += 1;
        Said { fault, number: self.said }
    }
}

#[cfg(test)]
mod tests;
