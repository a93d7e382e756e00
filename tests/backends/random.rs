//! Two processes, one flaky backend, anything in any order: nobody gets a wrong value, one that is too old, or one that
//! the same process has invalidated; nobody waits for ever; all is counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use stampede_runtime::store::UnixMillis;
use stampede_runtime::testing::{Fault, FaultyBackend, Isolated, Verb, isolate_with};
use stampede_runtime::{Config, cached, shutdown};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance, sleep};

use super::help::{Trouble, in_time_blocking};
use super::process::{DOWN, HOUR, SECOND, check};

const KEYS: u32 = 6;
/// The oldest that a value may be when it is served.
const OLDEST: Duration = Duration::from_secs(15);

/// Where values come from.
#[derive(Debug, Default)]
struct Source {
    ticks: AtomicU64,
    /// Of each value: its key, and when it was begun, since the test began.
    made: Mutex<HashMap<u64, (u32, Duration)>>,
}

impl Source {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, SeqCst) + 1
    }
}

/// What a body does: how long it takes, and whether it fails.
#[derive(Clone, Copy, Debug)]
struct Plan {
    takes: Duration,
    fails: bool,
    /// Since the test began, where the body runs.
    began: Instant,
}

#[cached(namespace = "random", ttl = "10s", stale = "5s", capacity = 3, backend = "main", skip(plan, source))]
async fn load(key: u32, plan: Plan, source: Arc<Source>) -> Result<u64, Trouble> {
    let tick = source.tick();
    source.made.lock().expect("no panic").insert(tick, (key, plan.began.elapsed()));
    if !plan.takes.is_zero() {
        sleep(plan.takes).await;
    }
    if plan.fails { Err(Trouble::Fire) } else { Ok(tick) }
}

struct Process {
    isolated: Option<Isolated>,
    runtime: Runtime,
    began: Instant,
    calls: u64,
    /// What was made at this tick or before is not to be seen any more.
    floors: [u64; KEYS as usize],
}

impl Process {
    fn begin(fake: &FaultyBackend) -> Process {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let config = Config::builder().backend("main", fake.clone()).build().expect("it is right");
        let (isolated, began) = runtime.block_on(async {
            let isolated = isolate_with(config);
            // What clears before its first call tells nobody; see `what_is_in_no_memory_is_cleared_all_the_same`.
            assert!(load::peek(KEYS).is_none());
            (isolated, Instant::now())
        });
        Process { isolated: Some(isolated), runtime, began, calls: 0, floors: [0; KEYS as usize] }
    }

    fn now(&self) -> Duration {
        self.runtime.block_on(async { self.began.elapsed() })
    }

    fn advance_to(&self, now: Duration) {
        self.runtime.block_on(async { advance(now.saturating_sub(self.began.elapsed())).await });
    }

    /// Does a few things at once, and waits for their end.
    fn act(&mut self, rng: &mut Rng, source: &Arc<Source>, most: usize) {
        let (began, floors, calls) = (self.began, &mut self.floors, &mut self.calls);
        self.runtime.block_on(async {
            let mut under_way: Vec<JoinHandle<()>> = Vec::new();
            for _ in 0..rng.usize(1..=most) {
                let key = rng.u32(0..KEYS);
                match rng.u32(0..20) {
                    0..3 => {
                        floors[key as usize] = source.tick();
                        load::invalidate(key);
                    }
                    3 => {
                        *floors = [source.tick(); KEYS as usize];
                        load::clear();
                    }
                    4 => {
                        let tick = source.tick();
                        source.made.lock().expect("no panic").insert(tick, (key, began.elapsed()));
                        load::insert(key, Ok::<_, Trouble>(tick));
                    }
                    5 => drop(load::peek(key)),
                    what => {
                        let takes = SECOND / 10 * if rng.bool() { 0 } else { rng.u32(0..10) };
                        let plan = Plan { takes, fails: rng.u32(0..8) == 0, began };
                        let (floor, source) = (floors[key as usize], Arc::clone(source));
                        // A refresh is an execution, and no call.
                        *calls += u64::from(what != 6);
                        under_way.push(tokio::spawn(async move {
                            let answer = if what == 6 {
                                load::refresh(key, plan, Arc::clone(&source)).await
                            } else {
                                load(key, plan, Arc::clone(&source)).await
                            };
                            let Ok(tick) = answer else { return };
                            let (of, made) = source.made.lock().expect("no panic")[&tick];
                            assert_eq!(of, key, "another key's value");
                            assert!(tick > floor, "{tick} of {key} was invalidated at {floor}");
                            let age = began.elapsed().saturating_sub(made);
                            // It may have been found in time, and then been waited for.
                            assert!(age < OLDEST + 3 * SECOND, "{tick} of {key} is {age:?} old");
                        }));
                    }
                }
                for _ in 0..rng.usize(0..4) {
                    yield_now().await;
                }
            }
            for task in under_way {
                task.await.expect("no wrong value");
            }
            assert_eq!(shutdown(HOUR).await, 0);
            // What was invalidated may still be on its way.
            sleep(SECOND).await;
        });
    }

    fn end(mut self) {
        let stats = self.runtime.block_on(async { load::stats() });
        check(&stats, self.calls);
        assert_eq!(
            (stats.in_flight, stats.panics, stats.decode_errors, stats.encode_errors),
            (0, 0, 0, 0),
            "{stats:?}"
        );
        let _guard = self.runtime.enter();
        drop(self.isolated.take());
    }
}

fn fault(rng: &mut Rng) -> Fault {
    match rng.u32(0..10) {
        0 => DOWN,
        1 => Fault::Hang,
        2 => Fault::Delay(Duration::from_millis(rng.u64(1..1000))),
        3 => Fault::Delay(Duration::from_millis(rng.u64(1..400))),
        _ => Fault::None,
    }
}

/// How much goes on.
#[derive(Clone, Copy)]
struct Bustle {
    /// In one history.
    steps: usize,
    /// How many things a process does at once.
    most: usize,
    /// A value may be on its way when other things happen to its key.
    is_slow_to_write: bool,
}

fn history(seed: u64, Bustle { steps, most, is_slow_to_write }: Bustle) {
    let mut rng = Rng::with_seed(seed);
    let (fake, source) = (FaultyBackend::new(), Arc::new(Source::default()));
    let mut processes = [Process::begin(&fake), Process::begin(&fake)];
    for _ in 0..steps {
        for verb in [fake.on(Verb::Get), fake.on(Verb::Set), fake.on(Verb::Remove), fake.on(Verb::Clear)] {
            verb.always(fault(&mut rng));
        }
        if !is_slow_to_write && rng.bool() {
            fake.on(Verb::Set).always(Fault::None);
        } else if !is_slow_to_write {
            fake.on(Verb::Set).always(if rng.bool() { Fault::Hang } else { DOWN });
        }
        let at = rng.usize(0..2);
        processes[at].act(&mut rng, &source, most);
        let pause = if rng.u32(0..4) == 0 { SECOND * rng.u32(0..12) } else { Duration::ZERO };
        let now = processes.iter().map(Process::now).max().expect("there are two") + pause;
        for process in &processes {
            process.advance_to(now);
        }
        if rng.u32(0..40) == 0 {
            // A restart: what it has invalidated and failed to tell is not known any more.
            let mut fresh = Process::begin(&fake);
            fresh.advance_to(now);
            fresh.began = fresh.runtime.block_on(async { Instant::now() - now });
            std::mem::replace(&mut processes[at], fresh).end();
        }
    }
    processes.into_iter().for_each(Process::end);
}

fn histories(count: u64, bustle: Bustle) {
    let _ = UnixMillis::now();
    for seed in 0..count {
        in_time_blocking(move || {
            let failed = std::panic::catch_unwind(|| history(seed, bustle));
            assert!(failed.is_ok(), "seed {seed}");
        });
    }
}

#[test]
fn one_after_the_other_all_is_well() {
    histories(30, Bustle { steps: 100, most: 1, is_slow_to_write: true });
}

#[test]
fn all_at_once_all_is_well() {
    histories(60, Bustle { steps: 60, most: 8, is_slow_to_write: false });
}
