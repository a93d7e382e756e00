//! Random schedules of calls and faults. What happens in them is judged by the checker alone.
//!
//! A seed repeats a schedule, though not what the machine makes of it: `FLEET_SEED=7` runs one, `FLEET_SEEDS=1000` so many.

use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::events::{Got, Setup, Task, What};
use super::host::Fleet;

const WORKERS: usize = 3;
const KEYS: [&str; 3] = ["a", "b", "c"];
const STEPS: usize = 40;
/// So many schedules run beside each other: most of their time they wait.
const AT_ONCE: u64 = 5;

#[test]
fn random_schedules() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match number("FLEET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FLEET_SEEDS").unwrap_or(20),
    };
    let lanes: Vec<_> = (0..AT_ONCE)
        .map(|lane| {
            let seeds: Vec<_> = seeds.clone().filter(|seed| seed % AT_ONCE == lane).collect();
            thread::spawn(move || seeds.into_iter().for_each(schedule))
        })
        .collect();
    let failed = lanes.into_iter().filter_map(|lane| lane.join().err()).count();
    assert_eq!(failed, 0, "the seeds are above");
}

struct Schedule {
    fleet: Fleet,
    random: Rng,
    setup: Setup,
    /// The numbers of those who work. Whoever is killed has a successor.
    workers: [usize; WORKERS],
    /// Until which step one stands still.
    stopped: [Option<usize>; WORKERS],
    server_stopped: Option<usize>,
}

/// Policies differ from seed to seed, too.
fn setup(seed: u64) -> Setup {
    let setup = Setup { lease: 300, ttl: 1_000, patience: None, ..Setup::default() };
    match seed % 9 {
        1 => Setup { is_current_thread: true, ..setup },
        2 => Setup { wait: Some(120), ..setup },
        3 => Setup { timeout: Some(100), ..setup },
        4 => Setup { stale: Some(2_000), ttl: 200, ..setup },
        5 => Setup { share_errors: Some(false), ..setup },
        6 => Setup { early: Some(2.0), ..setup },
        7 => Setup { lease: 1_000, ttl: 10_000, ..setup },
        8 => Setup { max_concurrent: Some(1), ..setup },
        _ => setup,
    }
}

fn schedule(seed: u64) {
    let setup = setup(seed);
    // One more, to which nothing happens: it sees what the server has.
    let Some(fleet) = Fleet::start(&format!("seed {seed}"), WORKERS + 1, &setup) else { return };
    let (random, workers) = (Rng::with_seed(seed), [0, 1, 2]);
    let mut schedule = Schedule { fleet, random, setup, workers, stopped: [None; WORKERS], server_stopped: None };
    for step in 0..STEPS {
        schedule.wake(step);
        schedule.step(step);
        thread::sleep(Duration::from_millis(schedule.random.u64(0..40)));
    }
    schedule.wake(usize::MAX);
    schedule.end();
}

impl Schedule {
    fn wake(&mut self, step: usize) {
        for at in 0..WORKERS {
            if self.stopped[at].is_some_and(|until| until <= step) {
                self.stopped[at] = None;
                self.fleet.go_on(self.workers[at]);
            }
        }
        if self.server_stopped.is_some_and(|until| until <= step) {
            self.server_stopped = None;
            self.fleet.server().go_on();
        }
    }

    fn step(&mut self, step: usize) {
        let at = self.random.usize(0..WORKERS);
        let worker = self.workers[at];
        let key = KEYS[self.random.usize(0..KEYS.len())];
        let millis = self.random.u64(0..150);
        let task = if self.random.u8(0..5) == 0 { Task::error(millis) } else { Task::value(millis) };
        // A server that stands still cannot be asked from here.
        let can_ask = self.server_stopped.is_none();
        match self.random.u8(0..100) {
            0..35 => _ = self.fleet.call(worker, "whole", key, self.random.usize(1..4), &task),
            35..45 => {
                let function = ["passing", "texts", "sync", "attached", "finishing"][self.random.usize(0..5)];
                self.fleet.call(worker, function, &format!("{function} {key}"), self.random.usize(1..4), &task);
            }
            45..60 => _ = self.fleet.begin_fresh(WORKERS, "whole", key, &task),
            60..68 => _ = self.fleet.begin_invalidating(worker, "whole", key),
            68..72 => _ = self.fleet.refresh(worker, "whole", key, &task),
            72..74 => _ = self.fleet.begin_inserting(worker, "whole", key),
            74..75 => _ = self.fleet.begin_clearing(worker, "whole"),
            75..77 => self.fleet.cancel(worker),
            77..80 => {
                self.fleet.go_on(worker);
                self.stopped[at] = None;
                self.fleet.kill(worker);
                self.workers[at] = self.fleet.spawn(&self.setup);
            }
            80..86 => {
                self.fleet.stop(worker);
                self.stopped[at] = Some(step + self.random.usize(2..25));
            }
            86..88 if can_ask => self.fleet.server_mut().restart(),
            88..91 if can_ask => {
                self.fleet.server().stop();
                self.server_stopped = Some(step + self.random.usize(2..20));
            }
            91..94 if can_ask => {
                let kind = if self.random.bool() { "normal" } else { "pubsub" };
                self.fleet.server().ask(&["CLIENT", "KILL", "TYPE", kind]);
            }
            94..96 if can_ask => _ = self.fleet.server().ask(&["FLUSHALL"]),
            96..98 if can_ask => _ = self.fleet.server().ask(&["SCRIPT", "FLUSH"]),
            98.. if can_ask => {
                for lease in self.fleet.leases() {
                    self.fleet.server().ask(&["DEL", &lease]);
                }
            }
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
            // A call is counted when it ends.
            fleet.all_end(worker);
            let stats = fleet.stats(worker, "whole");
            stats.add_up();
            let calls = fleet.events().iter().filter(|event| event.process == worker && is_call(&event.what)).count();
            assert_eq!(
                (stats.of("requests"), stats.of("in_flight")),
                (calls as u64, 0),
                "worker {worker}: {}\n{}",
                *stats,
                fleet.story(),
            );
        }
        fleet.dismiss();
    }
}

fn is_call(what: &What) -> bool {
    matches!(what, What::Begins { function, is_fresh: false, is_refresh: false, .. } if function == "whole")
}
