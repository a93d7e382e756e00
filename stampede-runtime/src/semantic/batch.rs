//! Texts of several calls, embedded together.
//!
//! ```text
//! embed("a") ──▶ a lane: asked { a, b, c }     runner ──▶ embedder.embed([a, b, c])
//! embed("b") ──▶        waiting [ a, b, c ] ──▶   │
//! embed("b") ┄┄ joins ┄┄┄┄┄┄┄┘                    └─ answers each text, then takes what waits by now
//! ```
//!
//! **Who goes together.** Nobody waits for others to come: a text that finds no batch about to begin begins one. That yields
//! once before it takes its texts, so whoever is ready to run by then goes along. While fewer than [`RUNNERS_MAX`] batches are
//! under way a new text begins its own, since one that waits for another batch pays for two. Once they are all under way, what
//! comes waits and goes together: the busier the embedder, the larger the batches.
//!
//! **Whose runtime.** A batch runs where the call that began it does, as the embedder would without us. A current-thread
//! runtime stands still whenever nobody is in it, so its calls have a lane of their own; all other runtimes share one. What a
//! runtime leaves behind when it ends, those who wait elsewhere ask for again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::pending;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

pub(crate) use self::counts::Counted;
use self::counts::Counts;
use super::{EmbedError, EmbedErrorKind, Embedder, Embedding};
use crate::home::{Home, HomeId};

mod counts;
#[cfg(test)]
mod tests;

/// How many batches of a lane are under way at once. Enough to keep an embedder busy; more would only be smaller.
const RUNNERS_MAX: usize = 4;

/// How many texts of a lane may be asked for at once; those beyond are refused. Each is held by the call that asked, too.
const ASKED_MAX: usize = 10_000;

/// How often a call asks whose batches end with their runtimes. Its own runtime is the next to try, so two would do.
const ATTEMPTS_MAX: usize = 8;

type Answer = Result<Embedding, EmbedError>;

/// What an embedder says to a few texts: as many embeddings or reasons why there is none, or why there are no vectors at all.
type Answers = Result<Vec<Answer>, EmbedError>;

/// An embedder that is asked for many texts at once, and for each of them once. Clones share it.
#[derive(Clone)]
pub(crate) struct Batcher(Arc<Shared>);

struct Shared {
    embedder: Arc<dyn Embedder>,
    /// Read once: nothing of the user's runs under a lock.
    batch_max: usize,
    /// Of a vector, where the embedder does not say it. 0: any.
    dimensions: usize,
    timeout: Duration,
    /// By the runtime that moves them, where only that one does. A lane that nobody needs is taken out.
    lanes: Mutex<HashMap<Option<HomeId>, Lane>>,
    counts: Counts,
}

/// The texts of the calls of one runtime, or of all that run by themselves.
#[derive(Default)]
struct Lane {
    /// Every text that is waiting or under way. Dropping a sender tells who waits that nobody will answer.
    asked: HashMap<String, watch::Sender<Option<Answer>>>,
    /// Those of them that no batch has taken yet, in the order in which they came.
    waiting: VecDeque<String>,
    /// While there is one, what waits will be taken.
    runners: usize,
    /// Those of the runners that have not taken their first batch yet.
    beginning: usize,
}

impl Batcher {
    /// `dimensions`: of what is kept, 0 for any. `timeout`: how long a caller waits, and how long a call of the embedder may
    /// take. More than zero.
    pub(crate) fn new(embedder: Arc<dyn Embedder>, dimensions: usize, timeout: Duration) -> Batcher {
        let batch_max = embedder.batch_max().max(1);
        let (lanes, counts) = (Mutex::default(), Counts::default());
        Batcher(Arc::new(Shared { embedder, batch_max, dimensions, timeout, lanes, counts }))
    }

    /// What has been asked of the embedder so far.
    pub(crate) fn counted(&self) -> Counted {
        self.0.counts.read()
    }

    /// The embedding of a text. Inside a tokio runtime whose time is enabled.
    ///
    /// **Cancel**: the text may be embedded all the same. Nobody else is affected.
    ///
    /// **Errors**: the embedder's; `Invalid` for a vector that is no embedding; `TimedOut`; `RateLimited` where too many texts
    /// wait; `Other` where the embedder has panicked.
    pub(crate) async fn embed(&self, text: &str) -> Answer {
        let answer = async {
            for _ in 0..ATTEMPTS_MAX {
                let mut answer = self.ask(text)?;
                if let Ok(answer) = answer.wait_for(Option::is_some).await {
                    return answer.clone().expect("it was waited for");
                }
                // The runtime of the batch has ended. If it is this one, this is where it ends this call.
                yield_now().await;
            }
            Err(EmbedError::new(EmbedErrorKind::Other, "the runtimes that were to embed have ended"))
        };
        timeout(self.0.timeout, answer).await.unwrap_or_else(|_| Err(late()))
    }

    /// Where the answer will be. Begins a batch unless one is about to begin that takes the text.
    fn ask(&self, text: &str) -> Result<watch::Receiver<Option<Answer>>, EmbedError> {
        let of = Home::around().and_then(|home| home.if_alone());
        let mut lanes = self.0.lanes();
        let lane = lanes.entry(of).or_default();
        if let Some(sender) = lane.asked.get(text) {
            return Ok(sender.subscribe());
        }
        if lane.asked.len() >= ASKED_MAX {
            self.0.counts.refuse();
            return Err(EmbedError::new(EmbedErrorKind::RateLimited, format!("{ASKED_MAX} texts are waiting")));
        }
        let (sender, receiver) = watch::channel(None);
        lane.asked.insert(text.to_owned(), sender);
        lane.waiting.push_back(text.to_owned());
        if lane.waiting.len() > lane.beginning * self.0.batch_max && lane.runners < RUNNERS_MAX {
            lane.runners += 1;
            lane.beginning += 1;
            // A runtime that has ended drops the runner at once, which then takes the lock.
            drop(lanes);
            Handle::current().spawn(Runner::new(Arc::clone(&self.0), of).run());
        }
        Ok(receiver)
    }
}

impl Shared {
    fn lanes(&self) -> MutexGuard<'_, HashMap<Option<HomeId>, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What embeds one batch after the other for as long as texts wait. Dropped before, it leaves its texts to others.
struct Runner {
    shared: Arc<Shared>,
    of: Option<HomeId>,
    has_begun: bool,
    has_ended: bool,
    /// What it has taken and not answered.
    texts: Vec<String>,
}

impl Runner {
    fn new(shared: Arc<Shared>, of: Option<HomeId>) -> Runner {
        Runner { shared, of, has_begun: false, has_ended: false, texts: Vec::new() }
    }

    async fn run(mut self) {
        yield_now().await;
        while self.take() {
            let mut texts = self.texts.clone();
            let mut answers = self.call(&texts).await;
            // One text that is not taken must not cost the others theirs, so it is looked for by halves. Where neither half is
            // taken it is more than one text, if the texts are the reason at all, and the search ends.
            while texts.len() > 1 && is_unsuitable(&answers) {
                let second = texts.split_off(texts.len() / 2);
                let ones = self.call(&texts).await;
                let others = self.call(&second).await;
                let goes_on = !(is_unsuitable(&ones) && is_unsuitable(&others));
                if is_unsuitable(&others) {
                    self.settle(&texts, ones);
                    (texts, answers) = (second, others);
                } else {
                    self.settle(&second, others);
                    answers = ones;
                }
                if !goes_on {
                    break;
                }
            }
            self.settle(&texts, answers);
        }
    }

    /// Takes the next batch, of those texts that somebody still waits for. If there are none, this runner has ended.
    fn take(&mut self) -> bool {
        let mut lanes = self.shared.lanes();
        let lane = lanes.get_mut(&self.of).expect("a lane stays while it has a runner");
        if !self.has_begun {
            self.has_begun = true;
            lane.beginning -= 1;
        }
        while self.texts.len() < self.shared.batch_max {
            let Some(text) = lane.waiting.pop_front() else { break };
            if lane.asked.get(&text).is_some_and(|sender| sender.receiver_count() > 0) {
                self.texts.push(text);
            } else {
                lane.asked.remove(&text);
            }
        }
        if self.texts.is_empty() {
            self.has_ended = true;
            lane.runners -= 1;
            // Another runner may not have begun.
            if lane.runners == 0 && lane.asked.is_empty() {
                lanes.remove(&self.of);
            }
        }
        !self.has_ended
    }

    /// Asks the embedder, in a task of its own: so a panic is an answer, also one of a destructor.
    async fn call(&self, texts: &[String]) -> Answers {
        let (embedder, texts) = (Arc::clone(&self.shared.embedder), texts.to_vec());
        let of_index = self.shared.dimensions;
        let began = Instant::now();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let vectors = embedder.embed(&texts).await?;
            if vectors.len() != texts.len() {
                let problem = format!("it has {} vectors for {} texts", vectors.len(), texts.len());
                return Err(EmbedError::new(EmbedErrorKind::Invalid, problem));
            }
            let dimensions = match embedder.dimensions() {
                0 => of_index,
                said => said,
            };
            Ok(vectors.into_iter().map(|values| Embedding::new(values, dimensions)).collect())
        });
        let answers = match timeout(self.shared.timeout, task.join_next()).await {
            Ok(Some(Ok(answers))) => answers,
            Ok(Some(Err(error))) if error.is_panic() => Err(EmbedError::new(EmbedErrorKind::Other, "it has panicked")),
            // The runtime is ending, and this task with it.
            Ok(_) => pending().await,
            Err(_) => Err(late()),
        };
        self.shared.counts.called(began.elapsed(), &answers);
        answers
    }

    /// Tells those who wait for some of its texts.
    fn settle(&mut self, texts: &[String], answers: Answers) {
        let answers = answers.unwrap_or_else(|error| vec![Err(error); texts.len()]);
        let mut lanes = self.shared.lanes();
        let lane = lanes.get_mut(&self.of).expect("a lane stays while it has a runner");
        let senders: Vec<_> = texts.iter().map(|text| lane.asked.remove(text)).collect();
        // Wakers are somebody else's code.
        drop(lanes);
        let settled: HashSet<_> = texts.iter().collect();
        self.texts.retain(|text| !settled.contains(text));
        for (sender, answer) in senders.into_iter().zip(answers) {
            if let Some(sender) = sender {
                sender.send_replace(Some(answer));
            }
        }
    }
}

/// The runtime has ended: whoever waits for its texts asks again, where it is.
impl Drop for Runner {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let mut lanes = self.shared.lanes();
        let Some(lane) = lanes.get_mut(&self.of) else { return };
        lane.runners -= 1;
        lane.beginning -= usize::from(!self.has_begun);
        let mut senders: Vec<_> = self.texts.iter().filter_map(|text| lane.asked.remove(text)).collect();
        if lane.runners == 0 {
            // Nobody is left to take what waits.
            let lane = lanes.remove(&self.of).map(|mut lane| mem::take(&mut lane.asked));
            senders.extend(lane.into_iter().flatten().map(|(_, sender)| sender));
        }
        drop(lanes);
        drop(senders);
    }
}

fn late() -> EmbedError {
    EmbedError::new(EmbedErrorKind::TimedOut, "no answer in time")
}

fn is_unsuitable(answers: &Answers) -> bool {
    matches!(answers, Err(error) if error.kind() == EmbedErrorKind::Unsuitable)
}
