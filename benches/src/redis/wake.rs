//! A wake-up: from the end of the leader's body to the moment when the last waiter of all *other* processes has the value.
//! So the commit is in it, and what each process does with a value. Answered: a few round trips, not a polling interval.
//!
//! The floor is one pipeline of `SET` and `PUBLISH`, and in each process one task that hears of it, says `GET` and wakes the
//! others. Polling is the same with a `GET` every 100 ms in the place of messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{PushInfo, PushKind, Value, cmd, pipe};
use serde::{Deserialize, Serialize};
use stampede_runtime::distributed_coalesce;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc::UnboundedSender, watch};

use super::child::{Ask, Child, Said, connection, stamp};
use crate::measure::{Effort, quantile};
use crate::report::{Row, Section};

const POLL: Duration = Duration::from_millis(100);
/// Between the last waiter that waits and the end of the body: every lease is asked for and every message subscribed to.
const SETTLED: Duration = Duration::from_millis(4);
const CHANNEL: &str = "bench:news";

/// How the others hear of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Way {
    Floor,
    Ours,
    Polling,
}

const WAYS: [(Way, &str); 3] = [
    (Way::Floor, "raw SET + PUBLISH, message, GET"),
    (Way::Ours, "stampede #[distributed_coalesce]"),
    (Way::Polling, "GET every 100 ms"),
];

/// How many processes wait, and how many callers in each.
const SCENES: [(usize, usize); 4] = [(1, 1), (1, 250), (3, 1), (3, 250)];

pub(super) fn measure(url: &str, effort: &Effort) -> Vec<Section> {
    let mut children: Vec<Child> = (0..4).map(|_| Child::start(url)).collect();
    let mut rounds = 1..;
    SCENES.map(|(processes, waiters)| scene(&mut children[..=processes], waiters, &mut rounds, effort)).into()
}

fn scene(children: &mut [Child], waiters: usize, rounds: &mut impl Iterator<Item = u64>, effort: &Effort) -> Section {
    let mut samples = WAYS.map(|_| Vec::new());
    // One round of each that is not counted.
    for at in 0..=effort.of(200, 20) {
        for ((way, _), samples) in WAYS.iter().zip(&mut samples) {
            let micros = round(children, *way, waiters, rounds.next().expect("they do not end"));
            if at > 0 {
                samples.push(micros);
            }
        }
    }
    let floors = [0.5, 0.99].map(|share| quantile(&samples[0], |micros| *micros, share));
    let rows = WAYS.iter().zip(&samples).map(|((way, name), samples)| {
        let at = |share| quantile(samples, |micros| *micros, share);
        let ratio = at(0.99) / floors[1];
        let mut row = Row::new(name, [at(0.5), at(0.99), at(1.0), at(0.5) / floors[0], ratio]);
        if *way == Way::Ours {
            row.goal("p99 ≤ 2 floors", ratio <= 2.0);
        }
        row
    });
    Section {
        name: "redis",
        title: format!("wake-up of {waiters} in each of {} more processes", children.len() - 1),
        columns: vec!["p50 us", "p99 us", "max us", "x floor", "x floor p99"],
        rows: rows.collect(),
    }
}

/// Microseconds from the end of the body to the last value.
fn round(children: &mut [Child], way: Way, waiters: usize, round: u64) -> f64 {
    let (leader, others) = children.split_first_mut().expect("there are some");
    leader.tell(&Ask::Lead { way, round });
    assert!(matches!(leader.hear(), Said::Leading));
    for child in &mut *others {
        child.tell(&Ask::Wait { way, round, waiters });
    }
    for child in &mut *others {
        assert!(matches!(child.hear(), Said::Waiting));
    }
    std::thread::sleep(SETTLED);
    leader.tell(&Ask::End);
    let Said::Ended(ended) = leader.hear() else { panic!("it was told to end") };
    let woken = others.iter_mut().map(|child| match child.hear() {
        Said::Woken(at) => at,
        said => panic!("it waits, and says {said:?}"),
    });
    woken.max().expect("there are some").saturating_sub(ended) as f64 / 1e3
}

#[distributed_coalesce(namespace = "bench-wake", ttl = "1m")]
async fn news(round: u64) -> u64 {
    EXECUTIONS.fetch_add(1, SeqCst);
    if IS_HELD.load(SeqCst) {
        LEADS.notify_one();
        END.notified().await;
    } else {
        tokio::time::sleep(crate::body::PAUSE).await;
    }
    ENDED.store(stamp(), SeqCst);
    round
}

static EXECUTIONS: AtomicU64 = AtomicU64::new(0);
/// Whether a body waits for its end to be told.
static IS_HELD: AtomicBool = AtomicBool::new(false);
static LEADS: Notify = Notify::const_new();
static END: Notify = Notify::const_new();
static ENDED: AtomicU64 = AtomicU64::new(0);

/// What a child does in rounds, ours and by hand.
pub(super) struct Player {
    shared: Arc<Shared>,
}

struct Shared {
    connection: MultiplexedConnection,
    /// The newest round that was heard of.
    heard: watch::Receiver<u64>,
    say: UnboundedSender<Said>,
}

impl Player {
    pub(super) async fn new(url: String, say: UnboundedSender<Said>) -> Player {
        let (hear, heard) = watch::channel(0);
        // Where ours has its driver, too: on a thread of its own.
        let driver = super::hit::driver();
        let made = driver.spawn(async move {
            let mut connection = connection(&url, move |push| {
                if let Some(round) = round_of(&push) {
                    hear.send_replace(round);
                }
            })
            .await?;
            connection.subscribe(CHANNEL).await?;
            Ok::<_, ::redis::RedisError>(connection)
        });
        let connection = made.await.expect("no panic").expect("the bench's own server");
        Player { shared: Arc::new(Shared { connection, heard, say }) }
    }

    /// Begins with what is asked, and says what comes of it when it does.
    pub(super) fn play(&self, runtime: &Runtime, ask: &Ask) {
        let shared = Arc::clone(&self.shared);
        match *ask {
            Ask::Lead { way, round } => drop(runtime.spawn(async move { shared.lead(way, round).await })),
            Ask::End => END.notify_one(),
            Ask::Wait { way, round, waiters } => {
                drop(runtime.spawn(async move { shared.wait(way, round, waiters).await }));
            }
            Ask::Call { way, round, callers } => {
                drop(runtime.spawn(async move { shared.call(way, round, callers).await }));
            }
            Ask::Hits { .. } | Ask::Misses { .. } => unreachable!("those are measured elsewhere"),
        }
    }
}

fn round_of(push: &PushInfo) -> Option<u64> {
    match (&push.kind, push.data.get(1)) {
        (PushKind::Message, Some(Value::BulkString(round))) => str::from_utf8(round).ok()?.parse().ok(),
        _ => None,
    }
}

impl Shared {
    fn say(&self, said: Said) {
        self.say.send(said).expect("somebody listens");
    }

    async fn lead(&self, way: Way, round: u64) {
        if way == Way::Ours {
            IS_HELD.store(true, SeqCst);
            let leader = tokio::spawn(news(round));
            LEADS.notified().await;
            self.say(Said::Leading);
            assert_eq!(leader.await.expect("no panic"), round);
            IS_HELD.store(false, SeqCst);
            self.say(Said::Ended(ENDED.load(SeqCst)));
        } else {
            self.say(Said::Leading);
            END.notified().await;
            let ended = stamp();
            commit(self.connection.clone(), way, round).await;
            self.say(Said::Ended(ended));
        }
    }

    async fn wait(&self, way: Way, round: u64, waiters: usize) {
        let (has_fetched, fetched) = watch::channel(false);
        let waited = news::stats().lock_waited;
        let tasks: Vec<_> = (0..waiters)
            .map(|number| {
                let (mut fetched, has_fetched) = (fetched.clone(), has_fetched.clone());
                let (connection, heard) = (self.connection.clone(), self.heard.clone());
                tokio::spawn(async move {
                    match (way, number) {
                        (Way::Ours, _) => assert_eq!(news(round).await, round),
                        // One looks for all.
                        (_, 0) => {
                            fetch(connection, heard, way, round).await;
                            has_fetched.send_replace(true);
                        }
                        _ => _ = fetched.wait_for(|is| *is).await.expect("somebody looks"),
                    }
                    stamp()
                })
            })
            .collect();
        if way == Way::Ours {
            while news::stats().lock_waited == waited {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
        self.say(Said::Waiting);
        self.say(Said::Woken(last(tasks).await));
    }

    /// A crowd of callers who are all there at once.
    async fn call(&self, way: Way, round: u64, callers: usize) {
        let before = EXECUTIONS.load(SeqCst);
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let by_hand = (way != Way::Ours).then(|| (self.connection.clone(), self.heard.clone()));
                tokio::spawn(async move {
                    match by_hand {
                        None => assert_eq!(news(round).await, round),
                        Some((connection, heard)) => by_itself(connection, heard, round).await,
                    }
                    stamp()
                })
            })
            .collect();
        let last = last(tasks).await;
        self.say(Said::Answered { executions: EXECUTIONS.load(SeqCst) - before, last });
    }
}

/// The time when the last task ended.
async fn last(tasks: Vec<tokio::task::JoinHandle<u64>>) -> u64 {
    let mut last = 0;
    for task in tasks {
        last = last.max(task.await.expect("no panic"));
    }
    last
}

/// Waits for the value of a round by hand.
async fn fetch(mut connection: MultiplexedConnection, mut heard: watch::Receiver<u64>, way: Way, round: u64) {
    if way == Way::Polling {
        // Nobody begins to wait in step with the others.
        tokio::time::sleep(POLL.mul_f64(fastrand::f64())).await;
    } else {
        heard.wait_for(|heard| *heard >= round).await.expect("the driver lives");
    }
    loop {
        let value: Option<u64> =
            cmd("GET").arg(key(round)).query_async(&mut connection).await.expect("the bench's own server");
        match value {
            Some(value) => return assert_eq!(value, round),
            None => tokio::time::sleep(POLL).await,
        }
    }
}

/// One caller that asks for the lease for itself: the first makes the value, all others hear of it.
async fn by_itself(mut connection: MultiplexedConnection, heard: watch::Receiver<u64>, round: u64) {
    let mut lease = cmd("SET");
    lease.arg(format!("{}:lease", key(round))).arg(1).arg("NX").arg("PX").arg(5_000);
    let is_first: bool = lease.query_async(&mut connection).await.expect("the bench's own server");
    if !is_first {
        return fetch(connection, heard, Way::Floor, round).await;
    }
    EXECUTIONS.fetch_add(1, SeqCst);
    tokio::time::sleep(crate::body::PAUSE).await;
    commit(connection, Way::Floor, round).await;
}

/// Stores the value of a round by hand, and says so unless everybody looks by itself.
async fn commit(mut connection: MultiplexedConnection, way: Way, round: u64) {
    let mut commit = pipe();
    commit.cmd("SET").arg(key(round)).arg(round).arg("PX").arg(60_000).ignore();
    if way == Way::Floor {
        commit.cmd("PUBLISH").arg(CHANNEL).arg(round).ignore();
    }
    let () = commit.query_async(&mut connection).await.expect("the bench's own server");
}

fn key(round: u64) -> String {
    format!("bench:{{{round}}}")
}
