//! The same on a cluster: random schedules of calls and faults, where nodes hang and die and slots move. What happens in them
//! is judged by the checker alone. `FLEET_SEED=7` repeats a schedule, `FLEET_SEEDS=100` runs so many.

use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::events::{Got, Setup, Task};
use super::host::Fleet;
use super::server::shares_again;
use crate::redis_cluster::{REPLICA, RedisCluster};

const WORKERS: usize = 3;
const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const STEPS: usize = 60;

#[test]
fn random_schedules_on_a_cluster() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match number("FLEET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FLEET_SEEDS").unwrap_or(6),
    };
    let lanes = [0, 1].map(|lane| {
        let seeds: Vec<u64> = seeds.clone().filter(|seed| seed % 2 == lane).collect();
        thread::spawn(move || seeds.into_iter().for_each(schedule))
    });
    let failed = lanes.into_iter().filter_map(|lane| lane.join().err()).count();
    assert_eq!(failed, 0, "the seeds are above");
}

struct Schedule {
    fleet: Fleet,
    cluster: RedisCluster,
    random: Rng,
    setup: Setup,
    /// The numbers of those who work. Whoever is killed has a successor.
    workers: [usize; WORKERS],
    /// Until which step one stands still.
    stopped: [Option<usize>; WORKERS],
    /// A node that stands still or is dead, and until when.
    sick: Option<(usize, bool, usize)>,
    /// A slot on its way, from where, to where, and until when.
    moving: Option<(u16, usize, usize, usize)>,
}

fn schedule(seed: u64) {
    let name = format!("cluster, seed {seed}");
    let Some(cluster) = RedisCluster::start(&name) else { return };
    let setup = Setup { lease: 300, ttl: 1_000, patience: None, url: Some(cluster.url()), ..Setup::default() };
    // One more, to which nothing happens: it sees what the cluster has.
    let fleet = Fleet::of(&name, None, WORKERS + 1, &setup);
    let (random, workers) = (Rng::with_seed(seed), [0, 1, 2]);
    let mut schedule =
        Schedule { fleet, cluster, random, setup, workers, stopped: [None; WORKERS], sick: None, moving: None };
    for step in 0..STEPS {
        schedule.wake(step);
        schedule.step(step);
        thread::sleep(Duration::from_millis(schedule.random.u64(0..40)));
    }
    schedule.wake(usize::MAX);
    schedule.end();
}

impl Schedule {
    /// Ends what is over at a step.
    fn wake(&mut self, step: usize) {
        for at in 0..WORKERS {
            if self.stopped[at].is_some_and(|until| until <= step) {
                self.stopped[at] = None;
                self.fleet.go_on(self.workers[at]);
            }
        }
        if let Some((node, is_dead, until)) = self.sick
            && until <= step
        {
            self.sick = None;
            if is_dead {
                self.cluster.nodes[node].restart();
            } else {
                self.cluster.nodes[node].go_on();
            }
            self.cluster.is_whole();
        }
        if let Some((slot, from, to, until)) = self.moving
            && until <= step
        {
            self.moving = None;
            self.cluster.move_keys(slot, from, to);
            self.cluster.end_moving(slot, from, to);
        }
    }

    fn step(&mut self, step: usize) {
        let at = self.random.usize(0..WORKERS);
        let worker = self.workers[at];
        let key = KEYS[self.random.usize(0..KEYS.len())];
        let millis = self.random.u64(0..150);
        let task = if self.random.u8(0..5) == 0 { Task::error(millis) } else { Task::value(millis) };
        let is_well = self.sick.is_none() && self.moving.is_none();
        let (node, soon) = (self.random.usize(0..3), step + self.random.usize(2..20));
        match self.random.u8(0..100) {
            0..45 => _ = self.fleet.call(worker, "whole", key, self.random.usize(1..4), &task),
            45..60 => _ = self.fleet.begin_fresh(WORKERS, "whole", key, &task),
            60..68 => _ = self.fleet.begin_invalidating(worker, "whole", key),
            68..71 => _ = self.fleet.refresh(worker, "whole", key, &task),
            71..72 => _ = self.fleet.begin_clearing(worker, "whole"),
            72..75 => {
                self.fleet.go_on(worker);
                self.stopped[at] = None;
                self.fleet.kill(worker);
                self.workers[at] = self.fleet.spawn(&self.setup);
            }
            75..79 => {
                self.fleet.stop(worker);
                self.stopped[at] = Some(soon);
            }
            79..84 if is_well => {
                self.cluster.nodes[node].stop();
                self.sick = Some((node, false, soon));
            }
            84..88 if is_well => {
                self.cluster.nodes[node].kill();
                self.sick = Some((node, true, soon));
            }
            88..96 if is_well => {
                let keys = self.cluster.nodes[node].ask(&["KEYS", "*"]);
                let keys: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
                if !keys.is_empty() {
                    let slot = self.cluster.slot(keys[self.random.usize(0..keys.len())]);
                    let to = (node + self.random.usize(1..3)) % 3;
                    let from = self.cluster.begin_moving(slot, to);
                    self.moving = Some((slot, from, to, step + self.random.usize(0..4)));
                }
            }
            96..98 if is_well => {
                let kind = if self.random.bool() { "normal" } else { "pubsub" };
                self.cluster.nodes[node].ask(&["CLIENT", "KILL", "TYPE", kind]);
            }
            98..99 if is_well => _ = self.cluster.nodes[node].ask(&["FLUSHALL"]),
            99.. if is_well => _ = self.cluster.nodes[node].ask(&["SCRIPT", "FLUSH"]),
            _ => (),
        }
    }

    /// All is well again: then what one call without memory got, the next one gets too.
    fn end(self) {
        let fleet = self.fleet;
        fleet.ready();
        for key in KEYS {
            fleet.again_until("a value is kept", || {
                let [first, second] = [(); 2].map(|()| fleet.fresh(WORKERS, "whole", key, &Task::value(0)));
                matches!(first, Got::Value(_)) && first == second
            });
        }
        for worker in self.workers {
            fleet.all_end(worker);
            fleet.stats(worker, "whole").add_up();
        }
        fleet.dismiss();
    }
}

#[test]
fn a_key_on_a_healthy_node_is_shared_while_another_node_hangs() {
    let Some(cluster) = RedisCluster::start("a key on a healthy node") else { return };
    let setup = Setup { patience: None, url: Some(cluster.url()), ..Setup::default() };
    let fleet = Fleet::of("a key on a healthy node", None, 3, &setup);
    let keys: Vec<String> = (0..12).map(|key| format!("k{key}")).collect();
    for key in &keys {
        let _ = fleet.got_all(fleet.call(0, "whole", key, 1, &Task::value(0)));
    }
    let kept: Vec<usize> = cluster.nodes.iter().map(|node| node.ask(&["KEYS", "*}"]).lines().count()).collect();
    assert_eq!(kept.iter().sum::<usize>(), keys.len());
    let sick = 0;
    cluster.nodes[sick].stop();
    for key in &keys {
        // Those of the other nodes are found, by processes that have not asked for them before.
        for worker in [1, 2] {
            let got = fleet.got_all(fleet.call(worker, "whole", key, 20, &Task::value(0)));
            assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
        }
    }
    let again: usize = keys.iter().map(|key| fleet.executions(key) - 1).sum();
    // Each of the two processes executes what it cannot ask for, and nothing else.
    assert_eq!(again, 2 * kept[sick], "{}", fleet.story());
    cluster.nodes[sick].go_on();
    fleet.dismiss();
}

/// Executes keys, and says on which node each is.
fn owners_of(fleet: &Fleet, cluster: &RedisCluster, keys: &[String]) -> Vec<usize> {
    let kept = || -> Vec<String> { (0..3).map(|node| cluster.nodes[node].ask(&["KEYS", "*}"])).collect() };
    let owner = |key: &String| {
        let before = kept();
        let _ = fleet.got_all(fleet.call(0, "whole", key, 1, &Task::value(0)));
        let mut owner = None;
        // It is written behind the caller.
        RedisCluster::until("it is kept", || {
            owner = before.iter().zip(kept()).position(|(before, after)| *before != after);
            owner.is_some()
        });
        owner
    };
    keys.iter().filter_map(owner).collect()
}

#[test]
fn a_replica_that_takes_over_is_found_by_every_process() {
    let name = "a replica that takes over";
    let Some(mut cluster) = RedisCluster::start_replicated(name) else { return };
    let setup = Setup { url: Some(cluster.url()), ..Setup::default() };
    let fleet = Fleet::of(name, None, 3, &setup);
    let keys: Vec<String> = (0..12).map(|key| format!("k{key}")).collect();
    let owners = owners_of(&fleet, &cluster, &keys);
    cluster.is_replicated(0, REPLICA);
    let ask = || {
        for (key, worker) in keys.iter().flat_map(|key| [(key, 0), (key, 1), (key, 2)]) {
            let got = fleet.fresh(worker, "whole", key, &Task::value(0));
            assert!(matches!(got, Got::Value(_)), "{got:?}");
        }
        keys.iter().map(|key| fleet.executions(key)).collect::<Vec<_>>()
    };
    cluster.nodes[0].kill();
    let mut rounds = 0;
    RedisCluster::until("the replica takes over", || {
        rounds += 1;
        let executions = ask();
        // Each process executes once what it cannot ask for, and nothing else.
        for (of_key, owner) in executions.iter().zip(&owners) {
            assert!(*of_key <= if *owner == 0 { 1 + 3 * rounds } else { 1 }, "{executions:?}\n{}", fleet.story());
        }
        cluster.is_master(REPLICA)
    });
    let begun = Instant::now();
    // What the master had told it, it has.
    fleet.again_until("nothing is executed any more", || ask() == ask());
    fleet.note(format_args!("{rounds} rounds alone; found again {:.0?} after the replica took over", begun.elapsed()));
    shares_again(&fleet);

    cluster.nodes[0].restart();
    cluster.is_whole();
    let before: usize = ask().iter().sum();
    // Back again, on request.
    let (mut asked, mut executed) = (0, 0);
    thread::scope(|scope| {
        let failover = scope.spawn(|| cluster.fail_over(REPLICA, 0));
        while !failover.is_finished() {
            asked += 1;
            let key = format!("meanwhile {asked}");
            let got = fleet.got_all(fleet.call_all("whole", &key, 2, &Task::value(0)));
            assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
            executed += fleet.executions(&key);
        }
    });
    assert!(executed <= 3 * asked);
    fleet.note(format_args!("{executed} executions of {asked} keys while a replica took over on request"));
    fleet.again_until("nothing is executed any more", || ask() == ask());
    let again = ask().iter().sum::<usize>() - before;
    fleet.note(format_args!("{again} executions of what was there before"));
    shares_again(&fleet);
    fleet.dismiss();
}
