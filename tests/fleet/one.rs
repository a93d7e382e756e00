//! One execution, however many processes and callers.

use super::events::{Got, Setup, Task};
use super::host::Fleet;

#[test]
fn a_thousand_callers_in_four_processes_are_one_execution() {
    let Some(fleet) = Fleet::start("one", 4, &Setup::default()) else { return };
    let calls = fleet.call_all("whole", "k", 250, &Task::value(400));
    let got = fleet.got_all(calls);
    assert_eq!(fleet.executions("k"), 1, "{}", fleet.story());
    let number = fleet.numbers("k")[0];
    assert!(got.len() == 1_000 && got.iter().all(|got| matches!(got, Got::Value(made) if made.number == number)));

    let [mut saved, mut pushed] = [0; 2];
    for process in 0..4 {
        let stats = fleet.stats(process, "whole");
        stats.add_up();
        assert_eq!(stats.of("requests"), 250);
        assert_eq!(stats.of("execution_time.count"), stats.of("executions"));
        assert_eq!(["bypassed", "refused", "errors", "backend_failures"].map(|field| stats.of(field)), [0; 4]);
        // Each has asked once, and nobody asked for what was there.
        assert_eq!(
            stats.of("lock_acquired") + stats.of("lock_waited") + stats.of("backend_hits"),
            1 + stats.of("lock_waited")
        );
        saved += ["cache_hits", "stale_hits", "coalesce_hits"].map(|field| stats.of(field)).iter().sum::<u64>();
        pushed += stats.of("push_wakeups");
    }
    assert_eq!(saved, 999, "savings never count an execution");
    assert_eq!(fleet.total("whole", "lock_acquired"), 1);
    assert_eq!(fleet.total("whole", "lock_taken_over"), 0);
    assert_eq!(fleet.total("whole", "backend_writes"), 1);
    fleet.note(format_args!("{pushed} wake-ups by push, {} by poll", fleet.total("whole", "poll_wakeups")));
    assert_eq!(fleet.fresh(0, "whole", "k", &Task::value(0)).number(), Some(number), "it is kept");
    fleet.dismiss();
}

#[test]
fn two_hundred_keys_are_two_hundred_executions() {
    let Some(fleet) = Fleet::start("keys", 4, &Setup::default()) else { return };
    let keys: Vec<_> = (0..200).map(|key| format!("k{key}")).collect();
    let mut calls = Vec::new();
    for key in &keys {
        calls.extend(fleet.call_all("whole", key, 3, &Task::value(100)));
    }
    let _ = fleet.got_all(calls);
    for key in &keys {
        assert_eq!(fleet.executions(key), 1, "{key}");
    }
    for process in 0..4 {
        let stats = fleet.stats(process, "whole");
        stats.add_up();
        assert_eq!(stats.of("requests"), 600);
    }
    assert_eq!(fleet.total("whole", "executions"), 200);
    assert_eq!(fleet.total("whole", "lock_acquired"), 200);
    assert_eq!(fleet.total("whole", "cache_hits") + fleet.total("whole", "coalesce_hits"), 2_200);
    fleet.dismiss();
}

#[test]
fn functions_that_are_not_async_share_too() {
    let Some(fleet) = Fleet::start("sync", 3, &Setup::default()) else { return };
    let calls = fleet.call_all("sync", "k", 5, &Task::value(400));
    let got = fleet.got_all(calls);
    assert_eq!(fleet.executions("k"), 1, "{}", fleet.story());
    assert!(got.windows(2).all(|pair| pair[0] == pair[1]), "{got:?}");
    fleet.dismiss();
}

#[test]
fn so_do_runtimes_of_one_thread() {
    let setup = Setup { is_current_thread: true, ..Setup::default() };
    let Some(fleet) = Fleet::start("current thread", 3, &setup) else { return };
    let calls = fleet.call_all("whole", "k", 20, &Task::value(400));
    let got = fleet.got_all(calls);
    assert_eq!(fleet.executions("k"), 1, "{}", fleet.story());
    assert!(got.windows(2).all(|pair| pair[0] == pair[1]), "{got:?}");
    fleet.dismiss();
}

#[test]
fn whoever_comes_later_gets_what_is_kept() {
    let Some(fleet) = Fleet::start("later", 2, &Setup::default()) else { return };
    for function in ["whole", "texts", "maybe", "sync"] {
        let calls = fleet.call(0, function, function, 1, &Task::value(0));
        let got = fleet.got(calls[0]);
        // What a call returns is on its way to the server.
        let _ = fleet.stats(0, function);
        assert_eq!(fleet.fresh(1, function, function, &Task::value(0)), got);
        assert_eq!(fleet.executions(function), 1, "{}", fleet.story());
    }
    for (function, task) in [("maybe", Task::nothing(0)), ("unit", Task::value(0))] {
        let key = format!("{function} of nothing");
        let calls = fleet.call(0, function, &key, 1, &task);
        let got = fleet.got(calls[0]);
        let _ = fleet.stats(0, function);
        assert_eq!(fleet.fresh(1, function, &key, &task), got);
        assert_eq!(fleet.executions(&key), 1, "`None` and `()` are values");
    }
    fleet.dismiss();
}
