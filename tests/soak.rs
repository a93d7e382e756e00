//! Minutes of random calls, cancels, invalidations and dying runtimes, on functions with every option.
//!
//! Looks for what no single test can: a caller that waits for ever, a value that is older than an invalidation its
//! caller could know of, a call that is not counted or counted twice, a flight, key, argument or value that is left
//! behind. Not part of `cargo test`:
//!
//! ```sh
//! STAMPEDE_SOAK_SECONDS=300 STAMPEDE_SOAK_SEED=7 cargo test --release --test soak
//! ```

mod soak {
    pub(super) mod actor;
    pub(super) mod body;
    pub(super) mod function;
    pub(super) mod leave;
    pub(super) mod places;
    pub(super) mod truth;
    pub(super) mod watch;
}

use std::env;
use std::process::exit;
use std::thread;
use std::time::{Duration, Instant};

use soak::places::{self, Stop};
use soak::truth::{self, TRUTH};
use soak::watch;
use tokio::runtime::Builder;

fn main() {
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("STAMPEDE_SOAK_SECONDS").unwrap_or(60);
    let seed = number("STAMPEDE_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("{seconds} seconds, seed {seed}");

    quieten_the_shutdowns();
    let home = Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("threads can be had");
    truth::begin(home.handle().id());
    let (stop, start) = (Stop::default(), Instant::now());
    let places = places::open(&home, seed, &stop);
    while start.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(Duration::from_secs(1).min(Duration::from_secs(seconds)));
        TRUTH.check_while_it_runs();
        give_up_on_faults();
        if start.elapsed().as_secs() % 15 == 0 {
            println!("{:>4} s  {}", start.elapsed().as_secs(), TRUTH.rates(start.elapsed()));
        }
    }
    stop.now();
    places::close(&home, places);
    give_up_on_faults();
    home.block_on(TRUTH.check_at_the_end());
    give_up_on_faults();
    println!("{}\nnothing wrong", TRUTH.told(start.elapsed()));
}

/// A body that sleeps while its runtime is shut down is ended by a panic of tokio's, thousands of times.
fn quieten_the_shutdowns() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.to_string().contains("is being shutdown") {
            hook(panic);
        }
    }));
}

/// Ends the process if anything is wrong.
fn give_up_on_faults() {
    watch::look();
    let faults = TRUTH.faults();
    if !faults.is_empty() {
        // What else goes wrong in consequence is of no interest.
        for fault in faults.iter().take(20) {
            eprintln!("✘ {fault}");
        }
        exit(1);
    }
}
