//! How figures are got: peers take turns, round after round; medians and minima over the rounds; one fixed seed.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What was asked for on the command line.
pub(crate) struct Effort {
    /// Fewer rounds and shorter ones.
    pub(crate) quick: bool,
    /// Parts of the names of the peers that take part; all when empty.
    pub(crate) peers: Vec<String>,
}

impl Effort {
    /// `usual`, or less when in a hurry.
    pub(crate) fn of(&self, usual: usize, quick: usize) -> usize {
        if self.quick { quick } else { usual }
    }
}

impl Effort {
    /// Whether a peer takes part.
    fn wants(&self, peer: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|part| peer.contains(part))
    }

    /// Leaves out the runners that nobody asked for, but never the first few, which ratios are made with.
    pub(crate) fn choose<S>(&self, runners: Vec<Runner<S>>, bases: usize) -> Vec<Runner<S>> {
        let wanted = |(at, runner): &(usize, Runner<S>)| *at < bases || self.wants(runner.name);
        runners.into_iter().enumerate().filter(wanted).map(|(_, runner)| runner).collect()
    }
}

/// One peer's way through one measurement.
pub(crate) struct Runner<S> {
    pub(crate) name: &'static str,
    round: Box<dyn FnMut() -> S>,
}

impl<S> Runner<S> {
    pub(crate) fn new(name: &'static str, round: impl FnMut() -> S + 'static) -> Runner<S> {
        Runner { name, round: Box::new(round) }
    }
}

/// Lets every runner take its turn, `rounds` times, after one round each that is not counted. The order is turned by
/// one from round to round, so that nobody always runs after the same neighbour.
pub(crate) fn interleave<S>(runners: &mut [Runner<S>], rounds: usize) -> Vec<Vec<S>> {
    let mut samples: Vec<Vec<S>> = runners.iter().map(|_| Vec::with_capacity(rounds)).collect();
    for round in 0..=rounds {
        for turn in 0..runners.len() {
            let at = (turn + round) % runners.len();
            let sample = (runners[at].round)();
            if round > 0 {
                samples[at].push(sample);
            }
        }
    }
    samples
}

/// The middle of some figures of these samples.
pub(crate) fn median<S>(samples: &[S], figure: impl Fn(&S) -> f64) -> f64 {
    quantile(samples, figure, 0.5)
}

/// The least of some figures of these samples.
pub(crate) fn least<S>(samples: &[S], figure: impl Fn(&S) -> f64) -> f64 {
    quantile(samples, figure, 0.0)
}

/// The figure that a share `at`, in `0.0..=1.0`, of the samples does not exceed.
pub(crate) fn quantile<S>(samples: &[S], figure: impl Fn(&S) -> f64, at: f64) -> f64 {
    let mut figures: Vec<f64> = samples.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of a slice")]
    let at = ((figures.len() - 1) as f64 * at).round() as usize;
    figures[at]
}

/// Runs a future on a runtime of this thread alone, without tokio's cooperative pauses.
pub(crate) fn block_on<T>(runtime: &tokio::runtime::Runtime, future: impl Future<Output = T>) -> T {
    runtime.block_on(tokio::task::unconstrained(future))
}

/// A runtime of this thread alone.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime without I/O needs nothing")
}

/// The CPU time that the calling thread has used, in nanoseconds.
pub(crate) fn cpu_nanos() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// `count` keys of 40 bytes, kept for good.
pub(crate) fn keys(count: usize) -> &'static [String] {
    let keys: Vec<String> = (0..count).map(|number| format!("session/profile/of/the/user/no/{number:09}")).collect();
    assert!(keys.iter().all(|key| key.len() == 40));
    keys.leak()
}

/// A number that no call has had yet: with it, every key is new.
pub(crate) fn unused() -> u32 {
    // Above those that measurements count for themselves.
    static NEXT: AtomicU32 = AtomicU32::new(1 << 31);
    NEXT.fetch_add(1, Relaxed)
}

/// Draws from `0..count` with probabilities proportional to `1 / (rank + 1)^exponent`, always the same.
pub(crate) struct Zipf {
    /// The probability of each rank and those before it.
    sums: Vec<f64>,
    random: fastrand::Rng,
}

impl Zipf {
    pub(crate) fn new(count: usize, exponent: f64) -> Zipf {
        let mut sum = 0.0;
        let mut sums: Vec<f64> = (1..=count)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        for part in &mut sums {
            *part /= sum;
        }
        Zipf { sums, random: fastrand::Rng::with_seed(0x5a1f_ed00_c0ff_ee42) }
    }

    pub(crate) fn draw(&mut self) -> usize {
        let at = self.random.f64();
        self.sums.partition_point(|&sum| sum <= at).min(self.sums.len() - 1)
    }
}
