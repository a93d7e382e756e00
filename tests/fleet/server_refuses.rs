//! A server that answers, and does not want to.

use super::events::{Got, Setup, Task};
use super::host::Fleet;
use super::server::{one_leads, shares_again};

/// The server begins to refuse, and ends: meanwhile what is there is found, and everything else runs in each process for
/// itself, without a fault that a caller would see.
fn refuses(name: &str, begins: &[&str], ends: &[&str], kind: &str) {
    let Some(fleet) = Fleet::start(name, 3, &Setup::default()) else { return };
    let warm = fleet.call_all("whole", "warm", 1, &Task::value(0));
    let _ = fleet.got_all(warm);
    let before = fleet.fresh(0, "whole", "before", &Task::value(0));
    let _ = fleet.stats(0, "whole");
    fleet.server().ask(begins);
    assert_eq!(fleet.fresh(1, "whole", "before", &Task::value(0)), before, "what is there is found");
    assert_eq!(fleet.executions("before"), 1);
    for round in 0..5 {
        let key = format!("k{round}");
        let calls = fleet.call_all("whole", &key, 3, &Task::value(20));
        let got = fleet.got_all(calls);
        assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
        assert!((1..=3).contains(&fleet.executions(&key)), "{}", fleet.story());
    }
    for process in 0..3 {
        let stats = fleet.stats(process, "whole");
        stats.add_up();
        assert!(stats.of(&format!("backend_faults.{kind}")) >= 1, "{}", *stats);
        assert_eq!(stats.of("redis_failures"), 5, "{}", *stats);
        let said = fleet.logged(process);
        assert_eq!(said.iter().filter(|line| line.contains("WARN")).count(), 1, "said once: {said:?}");
    }
    fleet.server().ask(ends);
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_replica_takes_no_writes() {
    refuses("read-only", &["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"], "read_only");
}

#[test]
fn a_full_server_takes_nothing_more() {
    let full = ["CONFIG", "SET", "maxmemory", "1mb", "maxmemory-policy", "noeviction"];
    refuses("full", &full, &["CONFIG", "SET", "maxmemory", "0"], "out_of_memory");
}

#[test]
fn a_server_that_fills_up_meanwhile_frees_those_who_wait() {
    let Some(fleet) = Fleet::start("fills up", 3, &Setup { lease: 600_000, ..Setup::default() }) else { return };
    let calls = one_leads(&fleet, &Task::value(0));
    fleet.server().ask(&["CONFIG", "SET", "maxmemory", "1mb", "maxmemory-policy", "noeviction"]);
    fleet.open(0);
    let got = fleet.got_all(calls);
    assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
    assert!(fleet.executions("k") <= 3, "{}", fleet.story());
    fleet.server().ask(&["CONFIG", "SET", "maxmemory", "0"]);
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_server_that_becomes_a_replica_meanwhile_lets_the_others_go_on() {
    let Some(fleet) = Fleet::start("demoted", 3, &Setup { lease: 1_000, ..Setup::default() }) else { return };
    let calls = one_leads(&fleet, &Task::value(0));
    fleet.server().ask(&["REPLICAOF", "127.0.0.1", "1"]);
    fleet.open(0);
    let got = fleet.got_all(calls);
    assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
    assert!(fleet.executions("k") <= 3, "{}", fleet.story());
    fleet.server().ask(&["REPLICAOF", "NO", "ONE"]);
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_user_without_the_right_to_run_scripts_is_alone() {
    let Some(fleet) = Fleet::start("no scripts", 3, &Setup::default()) else { return };
    fleet.server().ask(&["ACL", "SETUSER", "default", "-evalsha"]);
    let calls = fleet.call_all("whole", "k", 3, &Task::value(50));
    let got = fleet.got_all(calls);
    assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
    assert_eq!(fleet.executions("k"), 3, "{}", fleet.story());
    assert!(fleet.total("whole", "backend_faults.refused") >= 3);
    fleet.server().ask(&["ACL", "SETUSER", "default", "+@all"]);
    shares_again(&fleet);
    fleet.dismiss();
}

/// The key of the only entry.
fn entry(fleet: &Fleet) -> String {
    let keys = fleet.server().ask(&["KEYS", "*}"]);
    assert_eq!(keys.lines().count(), 1, "{keys}");
    keys
}

#[test]
fn what_is_nobodys_entry_is_replaced() {
    let Some(fleet) = Fleet::start("garbage", 3, &Setup::default()) else { return };
    fleet.fresh(0, "whole", "k", &Task::value(0));
    let _ = fleet.stats(0, "whole");
    let key = entry(&fleet);
    fleet.server().ask(&["SET", &key, "what nobody understands"]);
    let calls = fleet.call_all("whole", "k", 3, &Task::value(300));
    let got = fleet.got_all(calls);
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    assert_eq!(fleet.fresh(0, "whole", "k", &Task::value(0)), got[0]);
    fleet.dismiss();
}

#[test]
fn a_key_of_another_kind_harms_nobody() {
    let Some(fleet) = Fleet::start("wrong type", 3, &Setup::default()) else { return };
    fleet.fresh(0, "whole", "k", &Task::value(0));
    let _ = fleet.stats(0, "whole");
    let key = entry(&fleet);
    for foreign in [key.clone(), format!("{key}:lease"), format!("{key}:outcome")] {
        fleet.server().ask(&["FLUSHALL"]);
        fleet.server().ask(&["LPUSH", &foreign, "something"]);
        let calls: Vec<_> = (0..3).map(|process| fleet.begin_fresh(process, "whole", "k", &Task::value(50))).collect();
        let before = fleet.executions("k");
        let got = fleet.got_all(calls);
        assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
        assert!(fleet.executions("k") <= before + 3, "{}", fleet.story());
        let after = fleet.fresh(0, "whole", "k", &Task::value(0));
        fleet.note(format_args!(
            "{foreign}: {} executions, then {after:?}; it is now {}",
            fleet.executions("k") - before,
            fleet.server().ask(&["TYPE", &foreign]),
        ));
    }
    shares_again(&fleet);
    fleet.dismiss();
}
