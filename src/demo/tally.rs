//! What one half of the demo comes to: calls and money by the API's own count, the rest as the callers saw it.

use std::time::Duration;

use serde::Serialize;

use super::traffic::{Call, Ending, Served};
use super::upstream::Count;

/// The figures of one half. The names are those of the JSON output: they stay as they are.
#[derive(Debug, Serialize)]
pub(crate) struct Half {
    #[serde(flatten)]
    pub(crate) all: Tally,
    pub(crate) calls_saved: u64,
    pub(crate) savings_rate: f64,
    /// The most calls that reached the API for one key.
    pub(crate) calls_per_key_max: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) latency_ms: Latency,
    pub(crate) cost_usd: f64,
    pub(crate) duration_ms: f64,
    /// One for each question of the plan, in its order.
    #[serde(skip)]
    pub(crate) keys: Vec<Tally>,
    /// What the first call that failed said.
    #[serde(skip)]
    pub(crate) first_failure: Option<String>,
}

/// The figures of some requests: all of a half, or those for one key.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    /// The calls that reached the API, by its own count.
    pub(crate) calls: u64,
    /// The callers who were refused by the rate limit.
    pub(crate) refused: u64,
    /// The callers who were served from memory.
    pub(crate) hits: u64,
    /// The callers who joined a call in flight.
    pub(crate) waits: u64,
    /// How long those waited, on average.
    pub(crate) mean_wait_ms: Option<f64>,
}

/// How long the answered requests took, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) max: Option<f64>,
}

impl Half {
    /// `counts`: what the API counted for each question of the plan. `price_cents`: of an answered call.
    pub(crate) fn new(calls: &[Call], counts: &[Count], price_cents: u64, duration: Duration) -> Self {
        let mut by_question = vec![Vec::new(); counts.len()];
        for call in calls {
            by_question[call.question].push(call);
        }
        let keys: Vec<Tally> = by_question.iter().zip(counts).map(|(calls, count)| Tally::new(calls, *count)).collect();
        let total = counts.iter().fold(Count::default(), |sum, count| sum + *count);
        let all = Tally::new(&calls.iter().collect::<Vec<_>>(), total);

        let answered: Vec<_> = calls.iter().filter(|call| matches!(call.ending, Ending::Answered)).collect();
        let failures = calls.iter().filter_map(|call| match &call.ending {
            Ending::Failed(why) => Some(why),
            _ => None,
        });
        let calls_saved = all.requests.saturating_sub(all.calls);
        Self {
            calls_saved,
            savings_rate: calls_saved as f64 / all.requests as f64,
            calls_per_key_max: keys.iter().map(|key| key.calls).max().unwrap_or_default(),
            answered: answered.len() as u64,
            failed: failures.clone().count() as u64,
            latency_ms: Latency::of(answered.iter().map(|call| call.took).collect()),
            cost_usd: dollars((total.calls - total.refused) * price_cents),
            duration_ms: milliseconds(duration),
            first_failure: failures.clone().next().cloned(),
            all,
            keys,
        }
    }
}

impl Tally {
    fn new(calls: &[&Call], count: Count) -> Self {
        let served = |how| calls.iter().filter(move |call| call.served == how);
        let waits = u32::try_from(served(Served::Joined).count()).expect("a half has at most 20,000 requests");
        let waited: Duration = served(Served::Joined).map(|call| call.took).sum();
        Self {
            requests: calls.len() as u64,
            calls: count.calls,
            refused: calls.iter().filter(|call| matches!(call.ending, Ending::Refused)).count() as u64,
            hits: served(Served::Hit).count() as u64,
            waits: waits.into(),
            mean_wait_ms: waited.checked_div(waits).map(milliseconds),
        }
    }
}

impl Latency {
    pub(crate) fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        // Nearest rank: the smallest one that at least this many per cent do not exceed.
        let percentile = |percent: usize| {
            let rank = (percent * took.len()).div_ceil(100);
            took.get(rank.saturating_sub(1)).copied().map(milliseconds)
        };
        Self { p50: percentile(50), p99: percentile(99), max: percentile(100) }
    }
}

/// Divided once, at the end: a sum of hundredths would not be exact.
pub(crate) fn dollars(cents: u64) -> f64 {
    cents as f64 / 100.0
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    // Whole microseconds: more digits would be noise in the JSON output.
    duration.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let latency = Latency::of((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!((latency.p50, latency.p99, latency.max), (Some(50.0), Some(99.0), Some(100.0)));
        let latency = Latency::of(vec![Duration::from_millis(7)]);
        assert_eq!((latency.p50, latency.p99, latency.max), (Some(7.0), Some(7.0), Some(7.0)));
        let latency = Latency::of(Vec::new());
        assert_eq!((latency.p50, latency.p99, latency.max), (None, None, None));
    }

    #[test]
    fn a_half_adds_up() {
        let call =
            |question, served, ending, took| Call { question, served, ending, took: Duration::from_millis(took) };
        let calls = [
            call(0, Served::Called, Ending::Answered, 300),
            call(0, Served::Joined, Ending::Answered, 200),
            call(0, Served::Joined, Ending::Answered, 100),
            call(0, Served::Hit, Ending::Answered, 0),
            call(1, Served::Called, Ending::Refused, 1),
            call(1, Served::Called, Ending::Failed("why".to_owned()), 1),
        ];
        let half =
            Half::new(&calls, &[Count { calls: 1, refused: 0 }, Count { calls: 2, refused: 1 }], 1, Duration::ZERO);

        assert_eq!((half.all.requests, half.all.calls, half.calls_saved, half.calls_per_key_max), (6, 3, 3, 2));
        assert_eq!((half.answered, half.all.refused, half.failed), (4, 1, 1));
        assert_eq!((half.all.hits, half.all.waits, half.all.mean_wait_ms), (1, 2, Some(150.0)));
        assert_eq!((half.keys[0].requests, half.keys[1].requests), (4, 2));
        assert_eq!(format!("{:.2}", half.cost_usd), "0.02");
        assert_eq!(half.first_failure.as_deref(), Some("why"));
    }
}
