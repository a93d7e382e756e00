//! A crowd: many tasks at once call with keys that nobody has called with before.

use std::time::Instant;

use crate::alloc::Allocated;
use crate::body::{self, PAUSE, Runs};
use crate::measure::{Runner, cpu_nanos, least, median, quantile, runtime, unused};
use crate::peers::Peer;

/// So many callers of each key, all of them tasks of one thread.
#[derive(Clone, Copy)]
pub(crate) struct Crowd {
    pub(crate) keys: &'static [String],
    pub(crate) callers: usize,
}

/// Figures of all tasks together.
pub(crate) struct Sample {
    executions: u64,
    wall_millis: f64,
    cpu_nanos: f64,
    allocations: f64,
    bytes: f64,
    /// From the end of the last body to the end of the first 99 % of the tasks.
    wake_micros: f64,
}

impl Crowd {
    pub(crate) fn tasks(self) -> usize {
        self.keys.len() * self.callers
    }

    /// What the tasks cost by themselves: as many that return at once, and one timer.
    pub(crate) fn bare(self) -> Runner<Sample> {
        let runtime = runtime();
        Runner::new("", move || runtime.block_on(self.round(true, |_| async { body::now() })))
    }

    pub(crate) fn runner<P: Peer>(self, peer: P) -> Runner<Sample> {
        let runtime = runtime();
        Runner::new(P::NAME, move || {
            let number = unused();
            let task = |key: &'static str| async move {
                let value = peer.slow(key, number).await;
                assert_eq!(&*value, key);
                body::now()
            };
            runtime.block_on(self.round(false, task))
        })
    }

    /// All tasks, each with its key. They return when they ended.
    async fn round<F>(self, timer: bool, task: impl Fn(&'static str) -> F) -> Sample
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let mut handles = Vec::with_capacity(self.tasks());
        let mut ends = Vec::with_capacity(self.tasks());
        let (runs, allocated) = (Runs::so_far(), Allocated::so_far());
        let (wall, cpu) = (Instant::now(), cpu_nanos());
        // The callers of a key come one after another, so that all are there before its body ends.
        for key in self.keys {
            handles.extend((0..self.callers).map(|_| tokio::spawn(task(key))));
        }
        if timer {
            tokio::time::sleep(PAUSE).await;
        }
        for handle in handles {
            ends.push(handle.await.expect("no task panics"));
        }
        let (cpu_nanos, wall_millis) = (cpu_nanos() - cpu, wall.elapsed().as_secs_f64() * 1e3);
        let allocated = Allocated::since(allocated);
        Sample {
            executions: Runs::since(runs).started,
            wall_millis,
            cpu_nanos,
            allocations: allocated.count as f64,
            bytes: allocated.bytes as f64,
            wake_micros: quantile(&ends, |end| end.saturating_sub(body::ended()) as f64 / 1e3, 0.99),
        }
    }

    /// What one call takes, beyond what a bare task does.
    pub(crate) fn each(self, samples: &[Sample], bare: &[Sample]) -> Each {
        let tasks = self.tasks() as f64;
        let net = |figure: fn(&Sample) -> f64| (median(samples, figure) - median(bare, figure)) / tasks;
        let cpu = |sample: &Sample| sample.cpu_nanos;
        Each {
            cpu_nanos: net(cpu),
            least_cpu_nanos: (least(samples, cpu) - least(bare, cpu)) / tasks,
            allocations: net(|sample| sample.allocations),
            bytes: net(|sample| sample.bytes),
            executions: samples.iter().map(|sample| sample.executions).max().unwrap_or(0),
            wall_millis: median(samples, |sample| sample.wall_millis),
            wake_micros: median(samples, |sample| sample.wake_micros),
        }
    }
}

/// What one call takes, and what all of them together.
pub(crate) struct Each {
    pub(crate) cpu_nanos: f64,
    pub(crate) least_cpu_nanos: f64,
    pub(crate) allocations: f64,
    pub(crate) bytes: f64,
    /// Of all calls together, in the worst round.
    pub(crate) executions: u64,
    /// Of all calls together.
    pub(crate) wall_millis: f64,
    /// From the end of the last body to the end of 99 % of the calls.
    pub(crate) wake_micros: f64,
}
