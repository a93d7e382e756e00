//! A server that dies, comes back empty, stands still, forgets, or cuts connections: no caller hears of it, nothing hangs,
//! and afterwards executions are shared again without anybody's help.

use std::time::Instant;

use super::events::{Got, Setup, Task};
use super::host::Fleet;

/// With the time limits that the crate has.
fn hasty() -> Setup {
    Setup { patience: None, ..Setup::default() }
}

/// Values only, and at most so many executions.
fn all_have_values(fleet: &Fleet, key: &str, calls: Vec<u64>, most: usize) -> Vec<Got> {
    let got = fleet.got_all(calls);
    assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}\n{}", fleet.story());
    let executions = fleet.executions(key);
    assert!(executions <= most, "{executions} executions\n{}", fleet.story());
    fleet.note(format_args!("{executions} executions of {key}, at most {most}"));
    got
}

/// After a while a new key is executed once, by whichever process.
pub(super) fn shares_again(fleet: &Fleet) {
    let (begun, mut tries) = (Instant::now(), 0);
    fleet.again_until("executions are shared again", || {
        tries += 1;
        // Never asked before: memory is of no use after a loss.
        let key = format!("after that {tries} of {}", fleet.events().len());
        let calls = fleet.call_all("whole", &key, 1, &Task::value(100));
        let processes = calls.len();
        let got = fleet.got_all(calls);
        assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
        let executions = fleet.executions(&key);
        assert!(executions <= processes, "{executions} executions of {key}\n{}", fleet.story());
        executions == 1
    });
    fleet.note(format_args!("shared again after {:.0?}, {tries} tries", begun.elapsed()));
}

/// One leads behind its gate, and two wait.
pub(super) fn one_leads(fleet: &Fleet, others: &Task) -> Vec<u64> {
    let mut calls = fleet.call(0, "whole", "k", 3, &Task::value(0).gated());
    assert_eq!(fleet.started("k", 1), 0);
    for process in 1..3 {
        calls.extend(fleet.call(process, "whole", "k", 3, others));
    }
    fleet.waiting(2);
    calls
}

#[test]
fn a_server_that_is_dead_before_is_done_without() {
    let Some(mut fleet) = Fleet::start("dead before", 3, &hasty()) else { return };
    let warm = fleet.call_all("whole", "warm", 1, &Task::value(0));
    let _ = fleet.got_all(warm);
    fleet.server_mut().kill();
    for round in 0..10 {
        let key = format!("k{round}");
        let calls = fleet.call_all("whole", &key, 5, &Task::value(20));
        all_have_values(&fleet, &key, calls, 3);
    }
    for process in 0..3 {
        let stats = fleet.stats(process, "whole");
        stats.add_up();
        assert!(stats.of("redis_failures") >= 1, "{}", *stats);
        assert!(stats.of("backend_failures") >= 1, "{}", *stats);
        let said = fleet.logged(process);
        assert_eq!(said.iter().filter(|line| line.contains("WARN")).count(), 1, "said once: {said:?}");
    }
    fleet.server_mut().restart();
    shares_again(&fleet);
    for process in 0..3 {
        assert_eq!(fleet.stats(process, "whole")["backend_state"], "closed");
    }
    fleet.dismiss();
}

#[test]
fn a_server_that_dies_meanwhile_is_done_without() {
    let Some(mut fleet) = Fleet::start("dies meanwhile", 3, &hasty()) else { return };
    let calls = one_leads(&fleet, &Task::value(50));
    fleet.server_mut().kill();
    let others = all_have_values(&fleet, "k", calls[3..].to_vec(), 3);
    fleet.open(0);
    let own = all_have_values(&fleet, "k", calls[..3].to_vec(), 3);
    assert!(own.iter().all(|got| got.number() == Some(1)), "{own:?} {others:?}");
    fleet.server_mut().restart();
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_server_that_comes_back_empty_refuses_the_leader_from_before() {
    let Some(mut fleet) = Fleet::start("back empty", 3, &hasty()) else { return };
    let calls = one_leads(&fleet, &Task::value(50));
    fleet.server_mut().restart();
    all_have_values(&fleet, "k", calls[3..].to_vec(), 3);
    shares_again(&fleet);
    fleet.open(0);
    let own = all_have_values(&fleet, "k", calls[..3].to_vec(), 3);
    assert!(own.iter().all(|got| got.number() == Some(1)), "{own:?}");
    assert_eq!(fleet.stats(0, "whole").of("fenced_writes") + fleet.stats(0, "whole").of("lock_lost"), 1);
    let kept = fleet.fresh(1, "whole", "k", &Task::value(0));
    assert_ne!(kept.number(), Some(1), "{}", fleet.story());
    fleet.dismiss();
}

#[test]
fn what_a_dead_server_had_is_made_once_more() {
    let Some(mut fleet) = Fleet::start("dead after", 3, &hasty()) else { return };
    let calls = fleet.call_all("whole", "k", 3, &Task::value(50));
    all_have_values(&fleet, "k", calls, 3);
    // One, unless the machine was too busy for an answer to be in time.
    let before = fleet.executions("k");
    fleet.server_mut().kill();
    // From memory.
    let calls = fleet.call_all("whole", "k", 3, &Task::value(0));
    all_have_values(&fleet, "k", calls, before);
    fleet.server_mut().restart();
    shares_again(&fleet);
    let calls: Vec<_> = (0..3).map(|process| fleet.begin_fresh(process, "whole", "k", &Task::value(300))).collect();
    let got = all_have_values(&fleet, "k", calls, before + 1);
    assert!(got.windows(2).all(|pair| pair[0] == pair[1]), "{got:?}");
    fleet.dismiss();
}

#[test]
fn a_server_that_stands_still_is_done_without() {
    let Some(fleet) = Fleet::start("stands still", 3, &hasty()) else { return };
    let calls = one_leads(&fleet, &Task::value(50));
    fleet.server().stop();
    let stopped = Instant::now();
    all_have_values(&fleet, "k", calls[3..].to_vec(), 3);
    fleet.note(format_args!("the others had values {:.0?} after the server stood still", stopped.elapsed()));
    for round in 0..10 {
        let key = format!("k{round}");
        let calls = fleet.call_all("whole", &key, 5, &Task::value(20));
        all_have_values(&fleet, &key, calls, 3);
    }
    fleet.open(0);
    let own = all_have_values(&fleet, "k", calls[..3].to_vec(), 3);
    assert!(own.iter().all(|got| got.number() == Some(1)), "{own:?}");
    fleet.server().go_on();
    shares_again(&fleet);
    fleet.dismiss();
}

/// What costs no execution: one leads and two wait, something happens, the leader ends, and all have its value.
fn nobody_notices(name: &str, happens: impl FnOnce(&Fleet)) -> Option<Fleet> {
    // So long that hardly any question is under way when it happens.
    let fleet = Fleet::start(name, 3, &Setup { lease: 30_000, ..Setup::default() })?;
    let calls = one_leads(&fleet, &Task::value(0));
    happens(&fleet);
    fleet.open(0);
    let got = all_have_values(&fleet, "k", calls, 1);
    assert!(got.windows(2).all(|pair| pair[0] == pair[1]), "{got:?}");
    assert_eq!(fleet.fresh(1, "whole", "k", &Task::value(0)), got[0]);
    shares_again(&fleet);
    Some(fleet)
}

#[test]
fn scripts_that_are_flushed_are_loaded_again() {
    let Some(fleet) = nobody_notices("script flush", |fleet| drop(fleet.server().ask(&["SCRIPT", "FLUSH"]))) else {
        return;
    };
    assert_eq!(fleet.total("whole", "backend_failures"), 0);
    fleet.dismiss();
}

#[test]
fn connections_that_are_cut_are_made_again() {
    let cut = |fleet: &Fleet| {
        // `skipme` spares nobody else: this connection is its own.
        fleet.server().ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        fleet.server().ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    };
    let Some(fleet) = nobody_notices("connections cut", cut) else { return };
    fleet.dismiss();
}

#[test]
fn waiters_that_hear_nothing_look_by_themselves() {
    let deafen = |fleet: &Fleet| drop(fleet.server().ask(&["ACL", "SETUSER", "default", "-publish"]));
    let Some(fleet) = nobody_notices("no messages", deafen) else { return };
    assert_eq!(fleet.total("whole", "push_wakeups"), 0);
    assert!(fleet.total("whole", "poll_wakeups") >= 2);
    fleet.dismiss();
}

#[test]
fn so_do_those_that_may_not_subscribe() {
    let Some(fleet) = Fleet::start("no channels", 3, &Setup { lease: 30_000, ..Setup::default() }) else { return };
    fleet.server().ask(&["ACL", "SETUSER", "default", "resetchannels"]);
    let calls = fleet.call_all("whole", "k", 3, &Task::value(500));
    all_have_values(&fleet, "k", calls, 1);
    assert_eq!(fleet.total("whole", "push_wakeups"), 0);
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_server_that_forgets_everything_costs_one_execution() {
    let setup = Setup { lease: 1_000, ..Setup::default() };
    let Some(fleet) = Fleet::start("flushed", 3, &setup) else { return };
    let calls = one_leads(&fleet, &Task::value(50));
    fleet.server().ask(&["FLUSHALL"]);
    let others = all_have_values(&fleet, "k", calls[3..].to_vec(), 2);
    fleet.open(0);
    let own = all_have_values(&fleet, "k", calls[..3].to_vec(), 2);
    assert!(own.iter().all(|got| got.number() == Some(1)), "{own:?}");
    let _ = fleet.stats(0, "whole");
    assert_eq!(fleet.fresh(0, "whole", "k", &Task::value(0)), others[0], "the leader from before was refused");
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn leases_that_a_server_gives_too_late_end() {
    let setup = Setup { lease: 3_000, ..hasty() };
    let Some(fleet) = Fleet::start("too late", 2, &setup) else { return };
    let warm = fleet.call_all("whole", "warm", 1, &Task::value(0));
    let _ = fleet.got_all(warm);
    fleet.server().stop();
    let keys: Vec<_> = (0..10).map(|key| format!("k{key}")).collect();
    let calls: Vec<_> = keys.iter().flat_map(|key| fleet.call(0, "whole", key, 1, &Task::value(0))).collect();
    let _ = fleet.got_all(calls);
    fleet.server().go_on();
    shares_again(&fleet);
    let begun = Instant::now();
    fleet.again_until("no lease is left", || fleet.leases().is_empty());
    fleet.note(format_args!("leases of nobody, which last 3 s, were gone after {:.0?}", begun.elapsed()));
    let calls: Vec<_> = keys.iter().flat_map(|key| fleet.call(1, "whole", key, 1, &Task::value(0))).collect();
    let _ = fleet.got_all(calls);
    fleet.note(format_args!("and the other process had its values after {:.0?}", begun.elapsed()));
    fleet.dismiss();
}

#[test]
fn a_server_that_pauses_its_clients_is_done_without() {
    let Some(fleet) = Fleet::start("paused", 3, &hasty()) else { return };
    let calls = one_leads(&fleet, &Task::value(50));
    fleet.server().ask(&["CLIENT", "PAUSE", "1500", "ALL"]);
    for round in 0..5 {
        let key = format!("k{round}");
        let calls = fleet.call_all("whole", &key, 5, &Task::value(20));
        all_have_values(&fleet, &key, calls, 3);
    }
    fleet.open(0);
    let own = all_have_values(&fleet, "k", calls[..3].to_vec(), 3);
    assert!(own.iter().all(|got| got.number() == Some(1)), "{own:?}");
    all_have_values(&fleet, "k", calls[3..].to_vec(), 3);
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_server_that_closes_idle_connections_is_connected_to_again() {
    let Some(fleet) = Fleet::start("idle", 2, &hasty()) else { return };
    let warm = fleet.call_all("whole", "warm", 1, &Task::value(0));
    let _ = fleet.got_all(warm);
    for round in 0..3 {
        // It spares those that have subscribed.
        fleet.server().ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        fleet.server().ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        let key = format!("k{round}");
        let calls = fleet.call_all("whole", &key, 3, &Task::value(300));
        all_have_values(&fleet, &key, calls, 2);
    }
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_server_that_evicts_what_it_likes_costs_executions_only() {
    let Some(fleet) = Fleet::start("evicts", 3, &hasty()) else { return };
    let calls = one_leads(&fleet, &Task::value(50));
    // All of it, and whatever comes, as soon as something comes.
    fleet.server().ask(&["CONFIG", "SET", "maxmemory", "1mb", "maxmemory-policy", "allkeys-random"]);
    for round in 0..10 {
        let key = format!("k{round}");
        let calls = fleet.call_all("whole", &key, 3, &Task { bytes: 1_000, ..Task::value(20) });
        // One after the other may find that the last one's value or lease is gone.
        all_have_values(&fleet, &key, calls, 9);
    }
    fleet.open(0);
    let own = all_have_values(&fleet, "k", calls[..3].to_vec(), 9);
    assert!(own.iter().all(|got| got.number() == Some(1)), "{own:?}");
    all_have_values(&fleet, "k", calls[3..].to_vec(), 9);
    fleet.server().ask(&["CONFIG", "SET", "maxmemory", "0"]);
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn an_error_whose_record_was_evicted_is_tried_for_once_more() {
    let Some(fleet) = Fleet::start("outcome evicted", 2, &Setup { lease: 600_000, ..Setup::default() }) else { return };
    let own = fleet.call(0, "whole", "k", 3, &Task::error(0).gated());
    fleet.started("k", 1);
    let others = fleet.call(1, "whole", "k", 3, &Task::error(0));
    fleet.waiting(1);
    fleet.stop(1);
    fleet.open(0);
    let own = fleet.got_all(own);
    let outcome = || fleet.server().ask(&["KEYS", "*:outcome"]);
    fleet.again_until("the error is told", || !outcome().is_empty());
    fleet.server().ask(&["DEL", &outcome()]);
    fleet.go_on(1);
    let others = fleet.got_all(others);
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    assert!(own.iter().all(|got| got.number() == Some(fleet.numbers("k")[0])), "{own:?}");
    assert!(others.iter().all(|got| got.number() == Some(fleet.numbers("k")[1])), "{others:?}");
    fleet.dismiss();
}
