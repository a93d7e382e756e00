//! What came of it: by process, by round and by key, and whether the promise was kept.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::wire::{Counted, key, places};
use super::{Call, Kill, LEASE, Plan, Round};
use crate::demo::tally::{Latency, milliseconds};
use crate::demo::upstream;
use crate::failure::Failure;

/// All that the demo found out. Serialised, it is the JSON output; the names stay as they are.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) workload: Workload,
    pub(super) upstream: Terms,
    pub(super) lease_ms: u128,
    pub(super) processes: Vec<Worker>,
    pub(super) total: Figures,
    pub(super) rounds: Vec<OneRound>,
    pub(super) kill: Option<Killing>,
    pub(super) verdict: Verdict,
    pub(super) keys: Vec<Place>,
    /// What the first call that failed said.
    #[serde(skip)]
    first_failure: Option<String>,
}

/// What was asked, by how many.
#[derive(Debug, Serialize)]
pub(super) struct Workload {
    pub(super) processes: u16,
    /// Of each process.
    pub(super) callers: u16,
    pub(super) keys: u16,
    pub(super) rounds: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Terms {
    pub(super) latency_ms: u128,
}

#[derive(Debug, Serialize)]
pub(super) struct Worker {
    pub(super) process: u16,
    pub(super) killed: bool,
    #[serde(flatten)]
    pub(super) figures: Figures,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) requests: u64,
    pub(super) answered: u64,
    pub(super) failed: u64,
    /// That reached the API, by its own count.
    pub(super) calls: u64,
    /// What nobody could tell any more is missing.
    #[serde(flatten)]
    pub(super) counted: Option<Counted>,
}

#[derive(Debug, Serialize)]
pub(super) struct OneRound {
    pub(super) calls: u64,
    /// Of those who were answered, in all processes.
    pub(super) latency_ms: Latency,
    pub(super) duration_ms: f64,
}

/// A death, and what it cost.
#[derive(Debug, Serialize)]
pub(super) struct Killing {
    pub(super) process: u16,
    pub(super) after_ms: f64,
    /// That it was calling for.
    pub(super) keys: u64,
    /// From its death to the call that was made in its place.
    pub(super) takeover_ms: Latency,
}

/// What the demo is there to show.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Verdict {
    /// No key reached the API more often than once, or twice where the first to call was killed.
    pub(super) one_call_per_key: bool,
    /// Every caller got the answer to its question, except for those who died.
    pub(super) all_answered: bool,
    /// Others called in the place of the process that was killed, if one was to be.
    pub(super) taken_over: Option<bool>,
}

#[derive(Debug, Serialize)]
pub(super) struct Place {
    pub(super) key: String,
    pub(super) calls: u64,
    /// Who called, in that order.
    pub(super) processes: Vec<u16>,
    /// From the death of the first of them to the next call.
    pub(super) takeover_ms: Option<f64>,
    /// How often it may be called for.
    #[serde(skip)]
    calls_max: u64,
}

impl Report {
    pub(super) fn new(plan: Plan, rounds: &[Round]) -> Self {
        let kill = rounds.iter().find_map(|round| round.kill);
        let processes: Vec<_> = (1..=plan.processes).map(|number| Worker::new(number, plan, rounds, kill)).collect();
        let total = processes.iter().fold(Figures::default(), |sum, process| sum + process.figures);
        let (keys, takeovers) = keys(plan, rounds);
        let lost = kill.map_or(0, |_| u64::from(plan.callers));
        Self {
            workload: Workload {
                processes: plan.processes,
                callers: plan.callers,
                keys: plan.keys,
                rounds: rounds.len(),
            },
            upstream: Terms { latency_ms: upstream::LATENCY.as_millis() },
            lease_ms: LEASE.as_millis(),
            verdict: Verdict {
                one_call_per_key: keys.iter().all(|key| 1 <= key.calls && key.calls <= key.calls_max),
                all_answered: total.answered == total.requests - lost,
                taken_over: plan.kill.then_some(!takeovers.is_empty()),
            },
            kill: kill.map(|Kill { process, after }| Killing {
                process,
                after_ms: milliseconds(after),
                keys: keys.iter().filter(|key| key.calls_max > 1).count() as u64,
                takeover_ms: Latency::of(takeovers),
            }),
            rounds: rounds.iter().map(OneRound::new).collect(),
            first_failure: rounds
                .iter()
                .flat_map(|round| round.ended.values())
                .find_map(|ended| ended.first_failure.clone()),
            processes,
            total,
            keys,
        }
    }

    /// How many calls the promise allows.
    pub(super) fn calls_max(&self) -> u64 {
        self.keys.iter().map(|key| key.calls_max).sum()
    }

    pub(super) fn judge(&self) -> Result<(), Failure> {
        let Self { total, verdict, .. } = self;
        let sentence = if let Some(why) = &self.first_failure {
            format!("{} of {} requests failed, the first because {why}", total.failed, total.requests)
        } else if !verdict.one_call_per_key {
            let alone = total.counted.map_or(0, |counted| counted.redis_failures);
            let because = match alone {
                0 => String::new(),
                alone => format!("; {alone} executions were for one process alone, because Redis was no help"),
            };
            format!("the API was called {} times instead of {}{because}", total.calls, self.calls_max())
        } else if !verdict.all_answered {
            format!("only {} of {} requests were answered", total.answered, total.requests)
        } else if verdict.taken_over == Some(false) {
            "nobody had to take over: the call was made before its process was killed".to_owned()
        } else {
            return Ok(());
        };
        Err(Failure::Failed(sentence))
    }
}

impl Worker {
    fn new(number: u16, plan: Plan, rounds: &[Round], kill: Option<Kill>) -> Self {
        let killed = kill.is_some_and(|kill| kill.process == number);
        let ended: Vec<_> = rounds.iter().filter_map(|round| round.ended.get(&number)).collect();
        let begun = if killed { 1 } else { rounds.len() };
        let calls = rounds.iter().flat_map(|round| &round.calls).filter(|call| call.process == number);
        let figures = Figures {
            requests: begun as u64 * u64::from(plan.callers),
            answered: ended.iter().map(|ended| ended.answered).sum(),
            failed: ended.iter().map(|ended| ended.failed).sum(),
            calls: calls.count() as u64,
            counted: ended.last().map(|ended| ended.counted),
        };
        Self { process: number, killed, figures }
    }
}

impl OneRound {
    fn new(round: &Round) -> Self {
        let took = round.ended.values().flat_map(|ended| &ended.took_micros);
        Self {
            calls: round.calls.len() as u64,
            latency_ms: Latency::of(took.map(|&micros| Duration::from_micros(micros)).collect()),
            duration_ms: milliseconds(round.took),
        }
    }
}

/// What happened to each key, and how long each takeover took.
fn keys(plan: Plan, rounds: &[Round]) -> (Vec<Place>, Vec<Duration>) {
    let mut calls: BTreeMap<&str, Vec<(&Call, Option<Kill>)>> = BTreeMap::new();
    for round in rounds {
        for call in &round.calls {
            calls.entry(&call.key).or_default().push((call, round.kill));
        }
    }
    let mut takeovers = Vec::new();
    let keys = places(plan.keys).map(|(country, zip)| {
        let key = key(country, &zip);
        let calls = calls.remove(&*key).unwrap_or_default();
        // Where the first to call died, one more may call.
        let death = calls.first().and_then(|(first, kill)| kill.filter(|kill| kill.process == first.process));
        let takeover = death.and_then(|death| {
            let (next, _) = calls.get(1)?;
            next.after.checked_sub(death.after)
        });
        takeovers.extend(takeover);
        Place {
            key,
            calls: calls.len() as u64,
            processes: calls.iter().map(|(call, _)| call.process).collect(),
            takeover_ms: takeover.map(milliseconds),
            calls_max: if death.is_some() { 2 } else { 1 },
        }
    });
    let keys = keys.collect();
    (keys, takeovers)
}

impl std::ops::Add for Figures {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            answered: self.answered + other.answered,
            failed: self.failed + other.failed,
            calls: self.calls + other.calls,
            counted: match (self.counted, other.counted) {
                (Some(one), Some(two)) => Some(one + two),
                (one, two) => one.or(two),
            },
        }
    }
}

impl std::ops::Add for Counted {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            executions: self.executions + other.executions,
            joined: self.joined + other.joined,
            hits: self.hits + other.hits,
            waited: self.waited + other.waited,
            taken_over: self.taken_over + other.taken_over,
            lost: self.lost + other.lost,
            fenced: self.fenced + other.fenced,
            push_wakeups: self.push_wakeups + other.push_wakeups,
            poll_wakeups: self.poll_wakeups + other.poll_wakeups,
            redis_failures: self.redis_failures + other.redis_failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::fleet::wire::Ended;

    const PLAN: Plan = Plan { processes: 2, callers: 2, keys: 2, kill: true };

    fn call(key: &str, process: u16, after: u64) -> Call {
        Call { key: key.to_owned(), process, after: Duration::from_millis(after) }
    }

    /// Worker 1 is killed after 100 ms.
    fn round(calls: Vec<Call>) -> Round {
        let ended = Ended {
            answered: 2,
            failed: 0,
            first_failure: None,
            took_micros: vec![1_000, 2_000],
            counted: Counted::default(),
        };
        let kill = Some(Kill { process: 1, after: Duration::from_millis(100) });
        Round { took: Duration::from_secs(1), calls, ended: BTreeMap::from([(2, ended)]), kill }
    }

    #[test]
    fn a_key_of_the_killed_may_be_called_for_twice_and_no_other() {
        let [one, two] = ["DE/10115", "DE/10116"];
        let report = Report::new(PLAN, &[round(vec![call(one, 1, 5), call(two, 2, 6), call(one, 2, 1_120)])]);
        assert!(report.judge().is_ok(), "{:?}", report.judge());
        assert_eq!((report.calls_max(), &*report.keys[0].processes), (3, &[1, 2][..]));
        assert_eq!([report.keys[0].takeover_ms, report.keys[1].takeover_ms], [Some(1_020.0), None]);
        assert!(report.processes[0].killed && report.processes[0].figures.counted.is_none());

        let report = Report::new(PLAN, &[round(vec![call(one, 1, 5), call(two, 2, 6), call(two, 2, 7)])]);
        assert!(!report.verdict.one_call_per_key);
    }

    #[test]
    fn a_death_that_cost_nothing_shows_nothing() {
        let [one, two] = ["DE/10115", "DE/10116"];
        let report = Report::new(PLAN, &[round(vec![call(one, 1, 5), call(two, 2, 6)])]);
        assert!(report.verdict.one_call_per_key);
        assert_eq!(report.verdict.taken_over, Some(false));
        assert!(report.judge().is_err());
    }
}
