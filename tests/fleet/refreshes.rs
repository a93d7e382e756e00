//! Values that are renewed behind those who call: once in the whole fleet.

use std::time::Duration;

use super::events::{Setup, Task};
use super::host::Fleet;

/// Gives a second execution the time to begin that must not.
fn a_moment() {
    std::thread::sleep(Duration::from_millis(700));
}

fn once(name: &str, setup: &Setup, pause: Duration, is_in_memory: bool) {
    let Some(fleet) = Fleet::start(name, 4, setup) else { return };
    let first = fleet.call(0, "whole", "k", 1, &Task::value(200));
    assert_eq!(fleet.got(first[0]).number(), Some(1));
    let _ = fleet.stats(0, "whole");
    if is_in_memory {
        // These may already be early.
        let calls = (0..4).flat_map(|process| fleet.call(process, "whole", "k", 1, &Task::value(0).gated()));
        let _ = fleet.got_all(calls.collect::<Vec<_>>());
    }
    std::thread::sleep(pause);
    let calls = fleet.call_all("whole", "k", 10, &Task::value(0).gated());
    let got = fleet.got_all(calls);
    assert!(
        got.iter().all(|got| got.number() == Some(1)),
        "all have the old value at once: {got:?}\n{}",
        fleet.story()
    );
    let leader = fleet.started("k", 2);
    a_moment();
    assert_eq!(fleet.executions("k"), 2, "one refresh in the whole fleet\n{}", fleet.story());
    fleet.open(leader);
    // Only those who follow have another gate to pass, so no execution is missed.
    let _ = fleet.stats(leader, "whole");
    a_moment();
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    for process in 0..4 {
        fleet.open(process);
    }
    for process in 0..4 {
        let stats = fleet.stats(process, "whole");
        stats.add_up();
        assert_eq!(stats.of("in_flight"), 0, "{}", *stats);
    }
    fleet.again_until("all have the new value", || {
        let calls = fleet.call_all("whole", "k", 1, &Task::value(0));
        fleet.got_all(calls).iter().all(|got| got.number() >= Some(2))
    });
    fleet.dismiss();
}

#[test]
fn an_old_value_is_refreshed_once() {
    let setup = Setup { ttl: 3_000, stale: Some(600_000), ..Setup::default() };
    once("stale", &setup, Duration::from_millis(3_100), true);
}

#[test]
fn an_old_value_that_only_the_server_has_is_refreshed_once() {
    let setup = Setup { ttl: 3_000, stale: Some(600_000), ..Setup::default() };
    once("stale outside", &setup, Duration::from_millis(3_100), false);
}

#[test]
fn a_value_is_refreshed_early_once() {
    // So eager that almost any call is the one.
    let setup = Setup { ttl: 10_000, early: Some(100.0), ..Setup::default() };
    once("early", &setup, Duration::ZERO, true);
}

#[test]
fn a_value_that_only_the_server_has_is_refreshed_early_once() {
    let setup = Setup { ttl: 10_000, early: Some(100.0), ..Setup::default() };
    once("early outside", &setup, Duration::ZERO, false);
}

#[test]
fn a_refresher_that_is_killed_is_followed_by_another() {
    let setup = Setup { lease: 1_000, ttl: 1_000, stale: Some(600_000), ..Setup::default() };
    let Some(mut fleet) = Fleet::start("refresher killed", 3, &setup) else { return };
    let first = fleet.call(0, "whole", "k", 1, &Task::value(0));
    fleet.got(first[0]);
    let _ = fleet.stats(0, "whole");
    std::thread::sleep(Duration::from_millis(1_100));
    let calls = fleet.call_all("whole", "k", 2, &Task::value(0).gated());
    assert!(fleet.got_all(calls).iter().all(|got| got.number() == Some(1)));
    let leader = fleet.started("k", 2);
    fleet.kill(leader);
    let next = fleet.started("k", 3);
    assert_ne!(next, leader);
    fleet.open(next);
    fleet.again_until("there is a new value", || {
        let calls = fleet.call_all("whole", "k", 1, &Task::value(0));
        fleet.got_all(calls).iter().all(|got| got.number() >= Some(3))
    });
    fleet.dismiss();
}
