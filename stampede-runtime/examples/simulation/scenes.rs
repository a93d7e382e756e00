//! What happens to a fleet.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, sleep_until};

use super::fleet::{Fleet, Node, executions, fail, value};
use super::report::Row;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// Everybody asks for a value that takes two seconds. Delay: from the end of the body until a process has it.
    HotKey,
    /// The same with a body that fails, after which everybody has the error.
    Failure,
    /// A body of half a minute whose process dies. Delay: from its death until another body begins.
    LeaderKilled,
    /// The server dies while everybody waits, and is back a second later, empty. Delay: from its death until a process has
    /// a value.
    ServerRestarted,
    /// Each process asks for twenty of a thousand keys. Delay: of one call.
    ThousandKeys,
    /// Three minutes in which each process asks once a second, and the value expires each minute. Delay: of one call.
    Expiries,
}

pub(crate) const ALL: [Scene; 6] =
    [Scene::HotKey, Scene::Failure, Scene::LeaderKilled, Scene::ServerRestarted, Scene::ThousandKeys, Scene::Expiries];

impl Scene {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Scene::HotKey => "hot key",
            Scene::Failure => "the body fails",
            Scene::LeaderKilled => "leader killed",
            Scene::ServerRestarted => "server restarted",
            Scene::ThousandKeys => "1,000 keys",
            Scene::Expiries => "expires each minute",
        }
    }
}

/// Who asks does so within this time of the others.
const CROWD: Duration = Duration::from_millis(100);
/// Everybody has asked, and nobody has an answer.
const WAITING: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(1_900));
const BODY: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(30);

/// What one run has shown.
#[derive(Default)]
struct Seen {
    delays: Vec<Duration>,
    /// When everybody waits.
    waiting: (Duration, Duration),
    /// From when on it is looked for the busiest moment.
    busy: Duration,
}

/// Plays a scene with each seed.
pub(crate) fn play(scene: Scene, nodes: usize, seeds: u64) -> Row {
    let mut row = Row {
        scene: scene.name(),
        nodes,
        seeds,
        executions: 0.0,
        takeovers: 0.0,
        delays: Vec::new(),
        peak: 0,
        waiting: 0.0,
        commands: 0.0,
    };
    for seed in 0..seeds {
        fastrand::seed(seed);
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let fleet = Fleet::new(nodes, if scene == Scene::LeaderKilled { LONG } else { BODY });
            let seen = match scene {
                Scene::HotKey => hot_key(&fleet).await,
                Scene::Failure => {
                    fail();
                    hot_key(&fleet).await
                }
                Scene::LeaderKilled => leader_killed(&fleet).await,
                Scene::ServerRestarted => server_restarted(&fleet).await,
                Scene::ThousandKeys => thousand_keys(&fleet).await,
                Scene::Expiries => expiries(&fleet).await,
            };
            // For what is still to be counted.
            sleep(Duration::from_millis(200)).await;
            let part = 1.0 / seeds as f64;
            row.executions += executions().len() as f64 * part;
            row.takeovers += fleet.sum(|stats| stats.lock_taken_over) as f64 * part;
            row.delays.extend(seen.delays);
            row.peak = row.peak.max(fleet.peak(seen.busy));
            row.waiting += fleet.rate(seen.waiting) * part;
            row.commands += fleet.server.commands() as f64 * part;
        });
    }
    row
}

/// Everybody asks for a key, about at once. When each has an answer.
async fn ask(fleet: &Fleet) -> Vec<Instant> {
    fleet
        .each(|node| async move {
            sleep(CROWD.mul_f64(fastrand::f64())).await;
            let _ = node.host.run(value(1)).await;
            Instant::now()
        })
        .await
}

async fn hot_key(fleet: &Fleet) -> Seen {
    let answered = ask(fleet).await;
    let ended = executions()[0] + BODY;
    let delays = answered.into_iter().map(|at| at.saturating_duration_since(ended)).collect();
    Seen { delays, waiting: WAITING, busy: WAITING.1 }
}

async fn leader_killed(fleet: &Fleet) -> Seen {
    let kill = async {
        sleep(Duration::from_secs(2) + Duration::from_secs(15).mul_f64(fastrand::f64())).await;
        fleet.leader().expect("somebody leads").client.cut();
        Instant::now()
    };
    let (_, killed) = tokio::join!(ask(fleet), kill);
    let next = executions().into_iter().find(|begun| *begun > killed).expect("another begins");
    Seen { delays: vec![next - killed], waiting: WAITING, busy: killed - fleet.since }
}

async fn server_restarted(fleet: &Fleet) -> Seen {
    let restart = async {
        sleep(Duration::from_secs(1)).await;
        fleet.server.stop();
        let died = Instant::now();
        sleep(Duration::from_secs(1)).await;
        fleet.server.forget();
        fleet.server.start();
        died
    };
    let (answered, died) = tokio::join!(ask(fleet), restart);
    let delays = answered.into_iter().map(|at| at - died).collect();
    // Those who come back.
    sleep(Duration::from_secs(3)).await;
    let second = Duration::from_secs(1);
    Seen { delays, waiting: (second / 2, second), busy: second }
}

async fn thousand_keys(fleet: &Fleet) -> Seen {
    let calls = |node: Arc<Node>| async move {
        sleep(CROWD.mul_f64(fastrand::f64())).await;
        let one = || {
            let node = Arc::clone(&node);
            let key = fastrand::u32(..1_000);
            tokio::spawn(async move {
                let begun = Instant::now();
                let _ = node.host.run(value(key)).await;
                begun.elapsed()
            })
        };
        let calls: Vec<_> = (0..20).map(|_| one()).collect();
        let mut delays = Vec::new();
        for call in calls {
            delays.push(call.await.expect("nobody panics"));
        }
        delays
    };
    let delays = fleet.each(calls).await.into_iter().flatten().collect();
    Seen { delays, waiting: WAITING, busy: WAITING.1 }
}

async fn expiries(fleet: &Fleet) -> Seen {
    const MINUTES: u32 = 3;
    let end = fleet.since + Duration::from_secs(60) * MINUTES;
    let calls = |node: Arc<Node>| async move {
        let mut slowest = Vec::new();
        let mut next = Instant::now() + Duration::from_secs(1).mul_f64(fastrand::f64());
        while next < end {
            sleep_until(next).await;
            let begun = Instant::now();
            let _ = node.host.run(value(1)).await;
            slowest.push(begun.elapsed());
            next = (next + Duration::from_secs(1)).max(Instant::now());
        }
        slowest
    };
    let delays = fleet.each(calls).await.into_iter().flatten().collect();
    Seen { delays, waiting: (Duration::from_secs(1), WAITING.1), busy: 10 * BODY }
}
