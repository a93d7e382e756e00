//! Many threads that ask, leave, take out, put in and renew at once: what was taken out comes back to nobody who asks after that.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use stampede_runtime::semantic::at_least;
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Invalidation, Settings, outcome, semantic_coalesce};
use tokio::task::yield_now;

use super::help::{all, in_time};
use super::parts::Parts;
use super::process::HOUR;

/// 10 degrees apart: each is near to those around it.
const QUESTIONS: usize = 6;
const STEPS: usize = 1_500;

#[derive(Default)]
struct Truth {
    version: AtomicU64,
    /// The version that each question was last taken out at.
    taken_out: [AtomicU64; QUESTIONS],
    /// What is put in is as new as it says.
    one_at_a_time: Mutex<()>,
}

/// The version at which it began. Neither memory nor the index has room for all.
#[semantic_coalesce(namespace = "threads", guard = none, capacity = 5, skip(truth))]
async fn ask(question: &str, truth: Arc<Truth>) -> u64 {
    let _ = question;
    let version = truth.version.load(SeqCst);
    turns(6).await;
    version
}

/// In one of two spellings, each of which has a key of its own.
fn text(question: usize) -> String {
    format!("@{}{}asked", question * 10, [" ", "  "][fastrand::usize(..2)])
}

async fn turns(most: usize) {
    for _ in 0..fastrand::usize(..most) {
        yield_now().await;
    }
}

impl Truth {
    async fn ask(self: &Arc<Truth>, question: usize) {
        let taken_out = self.taken_out[question].load(SeqCst);
        let text = text(question);
        let call = outcome(ask(&text, Arc::clone(self)));
        let (version, became) = match fastrand::u8(..8) {
            0 => tokio::select! {
                answer = call => answer,
                () = turns(8) => return,
            },
            1 | 2 => at_least(0.99, call).await,
            _ => call.await,
        };
        assert!(version >= taken_out, "{text}: {version} is older than {taken_out}: {became:?}");
    }

    fn change(&self, question: usize, what: u8) -> Option<Invalidation> {
        let _one = self.one_at_a_time.lock().unwrap();
        let version = self.version.fetch_add(1, SeqCst) + 1;
        match what {
            0 => {
                let cleared = ask::clear();
                self.taken_out.iter().for_each(|taken_out| taken_out.store(version, SeqCst));
                Some(cleared)
            }
            1 | 2 => {
                ask::insert(&text(question), version);
                None
            }
            _ => {
                let invalidated = ask::invalidate(&text(question));
                self.taken_out[question].store(version, SeqCst);
                Some(invalidated)
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_taken_out_comes_back_to_nobody() {
    let parts = Parts::new();
    let settings = Settings::new().backend_timeout(HOUR).embed_timeout(HOUR);
    let _isolated = isolate_with(parts.config().defaults(settings).build().unwrap());
    in_time(async {
        let truth = Arc::<Truth>::default();
        let asks = (0..9).map(|_| {
            let truth = Arc::clone(&truth);
            tokio::spawn(async move {
                for _ in 0..STEPS {
                    yield_now().await;
                    truth.ask(fastrand::usize(..QUESTIONS)).await;
                }
            })
        });
        let asks: Vec<_> = asks.collect();
        let changes = (0..3).map(|_| {
            let truth = Arc::clone(&truth);
            tokio::spawn(async move {
                for _ in 0..STEPS / 10 {
                    turns(40).await;
                    let (question, what) = (fastrand::usize(..QUESTIONS), fastrand::u8(..10));
                    if what == 9 {
                        ask::refresh(&text(question), Arc::clone(&truth)).await;
                    } else if let Some(done) = truth.change(question, what)
                        && fastrand::bool()
                    {
                        done.await.unwrap();
                    }
                }
            })
        });
        let changes: Vec<_> = changes.collect();
        all(asks).await;
        all(changes).await;
    })
    .await;
}
