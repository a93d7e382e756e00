//! The figures.

use std::fmt;
use std::time::Duration;

/// One scene with so many nodes, over all seeds.
pub(crate) struct Row {
    pub(crate) scene: &'static str,
    pub(crate) nodes: usize,
    pub(crate) seeds: u64,
    /// Of one run, on average.
    pub(crate) executions: f64,
    pub(crate) takeovers: f64,
    /// Of the scene's own kind.
    pub(crate) delays: Vec<Duration>,
    /// Commands in the busiest 20 ms.
    pub(crate) peak: u64,
    /// Commands a second while everybody waits.
    pub(crate) waiting: f64,
    pub(crate) commands: f64,
}

impl Row {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    pub(crate) fn quantile(&self, part: f64) -> Duration {
        let mut delays = self.delays.clone();
        delays.sort();
        let at = (delays.len().saturating_sub(1) as f64 * part).round() as usize;
        delays.get(at).copied().unwrap_or_default()
    }
}

pub(crate) fn heading() -> &'static str {
    "| scene | nodes | runs | executions | takeovers | p50 ms | p99 ms | commands | … in the busiest 20 ms | … a second while all wait |\n\
     |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, most] = [0.5, 0.99].map(|part| self.quantile(part).as_millis());
        let Row { scene, nodes, seeds, executions, takeovers, peak, waiting, commands, .. } = self;
        write!(
            f,
            "| {scene} | {nodes} | {seeds} | {executions:.1} | {takeovers:.1} | {median} | {most} | {commands:.0} | {peak} | \
             {waiting:.0} |"
        )
    }
}
