//! Both halves side by side, and the verdict.

use std::collections::BTreeMap;

use serde::Serialize;
use stampede_runtime::Stats;

use super::plan::{Kind, Plan};
use super::tally::{Half, Tally, dollars};
use super::upstream;
use crate::failure::Failure;
use crate::report::json;

/// All that the demo found out. Serialised, it is the JSON output; the names stay as they are.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) workload: Workload,
    pub(crate) upstream: Terms,
    pub(crate) without: Half,
    pub(crate) with: Half,
    pub(crate) stats: BTreeMap<String, Stats>,
    pub(crate) verdict: Verdict,
    pub(crate) keys: Vec<Comparison>,
}

/// What was asked, by how many.
#[derive(Debug, Serialize)]
pub(crate) struct Workload {
    pub(crate) kind: Kind,
    pub(crate) keys: usize,
    pub(crate) callers: usize,
    pub(crate) rounds: u64,
    /// The rounds that find nothing stored, in the half with the attribute.
    pub(crate) cold_rounds: u64,
    /// In all rounds of a half.
    pub(crate) requests: u64,
}

/// The API's terms.
#[derive(Debug, Serialize)]
pub(crate) struct Terms {
    pub(crate) latency_ms: u128,
    /// The calls it accepts at once, in each round.
    pub(crate) burst: u32,
    pub(crate) price_usd: f64,
}

/// What the demo is there to show.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Verdict {
    /// With the attribute, no key reached the API more often than once for each cold round, by the API's own count.
    pub(crate) one_call_per_key: bool,
    /// With the attribute, every caller got the answer to its question.
    pub(crate) all_answered: bool,
}

/// One key in both halves.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) key: String,
    pub(crate) without: Tally,
    pub(crate) with: Tally,
}

impl Report {
    /// `rounds`: in each half; `cold`: how many of them found nothing stored.
    pub(crate) fn new(plan: &Plan, rounds: u64, cold: u64, without: Half, with: Half) -> Self {
        let keys = plan.questions.iter().zip(&without.keys).zip(&with.keys);
        let keys = keys.map(|((question, without), with)| Comparison {
            key: question.label().to_owned(),
            without: without.clone(),
            with: with.clone(),
        });
        Self {
            workload: Workload {
                kind: plan.kind,
                keys: plan.questions.len(),
                callers: plan.callers,
                rounds,
                cold_rounds: cold,
                requests: with.all.requests,
            },
            upstream: Terms {
                latency_ms: upstream::LATENCY.as_millis(),
                burst: plan.burst(),
                price_usd: dollars(plan.kind.price_cents()),
            },
            stats: stampede_runtime::all_stats(),
            verdict: Verdict {
                one_call_per_key: with.keys.iter().all(|key| key.calls == cold),
                all_answered: with.answered == with.all.requests,
            },
            keys: keys.collect(),
            without,
            with,
        }
    }

    pub(crate) fn json(&self) -> Result<String, Failure> {
        json(self)
    }

    /// A bad verdict is a failure; so is a call that failed in either half, for no comparison can rest on it.
    pub(crate) fn judge(&self) -> Result<(), Failure> {
        let Self { workload, without, with, verdict, .. } = self;
        let sentence = if let Some(why) = with.first_failure.as_ref().or(without.first_failure.as_ref()) {
            let failed = with.failed + without.failed;
            format!("{failed} of {} requests failed, the first because {why}", 2 * workload.requests)
        } else if !verdict.one_call_per_key {
            let expected = workload.keys as u64 * workload.cold_rounds;
            format!("with the attribute, the API was called {} times instead of {expected}", with.all.calls)
        } else if !verdict.all_answered {
            format!("with the attribute, {} requests were refused", with.all.refused)
        } else {
            return Ok(());
        };
        Err(Failure::Failed(sentence))
    }
}
