//! How an execution ends is known wherever somebody waits for it.

use super::events::{Got, Setup, Task};
use super::host::Fleet;

/// Has one process lead and two wait. Returns what they got.
fn shared(fleet: &Fleet, function: &str, task: &Task) -> [Vec<Got>; 2] {
    let own = fleet.call(0, function, "k", 3, &task.clone().gated());
    assert_eq!(fleet.started("k", 1), 0);
    let mut others = fleet.call(1, function, "k", 3, task);
    others.extend(fleet.call(2, function, "k", 3, task));
    fleet.waiting(2);
    fleet.open(0);
    [fleet.got_all(own), fleet.got_all(others)]
}

/// One execution, and its result for all; a call that comes later executes anew if `is_over`.
fn everyone_gets(name: &str, function: &str, task: &Task, is_over: bool, is_it: impl Fn(&Got) -> bool) {
    let Some(fleet) = Fleet::start(name, 3, &Setup::default()) else { return };
    let [own, others] = shared(&fleet, function, task);
    assert_eq!(fleet.executions("k"), 1, "{}", fleet.story());
    assert!(is_it(&own[0]), "{own:?}");
    assert!(own.iter().chain(&others).all(|got| *got == own[0]), "{own:?} {others:?}");
    let later = fleet.call(1, function, "k", 1, task);
    let _ = fleet.got(later[0]);
    let fresh = fleet.fresh(2, function, "k", task);
    assert!(is_it(&fresh), "{fresh:?}");
    assert_eq!(fleet.executions("k"), if is_over { 3 } else { 1 }, "{}", fleet.story());
    for process in 0..3 {
        let stats = fleet.stats(process, function);
        stats.add_up();
        assert_eq!(
            ["backend_failures", "redis_failures", "decode_errors"].map(|field| stats.of(field)),
            [0; 3],
            "{}",
            *stats
        );
    }
    assert_eq!(
        fleet.total(function, "coalesce_hits"),
        if is_over { 8 } else { fleet.total(function, "coalesce_hits") }
    );
    fleet.dismiss();
}

#[test]
fn an_error_reaches_all_who_wait_as_it_is() {
    everyone_gets(
        "error",
        "whole",
        &Task::error(0),
        true,
        |got| matches!(got, Got::Error(broken) if broken.causes.len() == 2),
    );
}

#[test]
fn an_error_that_is_only_text_keeps_its_causes() {
    everyone_gets("text", "texts", &Task::error(0), true, |got| {
        matches!(got, Got::Error(broken) if broken.causes == [
            format!("the cause of {}", broken.number), format!("its root, {}", broken.number),
        ])
    });
}

#[test]
fn an_error_without_a_ttl_is_shared_too() {
    everyone_gets("passing error", "passing", &Task::error(0), true, |got| matches!(got, Got::Error(_)));
}

#[test]
fn nothing_is_a_value() {
    everyone_gets("none", "maybe", &Task::nothing(0), false, |got| *got == Got::Nothing);
}

#[test]
fn so_is_unit() {
    everyone_gets("unit", "unit", &Task::value(0), false, |got| *got == Got::Unit);
}

#[test]
fn a_value_that_is_not_kept_reaches_all_who_wait() {
    everyone_gets("passing", "passing", &Task::value(0), true, |got| matches!(got, Got::Value(_)));
}

#[test]
fn so_does_unit() {
    everyone_gets("passing unit", "passing_unit", &Task::value(0), true, |got| *got == Got::Unit);
}

#[test]
fn errors_that_are_not_shared_are_tried_for_by_each_process() {
    let setup = Setup { share_errors: Some(false), ..Setup::default() };
    let Some(fleet) = Fleet::start("unshared", 3, &setup) else { return };
    let [own, others] = shared(&fleet, "whole", &Task::error(100));
    assert_eq!(fleet.executions("k"), 3, "{}", fleet.story());
    assert!(own.iter().chain(&others).all(|got| matches!(got, Got::Error(_))), "{own:?} {others:?}");
    assert_eq!(fleet.total("whole", "lock_acquired"), 3, "one after the other");
    assert_eq!(fleet.total("whole", "lock_taken_over"), 2);
    let executions = fleet.numbers("k");
    let mut last = 0;
    for event in fleet.events().iter() {
        // None begins before the one before it has ended.
        match event.what {
            super::events::What::Start { number, .. } => {
                assert_eq!(last, number - 1, "{executions:?}");
            }
            super::events::What::End { number, .. } => last = number,
            _ => (),
        }
    }
    fleet.dismiss();
}

#[test]
fn a_timeout_of_the_leader_reaches_all_who_wait() {
    let setup = Setup { timeout: Some(1_200), ..Setup::default() };
    let Some(fleet) = Fleet::start("timeout", 3, &setup) else { return };
    let [own, others] = shared(&fleet, "whole", &Task::hang());
    assert_eq!(fleet.executions("k"), 1, "{}", fleet.story());
    let is_timeout =
        |got: &Got| matches!(got, Got::Refused(text) if text.starts_with("Timeout") && text.contains("1.2s"));
    assert!(own.iter().chain(&others).all(is_timeout), "{own:?} {others:?}");
    fleet.dismiss();
}

#[test]
fn who_waits_no_longer_leaves_the_leader_alone() {
    let Some(mut fleet) = Fleet::start("wait", 1, &Setup::default()) else { return };
    fleet.spawn(&Setup { wait: Some(400), ..Setup::default() });
    fleet.ready();
    let own = fleet.call(0, "whole", "k", 2, &Task::value(0).gated());
    fleet.started("k", 1);
    let calls = fleet.call(1, "whole", "k", 3, &Task::value(0));
    let others = fleet.got_all(calls);
    assert!(
        others.iter().all(|got| matches!(got, Got::Refused(text) if text.starts_with("WaitTimeout"))),
        "{others:?}"
    );
    assert!(!fleet.has_ended(own[0]), "{}", fleet.story());
    fleet.open(0);
    let own = fleet.got_all(own);
    assert!(own.iter().all(|got| got.number() == Some(1)), "{own:?}");
    let later = fleet.call(1, "whole", "k", 1, &Task::value(0));
    assert_eq!(fleet.got(later[0]).number(), Some(1));
    assert_eq!(fleet.executions("k"), 1);
    fleet.dismiss();
}

#[test]
fn a_value_too_large_to_be_sent_is_made_by_each_process() {
    let setup = Setup { payload_bytes_max: Some(1_000), ..Setup::default() };
    for function in ["whole", "passing"] {
        let Some(fleet) = Fleet::start("giant", 3, &setup) else { return };
        let [own, others] = shared(&fleet, function, &Task { bytes: 5_000, ..Task::value(0) });
        let executions = fleet.executions("k");
        assert!((2..=3).contains(&executions), "{}", fleet.story());
        let is_whole = |got: &Got| matches!(got, Got::Value(made) if made.padding.len() == 5_000);
        assert!(own.iter().chain(&others).all(is_whole));
        assert!(fleet.total(function, "encode_errors") >= 1);
        assert_eq!(fleet.total(function, "backend_writes"), 0);
        fleet.dismiss();
    }
}
