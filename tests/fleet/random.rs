//! Random schedules of calls and faults. What happens in them is judged by the checker alone.
//!
//! Faults of the server, of processes, and of the line between one process and the server (each has a proxy of its own).
//!
//! A seed repeats a schedule, though not what the machine makes of it: `FLEET_SEED=7` runs one, `FLEET_SEEDS=1000` so many.
//!
//! ```sh
//! FLEET_SEEDS=1000 cargo test --test fleet -- random::random_schedules --nocapture | grep ^seeds
//! ```

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::events::{Got, Setup, Task, What};
use super::host::Fleet;
use crate::tcp_proxy::{CutAfter, Passage, Way};

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
            let run = |seed| catch_unwind(|| schedule(seed)).map_err(|_| seed);
            thread::spawn(move || seeds.into_iter().map(run).collect::<Vec<_>>())
        })
        .collect();
    let (mut failed, mut all) = (Vec::new(), Tally::default());
    for of_seed in lanes.into_iter().flat_map(|lane| lane.join().expect("panics are caught")) {
        match of_seed {
            Ok(Some(of_seed)) => all.add(&of_seed),
            Ok(None) => return,
            Err(seed) => failed.push(seed),
        }
    }
    println!(
        "seeds {seeds:?}: {} calls and refreshes, {} executions, {} faults, failed: {failed:?}",
        all.calls, all.executions, all.faults,
    );
    assert!(failed.is_empty(), "what happened in {failed:?} is above");
}

/// What happened in schedules, added up.
#[derive(Default)]
struct Tally {
    /// Each may begin one execution.
    calls: usize,
    executions: usize,
    faults: usize,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.calls += other.calls;
        self.executions += other.executions;
        self.faults += other.faults;
    }
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
    /// Until which step it is full, or takes no writes.
    server_ill: Option<usize>,
    /// Until which step something is wrong with the line of one.
    line_ill: [Option<usize>; WORKERS],
    faults: usize,
}

/// Policies differ from seed to seed, too.
fn setup(seed: u64) -> Setup {
    let setup = Setup { lease: 300, ttl: 1_000, patience: None, has_proxy: true, ..Setup::default() };
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

/// `None`: there is no server.
fn schedule(seed: u64) -> Option<Tally> {
    let setup = setup(seed);
    // One more, to which nothing happens: it sees what the server has.
    let fleet = Fleet::start(&format!("seed {seed}"), WORKERS + 1, &setup)?;
    let mut schedule = Schedule {
        fleet,
        random: Rng::with_seed(seed),
        setup,
        workers: [0, 1, 2],
        stopped: [None; WORKERS],
        server_stopped: None,
        server_ill: None,
        line_ill: [None; WORKERS],
        faults: 0,
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
    /// Ends the faults that last until this step.
    fn wake(&mut self, step: usize) {
        let is_over = |until: &mut Option<usize>| until.take_if(|until| *until <= step).is_some();
        for at in 0..WORKERS {
            if is_over(&mut self.stopped[at]) {
                self.fleet.go_on(self.workers[at]);
            }
            if is_over(&mut self.line_ill[at]) {
                self.fleet.proxy(self.workers[at]).set_both(Passage::Free);
            }
        }
        if is_over(&mut self.server_stopped) {
            self.fleet.server().go_on();
        }
        if self.server_stopped.is_none() && is_over(&mut self.server_ill) {
            self.fleet.server().ask(&["REPLICAOF", "NO", "ONE"]);
            self.fleet.server().ask(&["CONFIG", "SET", "maxmemory", "0"]);
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
        match self.random.u8(0..120) {
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
            77..86 => self.of_process(step, at),
            86..106 if can_ask => self.of_server(step),
            106.. => self.of_line(step, at),
            _ => (),
        }
    }

    /// A process is killed, and has a successor, or stands still for a while.
    fn of_process(&mut self, step: usize, at: usize) {
        self.faults += 1;
        let worker = self.workers[at];
        if self.random.u8(0..3) == 0 {
            self.fleet.go_on(worker);
            (self.stopped[at], self.line_ill[at]) = (None, None);
            self.fleet.kill(worker);
            self.workers[at] = self.fleet.spawn(&self.setup);
        } else {
            self.fleet.stop(worker);
            self.stopped[at] = Some(step + self.random.usize(2..25));
        }
    }

    /// The server dies, stands still, forgets, evicts, is full, takes no writes, pauses, or has another time.
    /// While it takes no writes, it takes none of these either.
    fn of_server(&mut self, step: usize) {
        self.faults += 1;
        let a_while = step + self.random.usize(2..20);
        let server = self.fleet.server();
        match self.random.u8(0..20) {
            0..2 => self.fleet.server_mut().restart(),
            2..5 => {
                server.stop();
                self.server_stopped = Some(a_while);
            }
            5..8 => {
                let kind = if self.random.bool() { "normal" } else { "pubsub" };
                server.ask(&["CLIENT", "KILL", "TYPE", kind]);
            }
            8..9 => _ = server.try_asking(&["FLUSHALL"]),
            9..11 => _ = server.ask(&["SCRIPT", "FLUSH"]),
            11..14 => {
                let what = ["*:lease", "*:outcome", "*}"][self.random.usize(0..3)];
                for key in server.ask(&["KEYS", what]).lines() {
                    server.try_asking(&["DEL", key]);
                }
            }
            14..16 => {
                // As the leases see it, its clock has jumped ahead, or back by an hour.
                let left = if self.random.bool() { "1" } else { "3600000" };
                for lease in self.fleet.leases() {
                    server.try_asking(&["PEXPIRE", &lease, left]);
                }
            }
            16..17 => {
                server.ask(&["CONFIG", "SET", "maxmemory", "1mb"]);
                self.server_ill = Some(a_while);
            }
            17..18 => {
                server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
                self.server_ill = Some(a_while);
            }
            18..19 => _ = server.ask(&["CLIENT", "PAUSE", "700", "ALL"]),
            _ => _ = server.ask(&["DEBUG", "SLEEP", "0.4"]),
        }
    }

    /// The line of one is held up, slow, cut, dead without a word, or deaf.
    fn of_line(&mut self, step: usize, at: usize) {
        self.faults += 1;
        let a_while = Some(step + self.random.usize(2..20));
        let proxy = self.fleet.proxy(self.workers[at]);
        match self.random.u8(0..14) {
            0..3 => {
                proxy.set_both(Passage::Held);
                self.line_ill[at] = a_while;
            }
            3..5 => {
                proxy.set(if self.random.bool() { Way::Asked } else { Way::Answered }, Passage::Held);
                self.line_ill[at] = a_while;
            }
            5..7 => {
                proxy.set(Way::Answered, Passage::Late(Duration::from_millis(self.random.u64(1..400))));
                self.line_ill[at] = a_while;
            }
            7..9 => {
                let channel = if self.random.bool() { "stampede:wake" } else { "stampede:news" };
                proxy.set(Way::Answered, Passage::WithoutMessages(channel));
                self.line_ill[at] = a_while;
            }
            9..12 => {
                let word = if self.random.bool() { "\r\nany\r\n" } else { "\r\nvalue\r\n" };
                proxy.cut_at(word, if self.random.bool() { CutAfter::Half } else { CutAfter::Whole });
            }
            12..13 => proxy.cut(),
            _ => proxy.forget(),
        }
    }

    /// All is well again: then what one call without memory got, the next one gets too.
    fn end(self) -> Tally {
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
        let tally = tally(&fleet, self.faults);
        fleet.dismiss();
        tally
    }
}

/// Counts what happened. No key has more executions than calls and refreshes, each of which begins one at most.
fn tally(fleet: &Fleet, faults: usize) -> Tally {
    let mut by_key = BTreeMap::<String, (usize, usize)>::new();
    for event in fleet.events().iter() {
        match &event.what {
            What::Begins { key, .. } => by_key.entry(key.clone()).or_default().0 += 1,
            What::Start { key, .. } => by_key.entry(key.clone()).or_default().1 += 1,
            _ => (),
        }
    }
    for (key, (calls, executions)) in &by_key {
        assert!(executions <= calls, "{executions} executions of {key} for {calls} calls\n{}", fleet.story());
    }
    let calls = by_key.values().map(|(calls, _)| calls).sum();
    Tally { calls, executions: by_key.values().map(|(_, executions)| executions).sum(), faults }
}

fn is_call(what: &What) -> bool {
    matches!(what, What::Begins { function, is_fresh: false, is_refresh: false, .. } if function == "whole")
}
