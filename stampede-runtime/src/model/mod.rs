//! The flight under a model checker: the code as it is, on shuttle's primitives, through every schedule of a few
//! preemptions and through many random ones.
//!
//! `scripts/model` runs it and says how many schedules each scenario has. Shuttle itself finds those who wait for ever.
//! Its atomics are sequentially consistent: what weaker orderings allow besides is left to the sanitizers.

mod few_preemptions;
mod readers;
mod scenarios;
mod world;

use shuttle::scheduler::RandomScheduler;
use shuttle::sync::Barrier;
use shuttle::{Config, Runner};
use std::sync::{Arc, Mutex, PoisonError};

use self::few_preemptions::FewPreemptions;
use crate::lanes;

/// More threads than any scenario has.
const MOST_THREADS: usize = 8;

/// Checks a scenario in all its schedules with at most `STAMPEDE_MODEL_PREEMPTIONS` (1) preemptions, and in
/// `STAMPEDE_MODEL_RANDOM` (1,000) random ones.
fn check(name: &str, scenario: impl Fn() + Send + Sync + Clone + 'static) {
    // All tables of the process share the lanes.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    hand_out_lanes();
    let preemptions = setting("STAMPEDE_MODEL_PREEMPTIONS", 1);
    let few = Runner::new(FewPreemptions::new(preemptions), Config::new()).run(scenario.clone());
    let random =
        Runner::new(RandomScheduler::new(setting("STAMPEDE_MODEL_RANDOM", 1_000)), Config::new()).run(scenario);
    println!("{name}: {few} schedules, all of at most {preemptions} preemptions, and {random} random ones");
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
}

/// Lanes are handed out once and looked at ever after: without this, a scenario's first run would differ from the rest.
fn hand_out_lanes() {
    let all_at_once = || {
        let barrier = Arc::new(Barrier::new(MOST_THREADS));
        let meet = || {
            let barrier = Arc::clone(&barrier);
            shuttle::thread::spawn(move || {
                lanes::mine();
                barrier.wait();
            })
        };
        let threads: Vec<_> = (0..MOST_THREADS).map(|_| meet()).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    };
    Runner::new(RandomScheduler::new(1), Config::new()).run(all_at_once);
}
