//! Sixteen threads that need the same four reports, and no async runtime anywhere. Run it with
//! `cargo run --release --example cached_sync`.

mod support;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::sleep;
use std::time::Duration;

use stampede_runtime::cached;

const THREADS: usize = 16;
const YEARS: [u32; 4] = [2023, 2024, 2025, 2026];

/// As most code has it: every caller computes.
fn compute(year: u32, books: &Books) -> String {
    books.sum_up(year)
}

/// One line more. Nothing here leaves the calling thread, so `books` may be borrowed.
#[cached(ttl = "1h", skip(books))]
fn report(year: u32, books: &Books) -> String {
    compute(year, books)
}

fn main() {
    println!(
        "{THREADS} threads. Each asks for {} reports, one after another, and then for all of them again.\n",
        YEARS.len()
    );
    let requests = YEARS.repeat(2);

    let books = Books::default();
    let without = support::send_from_threads(THREADS, &requests, |year| checked(*year, &compute(*year, &books)));
    let before = books.take();

    let with = support::send_from_threads(THREADS, &requests, |year| checked(*year, &report(*year, &books)));
    let after = books.take();

    let calls = [&before, &after].map(|counts| counts.iter().sum());
    let most = [&before, &after].map(|counts| counts.iter().max().map_or(0, |most| *most).to_string());
    support::report("computations", calls, [&without, &with], &[("most for one report", most)]);
    println!("with the attribute: {}", report::stats());
}

/// Nobody may be given another year's report.
fn checked(year: u32, report: &str) -> Result<(), String> {
    if report == format!("report of {year}") { Ok(()) } else { Err(format!("{year}: {report}")) }
}

/// What the reports are made from, and how often each was made.
#[derive(Default)]
struct Books([AtomicU64; YEARS.len()]);

impl Books {
    /// Slow, as a blocking database driver would be.
    fn sum_up(&self, year: u32) -> String {
        let at = YEARS.iter().position(|known| *known == year).expect("these are all the years");
        self.0[at].fetch_add(1, Relaxed);
        sleep(Duration::from_millis(50));
        format!("report of {year}")
    }

    /// The counts since the last time.
    fn take(&self) -> [u64; YEARS.len()] {
        self.0.each_ref().map(|count| count.swap(0, Relaxed))
    }
}
