//! Random schedules of calls and faults, of questions at several angles. What happens in them is judged by the checker alone.
//!
//! `FLEET_SEED` and `FLEET_SEEDS` as for those of [`super::random`].

use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::events::{Got, Setup, Task, What};
use super::host::Fleet;
use super::meaning::{Servers, make_schema};
use crate::postgres_server::PostgresServer;
use crate::redis_server::RedisServer;

const WORKERS: usize = 3;
/// Each is near to the one before and the one after it, of its own tenant.
const QUESTIONS: [&str; 6] = ["@0 a", "@15 b", "@30 c", "@80 d", "t/@0 a", "t/@15 b"];
const STEPS: usize = 40;
/// So many schedules run beside each other: most of their time they wait.
const AT_ONCE: u64 = 3;

#[test]
fn random_schedules_of_meanings() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match number("FLEET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FLEET_SEEDS").unwrap_or(6),
    };
    let lanes: Vec<_> = (0..AT_ONCE)
        .map(|lane| {
            let seeds: Vec<_> = seeds.clone().filter(|seed| seed % AT_ONCE == lane).collect();
            thread::spawn(move || {
                // To make one takes longer than a schedule.
                let mut postgres = if seeds.is_empty() { None } else { PostgresServer::start("random meanings") };
                for seed in seeds {
                    postgres = schedule(seed, postgres);
                }
            })
        })
        .collect();
    let failed = lanes.into_iter().filter_map(|lane| lane.join().err()).count();
    assert_eq!(failed, 0, "the seeds are above");
}

struct Schedule {
    fleet: Fleet,
    postgres: PostgresServer,
    database: String,
    servers: Servers,
    random: Rng,
    setup: Setup,
    /// The numbers of those who work. Whoever is killed has a successor.
    workers: [usize; WORKERS],
    /// Until which step one stands still.
    stopped: [Option<usize>; WORKERS],
    redis_stopped: Option<usize>,
    postgres_stopped: Option<usize>,
}

/// Policies differ from seed to seed, and so do servers.
fn setup(seed: u64) -> (Setup, Servers) {
    let setup = Setup { lease: 300, ttl: 1_000, patience: None, ..Setup::default() };
    let setup = match seed % 7 {
        1 => Setup { is_current_thread: true, ..setup },
        2 => Setup { ttl: 10_000, ..setup },
        3 => Setup { timeout: Some(100), ..setup },
        4 => Setup { stale: Some(2_000), ttl: 200, ..setup },
        5 => Setup { lease: 1_000, ttl: 10_000, ..setup },
        6 => Setup { max_concurrent: Some(1), ..setup },
        _ => setup,
    };
    (setup, if seed % 3 == 2 { Servers::Postgres } else { Servers::Both })
}

/// Gives the server back, for the next one.
fn schedule(seed: u64, postgres: Option<PostgresServer>) -> Option<PostgresServer> {
    let name = format!("meanings, seed {seed}");
    let (setup, servers) = setup(seed);
    let (postgres, database) = (postgres?, format!("seed_{seed}"));
    postgres.ask("postgres", &format!("CREATE DATABASE {database}"));
    let url = postgres.url_of("postgres", &database);
    make_schema(&url);
    let setup = Setup { postgres: Some(url), ..setup };
    let redis = if servers.has_redis() { Some(RedisServer::start(&name)?) } else { None };
    // One more, to which nothing happens: it sees what the servers have.
    let fleet = Fleet::of(&name, redis, WORKERS + 1, &setup);
    let mut schedule = Schedule {
        fleet,
        postgres,
        database,
        servers,
        random: Rng::with_seed(seed),
        setup,
        workers: [0, 1, 2],
        stopped: [None; WORKERS],
        redis_stopped: None,
        postgres_stopped: None,
    };
    for step in 0..STEPS {
        schedule.wake(step);
        schedule.step(step);
        thread::sleep(Duration::from_millis(schedule.random.u64(0..40)));
    }
    schedule.wake(usize::MAX);
    Some(schedule.end())
}

impl Schedule {
    fn wake(&mut self, step: usize) {
        let is_over = |until: &mut Option<usize>| until.take_if(|until| *until <= step).is_some();
        for at in 0..WORKERS {
            if is_over(&mut self.stopped[at]) {
                self.fleet.go_on(self.workers[at]);
            }
        }
        if is_over(&mut self.redis_stopped) {
            self.fleet.server().go_on();
        }
        if is_over(&mut self.postgres_stopped) {
            self.postgres.go_on();
        }
    }

    fn step(&mut self, step: usize) {
        let at = self.random.usize(0..WORKERS);
        let worker = self.workers[at];
        let question = QUESTIONS[self.random.usize(0..QUESTIONS.len())];
        let millis = self.random.u64(0..150);
        let task = if self.random.u8(0..6) == 0 { Task::error(millis) } else { Task::value(millis) };
        // Servers that stand still cannot be asked from here.
        let redis = self.servers.has_redis() && self.redis_stopped.is_none();
        let postgres = self.postgres_stopped.is_none();
        match self.random.u8(0..100) {
            0..38 => _ = self.fleet.call(worker, "meaning", question, self.random.usize(1..4), &task),
            38..56 => _ = self.fleet.begin_fresh(WORKERS, "meaning", question, &task),
            56..68 => _ = self.fleet.begin_invalidating(worker, "meaning", question),
            68..71 => _ = self.fleet.refresh(worker, "meaning", question, &task),
            71..73 => _ = self.fleet.begin_inserting(worker, "meaning", question),
            73..75 => _ = self.fleet.begin_clearing(worker, "meaning"),
            75..77 => self.fleet.cancel(worker),
            77..80 => {
                self.fleet.go_on(worker);
                self.stopped[at] = None;
                self.fleet.kill(worker);
                self.workers[at] = self.fleet.spawn(&self.setup);
            }
            80..85 => {
                self.fleet.stop(worker);
                self.stopped[at] = Some(step + self.random.usize(2..25));
            }
            85..87 if redis => self.fleet.server_mut().restart(),
            87..89 if redis => {
                self.fleet.server().stop();
                self.redis_stopped = Some(step + self.random.usize(2..20));
            }
            89..91 if redis => _ = self.fleet.server().ask(&["FLUSHALL"]),
            91..92 if redis => _ = self.fleet.server().ask(&["CLIENT", "KILL", "TYPE", "normal"]),
            92..94 if postgres => {
                self.postgres.kill();
                self.postgres.restart();
            }
            94..97 if postgres => {
                self.postgres.stop();
                self.postgres_stopped = Some(step + self.random.usize(2..20));
            }
            97..99 if postgres => {
                let others = format!("datname = '{}' AND pid <> pg_backend_pid()", self.database);
                let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}");
                self.postgres.ask("postgres", &cut);
            }
            // What was taken out, and when, stays known.
            99.. if postgres => {
                self.postgres.ask(&self.database, "DELETE FROM semantic_cache WHERE response IS NOT NULL");
            }
            _ => (),
        }
    }

    /// All is well again: then what one call without memory got, the next one gets too.
    fn end(self) -> PostgresServer {
        let Schedule { fleet, postgres, workers, .. } = self;
        fleet.ready();
        for question in QUESTIONS {
            fleet.again_until("a value is kept", || {
                let [first, second] = [(); 2].map(|()| fleet.fresh(WORKERS, "meaning", question, &Task::value(0)));
                matches!(first, Got::Value(_)) && first == second
            });
        }
        for worker in workers {
            // A call is counted when it ends.
            fleet.all_end(worker);
            let stats = fleet.stats(worker, "meaning");
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
        postgres
    }
}

fn is_call(what: &What) -> bool {
    matches!(what, What::Begins { function, is_fresh: false, is_refresh: false, .. } if function == "meaning")
}
