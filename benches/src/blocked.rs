//! A stampede of threads: many at once call a sync function with one key, and block until its body is done. Answered: one
//! execution with every peer, and ten to twenty microseconds of CPU a thread, most of them the kernel's. To put a
//! thread to sleep and to wake it costs more than whatever happens between.
//!
//! What a thread takes is read from its own clock of CPU time, around the call: being born and lining up do not count, a
//! system call that puts it to sleep or another to work does. The body takes long enough that all are there before its
//! end. Then each thread calls again, some times, and is answered from memory: there are more threads than stampede has
//! lanes for.

use std::hint::black_box;
use std::sync::{Arc, Barrier, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::alloc::Allocated;
use crate::body;
use crate::measure::{Effort, Runner, cpu_nanos, interleave, keys, least, median, quantile, unused};
use crate::peers::{CAPACITY, Key, KeyRef, TTL};
use crate::report::{Row, Section};

const THREADS: usize = 1_000;

/// What each thread has of its own; a caller needs little.
const STACK: usize = 128 << 10;

/// How often each thread calls again.
const HITS: usize = 200;

const BODY: Duration = Duration::from_millis(60);

fn slow(topic: &str, number: u32) -> Arc<str> {
    let value = body::ready(topic, number);
    thread::sleep(BODY);
    body::has_ended();
    value
}

mod ours {
    use super::{Arc, TTL, slow};
    use stampede_runtime::cached;

    #[cached(ttl = TTL, capacity = 20_000, companion = none)]
    pub(super) fn kept(topic: &str, number: u32) -> Arc<str> {
        slow(topic, number)
    }
}

mod theirs {
    use super::{Arc, slow};
    use cached::macros::cached;

    #[cached(
        max_size = 20_000,
        ttl_secs = 3600,
        sync_writes = "by_key",
        key = "(String, u32)",
        convert = r#"{ (topic.to_owned(), number) }"#
    )]
    pub(super) fn by_key(topic: &str, number: u32) -> Arc<str> {
        slow(topic, number)
    }
}

/// What nobody can do much better: a map of cells that block. A body that panics or runs on would be everybody's.
fn by_hand() -> impl Fn(&'static str, u32) -> Arc<str> + Sync + 'static {
    type Cells = std::collections::HashMap<Key, Arc<OnceLock<Arc<str>>>, RandomState>;
    let cells: Mutex<Cells> = Mutex::default();
    move |topic, number| {
        let key = KeyRef(topic, number).to_key();
        let cell = Arc::clone(cells.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
        Arc::clone(cell.get_or_init(|| slow(topic, number)))
    }
}

fn moka() -> impl Fn(&'static str, u32) -> Arc<str> + Sync + 'static {
    let builder = moka::sync::Cache::builder().max_capacity(CAPACITY as u64).time_to_live(TTL);
    let cache: moka::sync::Cache<Key, Arc<str>, RandomState> = builder.build_with_hasher(RandomState::default());
    move |topic, number| {
        let key = KeyRef(topic, number);
        cache.get(&key).unwrap_or_else(|| cache.get_with(key.to_key(), || slow(topic, number)))
    }
}

/// All threads together.
struct Sample {
    executions: u64,
    cpu_nanos: f64,
    allocations: f64,
    wake_micros: f64,
    hit_nanos: f64,
}

/// One thread.
struct One {
    cpu_nanos: f64,
    hit_nanos: f64,
    allocations: u64,
    ended: u64,
}

fn one(call: &impl Fn(&'static str, u32) -> Arc<str>, topic: &'static str, number: u32) -> One {
    let (allocated, cpu) = (Allocated::so_far(), cpu_nanos());
    let value = call(topic, number);
    let (cpu_nanos, ended) = (self::cpu_nanos() - cpu, body::now());
    let allocations = Allocated::since(allocated).count;
    assert_eq!(&*value, topic);
    let cpu = self::cpu_nanos();
    for _ in 0..HITS {
        black_box(call(topic, number));
    }
    One { cpu_nanos, hit_nanos: (self::cpu_nanos() - cpu) / HITS as f64, allocations, ended }
}

fn round(call: &(impl Fn(&'static str, u32) -> Arc<str> + Sync), topic: &'static str) -> Sample {
    let (number, ready, runs) = (unused(), Barrier::new(THREADS), body::Runs::so_far());
    let begin = || {
        ready.wait();
        one(call, topic, number)
    };
    let all: Vec<One> = thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, begin).expect("room for a thread");
        let threads: Vec<_> = (0..THREADS).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().expect("no call panics")).collect()
    });
    let each = |figure: fn(&One) -> f64| all.iter().map(figure).sum::<f64>() / THREADS as f64;
    Sample {
        executions: body::Runs::since(runs).started,
        cpu_nanos: each(|one| one.cpu_nanos),
        allocations: each(|one| one.allocations as f64),
        wake_micros: quantile(&all, |one| one.ended.saturating_sub(body::ended()) as f64 / 1e3, 0.99),
        hit_nanos: each(|one| one.hit_nanos),
    }
}

fn runner(name: &'static str, call: impl Fn(&'static str, u32) -> Arc<str> + Sync + 'static) -> Runner<Sample> {
    let topic = keys(1)[0].as_str();
    Runner::new(name, move || round(&call, topic))
}

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let runners = vec![
        runner("floor: cells in a map, by hand", by_hand()),
        runner("stampede #[cached(ttl)]", ours::kept),
        runner("cached #[cached(sync_writes = by_key)]", theirs::by_key),
        runner("moka sync get_with", moka()),
    ];
    let mut runners = effort.choose(runners, 1);
    let samples = interleave(&mut runners, effort.of(15, 5));
    let (floor, least_floor) =
        (median(&samples[0], |sample| sample.cpu_nanos), least(&samples[0], |sample| sample.cpu_nanos));
    let rows = runners.iter().zip(&samples).map(|(runner, samples)| {
        let executions = samples.iter().map(|sample| sample.executions).max().unwrap_or(0);
        let (cpu, least_cpu) = (median(samples, |one| one.cpu_nanos), least(samples, |one| one.cpu_nanos));
        let figures = [
            executions as f64,
            cpu,
            least_cpu,
            cpu / floor,
            least_cpu / least_floor,
            median(samples, |sample| sample.allocations),
            median(samples, |sample| sample.wake_micros),
            median(samples, |sample| sample.hit_nanos),
        ];
        let mut row = Row::new(runner.name, figures);
        if runner.name.starts_with("stampede") {
            row.goal("1 execution", executions == 1);
        }
        row
    });
    vec![Section {
        name: "blocked",
        title: format!("{THREADS} threads of one sync key"),
        columns: vec![
            "executions",
            "cpu ns each",
            "least ns",
            "x by hand",
            "least x",
            "allocations",
            "p99 wake us",
            "ns a hit",
        ],
        rows: rows.collect(),
    }]
}
