//! Processes that die or stand still while they make an answer, or while they store it.

use super::events::{Setup, Task};
use super::meaning::{Held, Servers, start};

const ONE: &str = "@0 one";
const OTHER: &str = "@15 other";

/// A lease that ends while a test waits for that, and servers that may take their time.
fn short() -> Setup {
    Setup { lease: 1_000, patience: Some(30_000), ..Setup::default() }
}

#[test]
fn whoever_waits_takes_over_from_a_process_that_was_killed_in_its_body() {
    for servers in Servers::ALL {
        let Some(mut fleet) = start("killed in its body", servers, 3, &short()) else { return };
        fleet.call(0, "meaning", ONE, 3, &Task::hang());
        fleet.started(ONE, 1);
        let mut calls = fleet.call(1, "meaning", ONE, 3, &Task::value(50));
        if servers.has_redis() {
            calls.extend(fleet.call(2, "meaning", ONE, 3, &Task::value(50)));
            fleet.waiting(2);
        }
        fleet.kill(0);
        let got = fleet.got_all(calls);
        assert!(got.iter().all(|got| got.number() == Some(2)), "{got:?}\n{}", fleet.story());
        let _ = (fleet.stats(1, "meaning"), fleet.stats(2, "meaning"));
        assert_eq!(fleet.fresh(2, "meaning", ONE, &Task::value(0)).number(), Some(2));
        if servers.has_postgres() {
            assert_eq!(fleet.fresh(2, "meaning", OTHER, &Task::value(0)).number(), Some(2));
            assert_eq!(fleet.kept(), ["@0 one = 2"]);
        }
        fleet.dismiss();
    }
}

#[test]
fn what_a_process_was_storing_when_it_was_killed_is_there_or_not() {
    for servers in [Servers::Both, Servers::Postgres] {
        let Some(mut fleet) = start("killed while storing", servers, 2, &short()) else { return };
        let held = Held::hold(&fleet);
        let call = fleet.call(0, "meaning", ONE, 1, &Task::value(0));
        assert_eq!(fleet.got(call[0]).number(), Some(1), "nobody waits for what is stored");
        fleet.again_until("it is being stored", || held.is_wanted());
        fleet.kill(0);
        drop(held);
        // Redis had it before.
        let expected = if servers.has_redis() { 1 } else { 2 };
        assert_eq!(fleet.fresh(1, "meaning", ONE, &Task::value(0)).number(), Some(expected), "{}", fleet.story());
        assert_eq!(fleet.ask(1, OTHER).number(), Some(2), "{}", fleet.story());
        let made = if servers.has_redis() { OTHER } else { ONE };
        assert_eq!(fleet.kept(), [format!("{made} = 2")]);
        assert!(!servers.has_redis() || fleet.leases().is_empty());
        fleet.dismiss();
    }
}

#[test]
fn what_a_process_brings_that_stood_still_is_too_late() {
    for servers in Servers::ALL {
        let Some(fleet) = start("stood still", servers, 3, &short()) else { return };
        let own = fleet.call(0, "meaning", ONE, 3, &Task::value(0).gated());
        fleet.started(ONE, 1);
        let others = fleet.call(1, "meaning", ONE, 3, &Task::value(0));
        if servers.has_redis() {
            fleet.waiting(1);
        }
        fleet.stop(0);
        let others = fleet.got_all(others);
        assert!(others.iter().all(|got| got.number() == Some(2)), "{others:?}");
        let _ = fleet.stats(1, "meaning");
        fleet.open(0);
        fleet.go_on(0);
        assert!(fleet.got_all(own).iter().all(|got| got.number() == Some(1)), "its own callers get its value");
        let stats = fleet.stats(0, "meaning");
        assert_eq!([stats.of("backend_writes"), stats.of("semantic.index_writes")], [0; 2]);
        for _ in 0..2 {
            assert_eq!(fleet.fresh(2, "meaning", ONE, &Task::value(0)).number(), Some(2), "{}", fleet.story());
        }
        if servers.has_postgres() {
            assert_eq!(fleet.kept(), ["@0 one = 2"]);
            assert_eq!(fleet.fresh(2, "meaning", OTHER, &Task::value(0)).number(), Some(2), "{}", fleet.story());
        }
        fleet.dismiss();
    }
}

#[test]
fn a_process_that_stands_still_while_it_stores_is_in_nobodys_way() {
    for servers in [Servers::Both, Servers::Postgres] {
        let setup = Setup { patience: None, ..short() };
        let Some(fleet) = start("still while storing", servers, 3, &setup) else { return };
        let held = Held::hold(&fleet);
        let call = fleet.call(0, "meaning", ONE, 1, &Task::value(0));
        assert_eq!(fleet.got(call[0]).number(), Some(1));
        fleet.again_until("it is being stored", || held.is_wanted());
        fleet.stop(0);
        drop(held);
        // Its transaction is open, and has written.
        fleet.again_until("an invalidation arrives", || fleet.invalidate(1, "meaning", ONE));
        let anew = fleet.fresh(2, "meaning", ONE, &Task::value(0));
        assert!(anew.number() > Some(1), "{}", fleet.story());
        fleet.go_on(0);
        // It does not know what became of what it said, and so takes it out, whosever it is by now.
        let _ = fleet.stats(0, "meaning");
        let later = fleet.fresh(2, "meaning", ONE, &Task::value(0));
        assert!(later.number() >= anew.number(), "{}", fleet.story());
        fleet.again_until("all of it can be taken out", || fleet.clear(1, "meaning"));
        assert!(fleet.fresh(2, "meaning", ONE, &Task::value(0)).number() > later.number(), "{}", fleet.story());
        fleet.dismiss();
    }
}
