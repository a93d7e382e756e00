//! What is hostile without anybody's intent: values that panic, values of another service, values that no server takes.

use super::events::{Got, Setup, Task};
use super::host::Fleet;

/// Leases that end by being given back, and never by running out within a test.
fn long() -> Setup {
    Setup { lease: 600_000, ..Setup::default() }
}

/// One process leads and two wait. Returns what they got, each of three callers.
fn three(fleet: &Fleet, function: &str, key: &str, task: &Task) -> [Vec<Got>; 2] {
    fleet.close(0);
    let own = fleet.call(0, function, key, 3, &task.clone().gated());
    assert_eq!(fleet.started(key, 1), 0);
    let mut others = fleet.call(1, function, key, 3, task);
    others.extend(fleet.call(2, function, key, 3, task));
    fleet.waiting(2);
    fleet.open(0);
    [fleet.got_all(own), fleet.got_all(others)]
}

#[test]
fn a_value_that_panics_when_it_is_written_or_read_is_made_by_each_process() {
    for breaks in ["written", "read"] {
        let Some(fleet) = Fleet::start(breaks, 3, &long()) else { return };
        let [own, others] = three(&fleet, "fragile", breaks, &Task::value(20));
        let is_value = |got: &Got| matches!(got, Got::Value(_));
        assert!(own.iter().chain(&others).all(is_value), "{own:?} {others:?}\n{}", fleet.story());
        assert!((2..=3).contains(&fleet.executions(breaks)), "{}", fleet.story());
        // Others are as well as ever.
        let [own, others] = three(&fleet, "fragile", "sound", &Task::value(20));
        assert!(own.iter().chain(&others).all(|got| *got == own[0]), "{own:?} {others:?}");
        assert!(fleet.leases().is_empty(), "{:?}", fleet.leases());
        fleet.dismiss();
    }
}

#[test]
fn a_hook_that_panics_is_a_panic_for_its_callers_and_holds_up_nobody() {
    let Some(fleet) = Fleet::start("looked at", 3, &long()) else { return };
    let [own, others] = three(&fleet, "fragile", "looked at", &Task::value(20));
    let is_panic = |got: &Got| matches!(got, Got::Panic(text) if text.contains("on purpose"));
    assert!(own.iter().chain(&others).all(is_panic), "{own:?} {others:?}");
    assert!(fleet.executions("looked at") <= 3, "{}", fleet.story());
    fleet.again_until("no lease is left", || fleet.leases().is_empty());
    fleet.dismiss();
}

#[test]
fn a_key_that_panics_is_a_panic_for_its_caller_and_asks_nobody() {
    let Some(fleet) = Fleet::start("asked", 2, &long()) else { return };
    let calls = fleet.call_all("fragile", "asked", 3, &Task::value(0));
    let got = fleet.got_all(calls);
    assert!(got.iter().all(|got| matches!(got, Got::Panic(text) if text.contains("on purpose"))), "{got:?}");
    assert_eq!((fleet.executions("asked"), fleet.leases().len()), (0, 0));
    let calls = fleet.call_all("fragile", "sound", 3, &Task::value(300));
    let got = fleet.got_all(calls);
    assert_eq!(fleet.executions("sound"), 1, "{got:?}");
    fleet.dismiss();
}

#[test]
fn two_services_with_functions_of_one_name_and_other_types_never_mix_values() {
    let Some(fleet) = Fleet::start("two services", 2, &Setup::default()) else { return };
    for round in 0..5 {
        let key = format!("k{round}");
        let mut calls = fleet.call(0, "whole", &key, 3, &Task::value(100));
        calls.extend(fleet.call(1, "theirs", &key, 3, &Task::value(100)));
        let got = fleet.got_all(calls);
        for (at, got) in got.iter().enumerate() {
            assert!(matches!(got, Got::Value(made) if made.process == at / 3), "{got:?} for caller {at}");
        }
        assert_eq!(fleet.executions(&key), 2, "{}", fleet.story());
        // Nor where nothing is in memory.
        for (process, function) in [(1, "theirs"), (0, "whole"), (1, "theirs")] {
            let got = fleet.fresh(process, function, &key, &Task::value(0));
            assert!(matches!(&got, Got::Value(made) if made.process == process), "{got:?}");
        }
    }
    fleet.dismiss();
}

#[test]
fn a_value_over_the_usual_limit_is_made_by_each_process_and_nobody_polls() {
    let Some(fleet) = Fleet::start("4 MiB", 3, &long()) else { return };
    let [own, others] = three(&fleet, "whole", "k", &Task { bytes: 4 << 20, ..Task::value(0) });
    let is_whole = |got: &Got| matches!(got, Got::Value(made) if made.padding.len() == 4 << 20);
    assert!(own.iter().chain(&others).all(is_whole));
    assert!((2..=3).contains(&fleet.executions("k")));
    assert_eq!(fleet.total("whole", "backend_writes"), 0);
    assert!(fleet.leases().is_empty());
    fleet.dismiss();
}

#[test]
fn a_value_that_the_server_hangs_up_on_is_made_by_each_process() {
    let setup = Setup { payload_bytes_max: Some(16 << 20), ..long() };
    let Some(fleet) = Fleet::start("hangs up", 3, &setup) else { return };
    // The least that it can be.
    fleet.server().ask(&["CONFIG", "SET", "proto-max-bulk-len", "1048576"]);
    let [own, others] = three(&fleet, "whole", "k", &Task { bytes: 2 << 20, ..Task::value(0) });
    let is_whole = |got: &Got| matches!(got, Got::Value(made) if made.padding.len() == 2 << 20);
    assert!(own.iter().chain(&others).all(is_whole));
    assert!((1..=3).contains(&fleet.executions("k")));
    fleet.again_until("no lease is left", || fleet.leases().is_empty());
    super::server::shares_again(&fleet);
    fleet.dismiss();
}
