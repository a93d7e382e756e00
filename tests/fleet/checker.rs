//! What must hold of every history, whatever the faults.
//!
//! - Every value and error was made by an execution of its key (or put in), which had ended by then; of `meaning`, by one of a
//!   question that is near enough.
//! - The server never goes back: calls that have nothing in memory see it as it is, and of two such calls the later one
//!   never gets an older value. (Two servers that are not told the same have no such order, and of near questions nobody knows
//!   which is newer: not of `meaning`.)
//! - No process goes back, in calls one after the other, to an execution that had ended before the newer one began; but for a
//!   newer one of its own that nobody else has seen: what it made without the server, or was refused there, is in its memory
//!   alone, and goes with that.
//! - After an invalidation, the process that asked for it gets nothing that began before; and once the server has been told,
//!   nor does any call that has nothing in memory. Of `meaning`, calls of that question get nothing of any question that began
//!   before, and calls of others nothing of that one.
//! - An error is of an execution that had not ended when its caller came, give or take the moments for which it is told.
//!
//! That every call ends is seen to by the host, which waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::directions::{answers, is_one};
use super::events::{Does, Event, Got, What};

/// For how long an error is told after its execution has ended: two seconds, and as long again for a busy machine.
const TOLD_FOR: u64 = 4_000_000;

/// A call from its beginning to its end.
struct Call<'a> {
    number: u64,
    process: usize,
    function: &'a str,
    key: &'a str,
    begun: u64,
    ended: u64,
    is_fresh: bool,
    got: &'a Got,
}

struct Execution<'a> {
    process: usize,
    is_inserted: bool,
    key: &'a str,
    begun: u64,
    ended: Option<(u64, Does)>,
}

impl Execution<'_> {
    fn is_made_by(&self, call: &Call<'_>) -> bool {
        self.process == call.process && self.begun >= call.begun
    }
}

/// Calls of a process that have not ended.
pub(super) fn pending(events: &[Event], process: usize) -> BTreeSet<u64> {
    let mut pending = BTreeSet::new();
    for event in events.iter().filter(|event| event.process == process) {
        match &event.what {
            What::Begins { call, .. } => _ = pending.insert(*call),
            What::Got { call, .. } => _ = pending.remove(call),
            _ => (),
        }
    }
    pending
}

pub(super) fn check(events: &[Event]) -> Result<(), String> {
    let executions = executions(events);
    let calls = calls(events);
    for call in &calls {
        came_from_somewhere(call, &executions)?;
    }
    nothing_older(&calls, &executions)?;
    nothing_invalidated(events, &calls, &executions)
}

fn executions(events: &[Event]) -> BTreeMap<u64, Execution<'_>> {
    let mut executions = BTreeMap::new();
    for event in events {
        let process = event.process;
        match &event.what {
            What::Start { key, number } => {
                executions
                    .insert(*number, Execution { process, is_inserted: false, key, begun: event.at, ended: None });
            }
            What::Inserts { key, number, .. } => {
                let ended = Some((event.at, Does::Value));
                executions.insert(*number, Execution { process, is_inserted: true, key, begun: event.at, ended });
            }
            What::End { number, does, .. } => {
                if let Some(execution) = executions.get_mut(number) {
                    execution.ended = Some((event.at, *does));
                }
            }
            _ => (),
        }
    }
    executions
}

fn calls(events: &[Event]) -> Vec<Call<'_>> {
    let mut begun = BTreeMap::new();
    let mut calls = Vec::new();
    for event in events {
        match &event.what {
            What::Begins { call, function, is_fresh, .. } => {
                begun.insert(call, (event.at, function, *is_fresh));
            }
            What::Got { call, key, got } => {
                if let Some((begun, function, is_fresh)) = begun.remove(call) {
                    calls.push(Call {
                        number: *call,
                        process: event.process,
                        function,
                        key,
                        begun,
                        ended: event.at,
                        is_fresh,
                        got,
                    });
                }
            }
            _ => (),
        }
    }
    calls
}

fn came_from_somewhere(call: &Call<'_>, executions: &BTreeMap<u64, Execution<'_>>) -> Result<(), String> {
    let Some(number) = call.got.number() else { return Ok(()) };
    let of_nothing = || format!("{:?} was made by no execution of {}", call.got, call.key);
    let is_its = |execution: &&Execution<'_>| match call.function {
        "meaning" => answers(execution.key, call.key),
        _ => execution.key == call.key,
    };
    let execution = executions.get(&number).filter(is_its).ok_or_else(of_nothing)?;
    let (ended, does) = execution.ended.ok_or_else(|| format!("{:?} of an execution that had no end", call.got))?;
    let is_of_its_kind = match call.got {
        Got::Value(_) => matches!(does, Does::Value | Does::Hang),
        Got::Error(_) => does == Does::Error,
        _ => true,
    };
    if !is_of_its_kind {
        return Err(format!("{:?} of an execution that ended otherwise: {does:?}", call.got));
    }
    if ended > call.ended {
        return Err(format!("{:?} was there before it was made", call.got));
    }
    if matches!(call.got, Got::Error(_)) && ended + TOLD_FOR < call.begun {
        return Err(format!("{:?} was kept: it is older than its call", call.got));
    }
    Ok(())
}

/// The value that a call got.
fn value(call: &Call<'_>) -> Option<u64> {
    if let Got::Value(made) = call.got { Some(made.number) } else { None }
}

/// Calls that see one state, one after the other: those of a process (its number), and those without memory.
type Seers<'a> = (Option<usize>, &'a str);

fn nothing_older(calls: &[Call<'_>], executions: &BTreeMap<u64, Execution<'_>>) -> Result<(), String> {
    let mut seen: BTreeMap<Seers<'_>, Vec<(&Call<'_>, u64)>> = BTreeMap::new();
    let mut seen_elsewhere = BTreeSet::new();
    for call in calls.iter().filter(|call| call.function != "meaning") {
        let Some(number) = value(call) else { continue };
        let execution = &executions[&number];
        if call.is_fresh || call.process != execution.process {
            seen_elsewhere.insert(number);
        }
        // What is put in is as new as its arrival, which its number does not tell.
        if !execution.is_inserted {
            seen.entry(((!call.is_fresh).then_some(call.process), call.key)).or_default().push((call, number));
        }
    }
    for ((_, key), mut of_one) in seen {
        let mut ended = of_one.clone();
        // What a call without memory has made by itself may not have been kept.
        ended.retain(|(call, number)| {
            if call.is_fresh { !executions[number].is_made_by(call) } else { seen_elsewhere.contains(number) }
        });
        ended.sort_unstable_by_key(|(call, _)| call.ended);
        of_one.sort_unstable_by_key(|(call, _)| call.begun);
        let (mut newest, mut next) = (0, 0);
        for (call, number) in of_one {
            while let Some((_, earlier)) = ended.get(next).filter(|(earlier, _)| earlier.ended < call.begun) {
                newest = newest.max(*earlier);
                next += 1;
            }
            if number >= newest {
                continue;
            }
            let were_at_once = executions[&number].ended.is_none_or(|(at, _)| at >= executions[&newest].begun);
            // Without the server, a process may have made a value beside one that another has made and kept.
            if !call.is_fresh && were_at_once {
                continue;
            }
            let who = if call.is_fresh { "without memory".to_owned() } else { format!("of worker {}", call.process) };
            return Err(format!(
                "call {} {who} got value {number} of {key} after {newest} had been seen there",
                call.number
            ));
        }
    }
    Ok(())
}

fn nothing_invalidated(
    events: &[Event],
    calls: &[Call<'_>],
    executions: &BTreeMap<u64, Execution<'_>>,
) -> Result<(), String> {
    for event in events {
        let What::Invalidates { done, function, key } = &event.what else { continue };
        let when = |is_it: fn(&What, u64) -> bool| {
            events.iter().find_map(|event| is_it(&event.what, *done).then_some(event.at)).unwrap_or(u64::MAX)
        };
        let here = when(|what, done| matches!(what, What::Invalidated { done: of } if *of == done));
        let there = when(|what, done| matches!(what, What::Done { done: of, has_arrived: true } if *of == done));
        let is_it = |of: &str| key.as_deref().is_none_or(|key| key == of || function == "meaning" && is_one(key, of));
        for call in calls.iter().filter(|call| call.function == *function) {
            let after = if call.is_fresh { there } else { here };
            if call.begun <= after || !(call.is_fresh || call.process == event.process) {
                continue;
            }
            let Some(number) = value(call) else { continue };
            let execution = &executions[&number];
            let is_taken_out = is_it(call.key) || is_it(execution.key);
            if is_taken_out && !execution.is_inserted && execution.begun < event.at {
                return Err(format!(
                    "value {number} of {} was got by call {} of worker {} after invalidation {done} had taken it out",
                    call.key, call.number, call.process
                ));
            }
        }
    }
    Ok(())
}

/// A history for people.
pub(super) fn story(events: &[Event]) -> String {
    let begun = events.iter().map(|event| event.at).min().unwrap_or(0);
    let mut events: Vec<_> = events.iter().collect();
    events.sort_by_key(|event| event.at);
    let mut story = String::new();
    // The end is what a failure is about.
    for event in events.iter().skip(events.len().saturating_sub(300)) {
        let at = event.at.saturating_sub(begun) / 1_000;
        _ = writeln!(story, "{at:7} ms  worker {}  {:?}", event.process, event.what);
    }
    story
}
