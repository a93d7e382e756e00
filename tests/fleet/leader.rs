//! Leaders that die, stop, are late, give up, or lose their lease.

use std::time::Instant;

use super::events::{Got, Setup, Task};
use super::host::Fleet;

/// A lease that ends while a test waits for that.
fn short() -> Setup {
    Setup { lease: 1_000, ..Setup::default() }
}

/// Has one process lead and the others wait. Returns the calls.
fn one_leads(fleet: &Fleet, key: &str, task: &Task, others: &Task) -> Vec<u64> {
    let mut calls = fleet.call(0, "whole", key, 3, task);
    assert_eq!(fleet.started(key, 1), 0);
    for process in 1..3 {
        calls.extend(fleet.call(process, "whole", key, 3, others));
    }
    fleet.waiting(2);
    calls
}

#[test]
fn whoever_waits_takes_over_from_a_leader_that_was_killed() {
    let Some(mut fleet) = Fleet::start("killed", 3, &short()) else { return };
    let calls = one_leads(&fleet, "k", &Task::hang(), &Task::value(100));
    fleet.kill(0);
    let killed = Instant::now();
    let process = fleet.started("k", 2);
    fleet.note(format_args!("worker {process} took over after {:.0?}, the lease is 1 s", killed.elapsed()));
    let got = fleet.got_all(calls[3..].iter().copied());
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    assert!(got.iter().all(|got| got.number() == Some(fleet.numbers("k")[1])), "{got:?}");
    assert_eq!(fleet.total("whole", "lock_taken_over"), 1);
    assert_eq!(fleet.stats(process, "whole").of("lock_taken_over"), 1);
    fleet.dismiss();
}

#[test]
fn a_leader_that_stood_still_keeps_nothing() {
    let Some(fleet) = Fleet::start("stopped", 3, &short()) else { return };
    let calls = one_leads(&fleet, "k", &Task::value(0).gated(), &Task::value(100));
    fleet.stop(0);
    let stopped = Instant::now();
    let _ = fleet.got_all(calls[3..].iter().copied());
    fleet.note(format_args!("the others had their value {:.0?} after the leader stood still", stopped.elapsed()));
    fleet.open(0);
    fleet.go_on(0);
    let own = fleet.got_all(calls[..3].iter().copied());
    let [old, new] = fleet.numbers("k")[..] else { panic!("two executions\n{}", fleet.story()) };
    assert!(own.iter().all(|got| got.number() == Some(old)), "its own callers get its value: {own:?}");
    let stats = fleet.stats(0, "whole");
    assert!(stats.of("fenced_writes") + stats.of("lock_lost") >= 1, "{}", *stats);
    assert_eq!(stats.of("backend_writes"), 0);
    assert_eq!(fleet.fresh(1, "whole", "k", &Task::value(0)).number(), Some(new), "the server keeps the newer one");
    let later = fleet.call(0, "whole", "k", 1, &Task::value(0));
    assert_eq!(fleet.got(later[0]).number(), Some(new), "and so does who stood still, {}", fleet.story());
    assert_eq!(fleet.executions("k"), 2);
    fleet.dismiss();
}

#[test]
fn a_body_may_take_longer_than_its_lease() {
    let setup = Setup { lease: 600, ..Setup::default() };
    let Some(fleet) = Fleet::start("renewed", 3, &setup) else { return };
    let calls = one_leads(&fleet, "k", &Task::value(2_000).gated(), &Task::value(0));
    fleet.open(0);
    let got = fleet.got_all(calls);
    assert_eq!(fleet.executions("k"), 1, "{}", fleet.story());
    assert!(got.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(fleet.total("whole", "lock_lost"), 0);
    fleet.dismiss();
}

#[test]
fn a_body_that_blocks_its_thread_keeps_its_lease() {
    let setup = Setup { lease: 600, is_current_thread: true, ..Setup::default() };
    let Some(fleet) = Fleet::start("blocked", 2, &setup) else { return };
    let first = fleet.call(0, "sync", "k", 1, &Task::value(2_000));
    fleet.started("k", 1);
    let second = fleet.call(1, "sync", "k", 1, &Task::value(0));
    assert_eq!(fleet.got(first[0]), fleet.got(second[0]));
    assert_eq!(fleet.executions("k"), 1, "{}", fleet.story());
    fleet.dismiss();
}

#[test]
fn a_leader_whose_lease_was_deleted_serves_its_own_callers() {
    let Some(fleet) = Fleet::start("deleted", 3, &short()) else { return };
    let calls = one_leads(&fleet, "k", &Task::value(0).gated(), &Task::value(0).gated());
    let leases = fleet.leases();
    assert_eq!(leases.len(), 1, "{leases:?}");
    fleet.server().ask(&["DEL", &leases[0]]);
    let next = fleet.started("k", 2);
    fleet.again_until("the loss is noticed", || fleet.stats_now(0, "whole").of("lock_lost") == 1);
    fleet.open(0);
    let own = fleet.got_all(calls[..3].iter().copied());
    assert!(own.iter().all(|got| got.number() == Some(fleet.numbers("k")[0])), "{own:?}");
    let stats = fleet.stats(0, "whole");
    assert_eq!((stats.of("lock_lost"), stats.of("backend_writes")), (1, 0), "{}", *stats);
    fleet.open(next);
    let others = fleet.got_all(calls[3..].iter().copied());
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    assert!(others.iter().all(|got| got.number() == Some(fleet.numbers("k")[1])), "{others:?}");
    assert_eq!(fleet.fresh(0, "whole", "k", &Task::value(0)).number(), Some(fleet.numbers("k")[1]));
    fleet.dismiss();
}

/// What ends an execution without a result gives the lease back: the next one leads long before it would have run out.
fn the_next_one_leads(name: &str, task: &Task, end: impl FnOnce(&Fleet)) {
    // Far longer than the patience of a test.
    let setup = Setup { lease: 600_000, ..Setup::default() };
    let Some(fleet) = Fleet::start(name, 3, &setup) else { return };
    let calls = one_leads(&fleet, "k", task, &Task::value(100));
    end(&fleet);
    let own = fleet.got_all(calls[..3].iter().copied());
    let ended = Instant::now();
    let others = fleet.got_all(calls[3..].iter().copied());
    fleet.note(format_args!("the others had a value {:.0?} after the end", ended.elapsed()));
    assert!(own.iter().all(|got| matches!(got, Got::Panic(_) | Got::Cancelled)), "{own:?}");
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    assert!(others.iter().all(|got| got.number() == Some(fleet.numbers("k")[1])), "{others:?}");
    assert_eq!(fleet.total("whole", "lock_taken_over"), 1);
    fleet.dismiss();
}

#[test]
fn a_panic_is_for_the_leaders_callers_and_the_next_one_leads() {
    the_next_one_leads("panic", &Task::panic(0).gated(), |fleet| fleet.open(0));
}

#[test]
fn when_all_callers_of_a_leader_have_left_the_next_one_leads() {
    the_next_one_leads("cancelled", &Task::hang(), |fleet| fleet.cancel(0));
}

#[test]
fn when_the_runtime_of_a_leader_ends_another_leads() {
    let setup = Setup { lease: 600_000, ..Setup::default() };
    let Some(fleet) = Fleet::start("doomed", 3, &setup) else { return };
    let doomed = fleet.doomed(0, "k", &Task::hang(), 1_000);
    fleet.started("k", 1);
    let calls = [fleet.call(1, "whole", "k", 2, &Task::value(100)), fleet.call(2, "whole", "k", 2, &Task::value(100))];
    let got = fleet.got_all(calls.concat());
    assert_eq!(fleet.got(doomed), Got::Cancelled);
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    assert!(got.iter().all(|got| got.number() == Some(fleet.numbers("k")[1])), "{got:?}");
    fleet.dismiss();
}

#[test]
fn when_the_runtime_of_a_leader_ends_its_own_process_goes_on_too() {
    let setup = Setup { lease: 600_000, ..Setup::default() };
    let Some(fleet) = Fleet::start("doomed within", 2, &setup) else { return };
    fleet.doomed(0, "k", &Task::hang(), 1_000);
    fleet.started("k", 1);
    let calls = [fleet.call(0, "whole", "k", 2, &Task::value(300)), fleet.call(1, "whole", "k", 2, &Task::value(300))];
    let got = fleet.got_all(calls.concat());
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    assert!(got.iter().all(|got| got.number() == Some(fleet.numbers("k")[1])), "{got:?}");
    fleet.dismiss();
}

#[test]
fn a_runtime_that_ends_while_it_waits_disturbs_nobody() {
    let Some(fleet) = Fleet::start("doomed waiter", 2, &Setup::default()) else { return };
    let first = fleet.call(0, "whole", "k", 1, &Task::value(0).gated());
    fleet.started("k", 1);
    let doomed = fleet.doomed(1, "k", &Task::value(0), 500);
    let calls = fleet.call(1, "whole", "k", 3, &Task::value(0));
    fleet.got(doomed);
    fleet.waiting(1);
    fleet.open(0);
    let got = fleet.got_all(calls.into_iter().chain(first));
    assert_eq!(fleet.executions("k"), 1, "{}", fleet.story());
    assert!(got.windows(2).all(|pair| pair[0] == pair[1]), "{got:?}");
    fleet.dismiss();
}

#[test]
fn a_call_right_after_all_others_have_left_need_not_wait() {
    let setup = Setup { lease: 600_000, ..Setup::default() };
    let Some(fleet) = Fleet::start("left and back", 2, &setup) else { return };
    for round in 0..20 {
        let key = format!("k{round}");
        let left = fleet.call(0, "whole", &key, 2, &Task::hang());
        if round % 2 == 0 {
            fleet.started(&key, 1);
        }
        fleet.cancel(0);
        // Who calls before they have left joins them.
        assert!(fleet.got_all(left).iter().all(|got| *got == Got::Cancelled));
        let mut back = fleet.call(0, "whole", &key, 1, &Task::value(10));
        back.extend(fleet.call(1, "whole", &key, 1, &Task::value(10)));
        let got = fleet.got_all(back);
        assert_eq!(got[0], got[1], "{}", fleet.story());
        // One of those who left may have come after the other had.
        assert!(fleet.executions(&key) <= 3, "{}", fleet.story());
    }
    assert!(fleet.leases().is_empty(), "{:?}", fleet.leases());
    fleet.dismiss();
}

#[test]
fn a_process_that_shuts_down_gives_its_leases_back() {
    let setup = Setup { lease: 600_000, ..Setup::default() };
    let Some(mut fleet) = Fleet::start("shut down", 3, &setup) else { return };
    let calls = one_leads(&fleet, "k", &Task::hang(), &Task::value(0));
    fleet.leave(0, 200);
    let left = Instant::now();
    let got = fleet.got_all(calls[3..].iter().copied());
    fleet.note(format_args!("the others had a value {:.0?} after it had left", left.elapsed()));
    assert!(got.iter().all(|got| got.number() == Some(fleet.numbers("k")[1])), "{got:?}");
    fleet.dismiss();
}

#[test]
fn what_a_process_made_before_it_shut_down_is_kept() {
    let Some(mut fleet) = Fleet::start("made before", 2, &Setup::default()) else { return };
    let calls = fleet.call(0, "whole", "k", 1, &Task::value(0));
    let got = fleet.got(calls[0]);
    fleet.leave(0, 10_000);
    assert_eq!(fleet.fresh(1, "whole", "k", &Task::value(0)), got);
    assert_eq!(fleet.executions("k"), 1);
    fleet.dismiss();
}

#[test]
fn a_leader_that_is_cut_off_keeps_nothing_outside() {
    let Some(mut fleet) = Fleet::start("cut off", 0, &short()) else { return };
    fleet.server().ask(&["ACL", "SETUSER", "cut", "on", ">pass", "~*", "&*", "+@all"]);
    let url = fleet.server().url_of("cut", "pass");
    fleet.spawn(&Setup { url: Some(url), patience: None, ..short() });
    fleet.spawn(&short());
    fleet.spawn(&short());
    fleet.ready();
    let calls = one_leads(&fleet, "k", &Task::value(0).gated(), &Task::value(0));
    fleet.server().ask(&["ACL", "SETUSER", "cut", "off"]);
    fleet.server().ask(&["CLIENT", "KILL", "USER", "cut"]);
    let others = fleet.got_all(calls[3..].iter().copied());
    assert!(others.iter().all(|got| got.number() == Some(2)), "{others:?}");
    // It goes on alone.
    let alone = fleet.call(0, "whole", "alone", 3, &Task::value(0));
    assert!(fleet.got_all(alone).iter().all(|got| matches!(got, Got::Value(_))));
    fleet.server().ask(&["ACL", "SETUSER", "cut", "on"]);
    fleet.again_until("it is back", || {
        let calls = fleet.call(0, "whole", &format!("back {}", fleet.events().len()), 1, &Task::value(0));
        fleet.got(calls[0]);
        fleet.stats_now(0, "whole")["backend_state"] == "closed" && fleet.stats_now(0, "whole").of("backend_writes") > 0
    });
    fleet.open(0);
    let own = fleet.got_all(calls[..3].iter().copied());
    assert!(own.iter().all(|got| got.number() == Some(1)), "{own:?}");
    let _ = fleet.stats(0, "whole");
    assert_eq!(fleet.fresh(1, "whole", "k", &Task::value(0)).number(), Some(2), "{}", fleet.story());
    let later = fleet.call(0, "whole", "k", 1, &Task::value(0));
    assert_eq!(fleet.got(later[0]).number(), Some(2), "{}", fleet.story());
    fleet.dismiss();
}

#[test]
fn a_body_that_calls_itself_runs_through() {
    let setup = Setup { lease: 600_000, ..Setup::default() };
    let Some(fleet) = Fleet::start("itself", 2, &setup) else { return };
    let calls = fleet.call_all("whole", "k", 3, &Task::value(0).calling("k"));
    let got = fleet.got_all(calls);
    assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
    fleet.dismiss();
}

#[test]
fn bodies_that_wait_for_each_other_in_two_processes_are_ended_by_their_timeout() {
    let setup = Setup { timeout: Some(2_000), ..Setup::default() };
    let Some(fleet) = Fleet::start("each other", 2, &setup) else { return };
    let one = fleet.call(0, "whole", "a", 1, &Task::value(0).gated().calling("b"));
    let other = fleet.call(1, "whole", "b", 1, &Task::value(0).gated().calling("a"));
    fleet.started("a", 1);
    fleet.started("b", 1);
    fleet.open(0);
    fleet.open(1);
    let got = fleet.got_all([one[0], other[0]]);
    fleet.note(format_args!("{got:?}"));
    fleet.dismiss();
}
