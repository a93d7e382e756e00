//! A stampede: many tasks call with one key that nobody has called with before.

use std::cell::Cell;
use std::rc::Rc;

use crate::alloc::Allocated;
use crate::body::{self, PAUSE, Runs};
use crate::measure::{Effort, Runner, cpu_nanos, interleave, keys, least, median, quantile, runtime};
use crate::peers::Peer;
use crate::peers::cached::CachedByKey;
use crate::peers::floor::WakerList;
use crate::peers::moka::Moka;
use crate::peers::quick_cache::QuickCache;
use crate::peers::shared::FuturesShared;
use crate::peers::stampede::Stampede;
use crate::report::{Row, Section};

/// Figures of all tasks together.
struct Sample {
    executions: u64,
    cpu_nanos: f64,
    allocations: f64,
    bytes: f64,
    /// From the end of the body to the end of the first 99 % of the tasks.
    wake_micros: f64,
}

/// What the tasks cost by themselves: as many that return at once, and one timer.
fn bare(tasks: usize) -> Runner<Sample> {
    let runtime = runtime();
    Runner::new("", move || {
        runtime.block_on(async {
            let mut handles = Vec::with_capacity(tasks);
            let mut times = Vec::with_capacity(tasks);
            let (allocated, cpu) = (Allocated::so_far(), cpu_nanos());
            handles.extend((0..tasks).map(|_| tokio::spawn(async { body::now() })));
            tokio::time::sleep(PAUSE).await;
            for handle in handles {
                times.push(handle.await.expect("no task panics"));
            }
            let (cpu, allocated) = (cpu_nanos() - cpu, Allocated::since(allocated));
            sample(0, cpu, allocated, &times)
        })
    })
}

fn runner<P: Peer>(peer: P, keys: &'static [String], tasks: usize) -> Runner<Sample> {
    let runtime = runtime();
    let next = Rc::new(Cell::new(u32::try_from(tasks).expect("few") * 1_000_000 / 7));
    Runner::new(P::NAME, move || {
        runtime.block_on(async {
            let (topic, number) = (keys[0].as_str(), next.replace(next.get() + 1));
            let mut handles = Vec::with_capacity(tasks);
            let mut times = Vec::with_capacity(tasks);
            let runs = Runs::so_far();
            let (allocated, cpu) = (Allocated::so_far(), cpu_nanos());
            let task = |_| {
                tokio::spawn(async move {
                    let value = peer.slow(topic, number).await;
                    assert_eq!(&*value, topic);
                    body::now()
                })
            };
            handles.extend((0..tasks).map(task));
            for handle in handles {
                times.push(handle.await.expect("no task panics"));
            }
            let (cpu, allocated) = (cpu_nanos() - cpu, Allocated::since(allocated));
            sample(Runs::since(runs).started, cpu, allocated, &times)
        })
    })
}

fn sample(executions: u64, cpu_nanos: f64, allocated: Allocated, times: &[u64]) -> Sample {
    Sample {
        executions,
        cpu_nanos,
        allocations: allocated.count as f64,
        bytes: allocated.bytes as f64,
        wake_micros: quantile(times, |time| time.saturating_sub(body::ended()) as f64 / 1e3, 0.99),
    }
}

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let keys = keys(1);
    [10, 100, 1_000, 10_000].map(|tasks| fan_out(tasks, keys, effort)).into()
}

fn fan_out(tasks: usize, keys: &'static [String], effort: &Effort) -> Section {
    let runners = vec![
        bare(tasks),
        runner(WakerList::new(), keys, tasks),
        runner(Stampede, keys, tasks),
        runner(FuturesShared::new(), keys, tasks),
        runner(QuickCache::new(), keys, tasks),
        runner(CachedByKey, keys, tasks),
        runner(Moka::new(), keys, tasks),
    ];
    let mut runners = effort.choose(runners, 2);
    let samples = interleave(&mut runners, effort.of(31, 7));
    let tasks = tasks as f64;
    let net =
        |at: usize, figure: fn(&Sample) -> f64| (median(&samples[at], figure) - median(&samples[0], figure)) / tasks;
    let least_net = |at: usize| {
        let cpu = |at: usize| least(&samples[at], |sample| sample.cpu_nanos);
        (cpu(at) - cpu(0)) / tasks
    };
    let rows = (1..runners.len()).map(|at| {
        let executions = samples[at].iter().map(|sample| sample.executions).max().unwrap_or(0);
        let cpu = net(at, |sample| sample.cpu_nanos);
        // Fewer tasks take less than the timer and the parked thread do, which vary more.
        let is_telling = tasks >= 1_000.0;
        let over = |cpu: f64, floor: f64| if is_telling { cpu / floor } else { f64::NAN };
        let ratio = over(cpu, net(1, |sample| sample.cpu_nanos));
        let allocations = net(at, |sample| sample.allocations);
        let bytes = net(at, |sample| sample.bytes);
        let wake = median(&samples[at], |sample| sample.wake_micros);
        let least_ratio = over(least_net(at), least_net(1));
        let mut row = Row::new(
            runners[at].name,
            [executions as f64, cpu, least_net(at), ratio, least_ratio, allocations, bytes, wake],
        );
        if runners[at].name == Stampede::NAME {
            row.goal("1 execution", executions == 1);
            if is_telling {
                row.goal("≤ 1.3 x", ratio <= 1.3);
                row.goal("no allocation per waiter", allocations < 0.1);
            }
        }
        row
    });
    Section {
        name: "fan-out",
        title: format!("fan-out, {tasks} tasks, body 5 ms"),
        columns: vec![
            "executions",
            "cpu ns each",
            "least ns",
            "x waker l.",
            "least x",
            "allocations",
            "bytes",
            "p99 wake us",
        ],
        rows: rows.collect(),
    }
}
