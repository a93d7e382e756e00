//! What each option adds to a hit. Answered: nothing that can be told from noise, until a value needs a decision (a stale
//! hit, one in the window of `early`, a kept error) or its key has to be made anew (`key = "…"`, by content).
//!
//! A few nanoseconds are looked for, so the keys are few and stay in the core's own cache, rounds are short, and what is
//! told is the least of many: whatever else runs on the machine only ever adds. How far two functions are apart that are
//! written alike is a row of its own, *the same again*; what is less than that is nothing. What a function returns counts
//! for more than most options, so rows of functions that return a `Result` compare with *Result*, and those of
//! `cache_err`, whose results take 24 bytes, with *Result, 24 bytes*.
//!
//! A stale hit is one of a value whose refresh is under way. One whose refresh has failed and rests takes the same path.

mod ours;
mod theirs;

use std::future::Future;
use std::hint::black_box;
use std::time::Instant;

use tokio::runtime::Runtime;

use crate::alloc::Allocated;
use crate::body::Runs;
use crate::measure::{Effort, Runner, block_on, interleave, keys, least, runtime};
use crate::report::{Row, Section};
use crate::warm::{Call, call};

/// Also how many threads hang in refreshes of sync functions meanwhile.
const KEYS: usize = 64;
const CALLS: usize = 8_000;

/// Which function, and where that stands in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Async,
    Sync,
    CachedAsync,
    CachedSync,
    MokaFuture,
    MokaSync,
}

struct Sample {
    column: Column,
    nanos: f64,
    allocations: f64,
}

/// So many calls, each key's in turn.
fn calls(count: usize) -> Vec<Call> {
    let keys = keys(KEYS);
    (0..count).map(|at| call(keys, at % KEYS)).collect()
}

/// One round: `calls` makes all of these calls.
fn round(column: Column, trace: &[Call], calls: impl FnOnce(&[Call])) -> Sample {
    let (runs, allocated, begin) = (Runs::so_far(), Allocated::so_far(), Instant::now());
    calls(trace);
    let nanos = begin.elapsed().as_nanos() as f64 / trace.len() as f64;
    let allocations = Allocated::since(allocated).count as f64 / trace.len() as f64;
    assert_eq!(Runs::since(runs).started, 0, "not all were hits");
    Sample { column, nanos, allocations }
}

/// A sync function. Each key has been called with before anything is measured.
fn now<T>(row: &'static str, column: Column, call: impl Fn(&'static str, u32) -> T + 'static) -> Runner<Sample> {
    for (topic, number) in calls(KEYS) {
        call(topic, number);
    }
    let trace = calls(CALLS);
    Runner::new(row, move || {
        round(column, &trace, |trace| {
            for &(topic, number) in trace {
                black_box(call(topic, number));
            }
        })
    })
}

/// An async function.
fn later<F: Future>(
    row: &'static str,
    column: Column,
    call: impl Fn(&'static str, u32) -> F + 'static,
) -> Runner<Sample> {
    later_on(runtime(), row, column, call)
}

fn later_on<F: Future>(
    runtime: Runtime,
    row: &'static str,
    column: Column,
    call: impl Fn(&'static str, u32) -> F + 'static,
) -> Runner<Sample> {
    for (topic, number) in calls(KEYS) {
        block_on(&runtime, call(topic, number));
    }
    let trace = calls(CALLS);
    Runner::new(row, move || {
        round(column, &trace, |trace| {
            block_on(&runtime, async {
                for &(topic, number) in trace {
                    black_box(call(topic, number).await);
                }
            });
        })
    })
}

/// The figures of one function; of none, where there is none.
#[derive(Clone, Copy)]
struct Hit {
    nanos: f64,
    allocations: f64,
}

impl Hit {
    fn of(row: &str, column: Column, runners: &[Runner<Sample>], samples: &[Vec<Sample>]) -> Hit {
        let is_it = |(runner, samples): &(&Runner<Sample>, &Vec<Sample>)| {
            runner.name == row && samples.iter().all(|sample| sample.column == column)
        };
        runners.iter().zip(samples).find(is_it).map_or(
            Hit { nanos: f64::NAN, allocations: f64::NAN },
            |(_, samples)| Hit {
                nanos: least(samples, |sample| sample.nanos),
                allocations: least(samples, |sample| sample.allocations),
            },
        )
    }
}

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let runners = ours::cells().into_iter().chain(theirs::cells()).collect();
    let mut runners = effort.choose(runners, 2);
    let samples = interleave(&mut runners, effort.of(101, 21));
    ours::end();
    let mut names: Vec<&'static str> = Vec::new();
    for runner in &runners {
        if !names.contains(&runner.name) {
            names.push(runner.name);
        }
    }
    let hit = |row, column| Hit::of(row, column, &runners, &samples);
    let plain = [Column::Async, Column::Sync].map(|column| hit("ttl", column).nanos);
    let rows = names.iter().map(|&row| {
        let [later, now] = [Column::Async, Column::Sync].map(|column| hit(row, column));
        let mut figures = vec![later.nanos, later.nanos / plain[0], later.allocations];
        figures.extend([now.nanos, now.nanos / plain[1], now.allocations]);
        figures.extend(PEERS.map(|column| hit(row, column).nanos));
        Row::new(row, figures)
    });
    let peers = names.iter().map(|&row| Row::new(row, PEERS.map(|column| hit(row, column).allocations)));
    vec![
        Section {
            name: "options",
            title: format!("hit, by option, {KEYS} keys, least ns"),
            columns: vec![
                "async",
                "x ttl",
                "allocations",
                "sync",
                "x ttl",
                "allocations",
                "cached async",
                "cached sync",
                "moka future",
                "moka sync",
            ],
            rows: rows.collect(),
        },
        Section {
            name: "options",
            title: "what the peers allocate for it".to_owned(),
            columns: vec!["cached async", "cached sync", "moka future", "moka sync"],
            rows: peers.filter(|row| row.figures.iter().any(Option::is_some)).collect(),
        },
    ]
}

const PEERS: [Column; 4] = [Column::CachedAsync, Column::CachedSync, Column::MokaFuture, Column::MokaSync];
