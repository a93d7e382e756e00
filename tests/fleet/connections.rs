//! What a fleet asks of its server: one connection for each process, however often it is lost.

use super::events::{Got, Setup, Task};
use super::host::Fleet;
use super::server::shares_again;

fn hasty() -> Setup {
    Setup { patience: None, ..Setup::default() }
}

/// How many connections the server has, without the one that asks.
fn connections(fleet: &Fleet) -> usize {
    fleet.server().ask(&["CLIENT", "LIST"]).lines().filter(|line| line.contains("resp=3")).count()
}

#[test]
fn each_process_has_one_connection() {
    let Some(mut fleet) = Fleet::start("connections", 6, &hasty()) else { return };
    for _ in 0..3 {
        shares_again(&fleet);
        for key in 0..20 {
            let calls = fleet.call_all("whole", &format!("{key} of {}", fleet.events().len()), 2, &Task::value(10));
            let _ = fleet.got_all(calls);
        }
        assert_eq!(connections(&fleet), 6);
        fleet.server().ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        shares_again(&fleet);
        fleet.again_until("all are back", || {
            let calls = fleet.call_all("whole", &format!("back {}", fleet.events().len()), 1, &Task::value(0));
            let _ = fleet.got_all(calls);
            connections(&fleet) == 6
        });
        fleet.server_mut().restart();
    }
    shares_again(&fleet);
    assert!(connections(&fleet) <= 6);
    fleet.dismiss();
}

#[test]
fn a_server_that_is_slow_for_a_moment_is_done_without() {
    let Some(fleet) = Fleet::start("slow", 3, &hasty()) else { return };
    let warm = fleet.call_all("whole", "warm", 1, &Task::value(0));
    let _ = fleet.got_all(warm);
    let mut calls = fleet.call(0, "whole", "k", 2, &Task::value(300));
    fleet.started("k", 1);
    for process in 1..3 {
        calls.extend(fleet.call(process, "whole", "k", 2, &Task::value(50)));
    }
    // Nothing is answered meanwhile; this waits for it.
    fleet.server().ask(&["DEBUG", "SLEEP", "0.7"]);
    let got = fleet.got_all(calls);
    assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
    assert!(fleet.executions("k") <= 3, "{}", fleet.story());
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn of_many_who_wait_one_takes_over() {
    let setup = Setup { lease: 1_500, ..Setup::default() };
    let Some(mut fleet) = Fleet::start("many", 8, &setup) else { return };
    fleet.call(0, "whole", "k", 1, &Task::hang());
    fleet.started("k", 1);
    let mut calls = Vec::new();
    for process in 1..8 {
        calls.extend(fleet.call(process, "whole", "k", 20, &Task::value(300)));
    }
    fleet.waiting(7);
    fleet.kill(0);
    let got = fleet.got_all(calls);
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    assert!(got.iter().all(|got| got.number() == Some(2)), "{got:?}");
    assert_eq!(fleet.total("whole", "lock_taken_over"), 1);
    assert_eq!(fleet.total("whole", "coalesce_hits"), 7 * 20 - 1);
    fleet.dismiss();
}

#[test]
fn an_invalidation_that_does_not_arrive_holds_in_its_own_process() {
    let Some(fleet) = Fleet::start("not arrived", 2, &Setup::default()) else { return };
    let first = fleet.call(0, "whole", "k", 1, &Task::value(0));
    fleet.got(first[0]);
    let _ = fleet.stats(0, "whole");
    fleet.server().ask(&["ACL", "SETUSER", "default", "-evalsha"]);
    assert!(!fleet.invalidate(0, "whole", "k"), "it is told that the server was not");
    fleet.server().ask(&["ACL", "SETUSER", "default", "+@all"]);
    // Here nobody gets what is there; it is taken out first.
    let later = fleet.call(0, "whole", "k", 1, &Task::value(0));
    let later = fleet.got(later[0]);
    assert_eq!(later.number(), Some(2), "{}", fleet.story());
    let _ = fleet.stats(0, "whole");
    assert_eq!(fleet.fresh(1, "whole", "k", &Task::value(0)), later);
    assert_eq!(fleet.executions("k"), 2);
    fleet.dismiss();
}
