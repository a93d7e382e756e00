//! What is explored.

use super::client::Task::{self, Behind, Call, Insert, Invalidate, Refresh};
use super::explore::explore;
use super::world::{self, Broken, Defect, Fault, Rules};

const ALL: &[Fault] = &[Fault::Loss, Fault::Crash, Fault::Restart, Fault::Eviction, Fault::Clock];

fn is_thorough() -> bool {
    std::env::var_os("STAMPEDE_PROTOCOL_THOROUGH").is_some_and(|value| value != "0")
}

fn rules(tasks: &[&[Task]], ticks: u64, faults: u8, kinds: &'static [Fault]) -> Rules {
    let tasks = tasks.iter().map(|tasks| tasks.to_vec()).collect();
    Rules { tasks, ticks, faults, kinds, with_messages: is_thorough(), defect: None }
}

/// Explores it all, in which everything is as promised.
#[track_caller]
fn holds(rules: &Rules) {
    let begun = std::time::Instant::now();
    let explored = explore(rules);
    println!(
        "{:?}, {} ticks, {} of {:?}: {} states, {} steps, {:.1?}",
        rules.tasks,
        rules.ticks,
        rules.faults,
        rules.kinds,
        explored.states,
        explored.steps,
        begun.elapsed(),
    );
    if let Some((broken, path)) = explored.broken {
        panic!("{broken}: {path:#?}");
    }
}

/// With a defect, this is what breaks.
#[track_caller]
fn breaks(rules: Rules, defect: Defect, expected: &[Broken]) {
    let explored = explore(&Rules { defect: Some(defect), ..rules });
    let (broken, path) = explored.broken.unwrap_or_else(|| panic!("nothing notices {defect:?}"));
    println!("{defect:?}: {broken}, after {} steps, in {} states", path.len(), explored.states);
    assert!(expected.contains(&broken), "{broken}: {path:#?}");
}

#[test]
fn two_processes_with_one_fault() {
    for tasks in [
        [&[Call][..], &[Call]],
        [&[Behind], &[Insert, Behind]],
        [&[Refresh], &[Call]],
        [&[Refresh], &[Refresh]],
        [&[Call], &[Invalidate, Call]],
        [&[Call], &[Insert, Refresh]],
    ] {
        let (ticks, faults) = if is_thorough() { (4, 2) } else { (2, 1) };
        holds(&rules(&tasks, ticks, faults, ALL));
    }
}

#[test]
fn three_processes() {
    for tasks in
        [[&[Call][..], &[Call], &[Call]], [&[Call], &[Refresh], &[Invalidate]], [&[Refresh], &[Call], &[Insert]]]
    {
        let (ticks, faults) = if is_thorough() { (3, 1) } else { (1, 0) };
        holds(&rules(&tasks, ticks, faults, ALL));
    }
}

#[test]
fn each_promise_can_be_broken() {
    let two = |tasks: [&[Task]; 2], faults| rules(&tasks, 4, faults, ALL);
    let calls = || two([&[Call], &[Call]], 0);
    breaks(calls(), Defect::EndsAnyway, &[world::OLDER]);
    breaks(calls(), Defect::TakesAnything, &[world::TWO, world::NOT_NEWEST]);
    breaks(two([&[Call], &[Invalidate]], 0), Defect::LeaseStays, &[world::INVALIDATED]);
    breaks(two([&[Call, Call], &[Invalidate]], 0), Defect::ValueStays, &[world::SERVED]);
    breaks(calls(), Defect::NeverLooks, &[world::UNWOKEN, world::STUCK]);
    breaks(calls(), Defect::ToldToAll, &[world::TOLD]);
    breaks(calls(), Defect::GivesAway, &[world::AT_ONCE]);
    breaks(calls(), Defect::CoarseClock, &[world::FENCE]);
}
