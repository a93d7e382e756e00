//! A Redis that is gone while PostgreSQL is there, and both gone.

use super::events::{Setup, Task};
use super::host::Fleet;
use super::meaning::{Servers, start};
use super::meaning_faults::{around, compares_again, hasty, load, shares_again};
use crate::postgres_server::PostgresServer;

/// Without Redis, answers come from PostgreSQL and go there.
fn postgres_goes_on(fleet: &Fleet, before: u64) {
    // Known from before: exactly, and near.
    assert_eq!(fleet.fresh(1, "meaning", "before/@0 one", &Task::value(0)).number(), Some(before), "{}", fleet.story());
    assert_eq!(fleet.fresh(2, "meaning", "before/@15 other", &Task::value(0)).number(), Some(before));
    for round in 0..4 {
        let [one, other] = ["@0 one", "@15 other"].map(|question| format!("without{round}/{question}"));
        let made = fleet.ask(0, &one);
        assert_eq!(fleet.ask(1, &one), made, "{}", fleet.story());
        assert_eq!(fleet.ask(2, &other), made, "{}", fleet.story());
        assert_eq!(fleet.executions(&one) + fleet.executions(&other), 1);
    }
    for process in 0..3 {
        let stats = fleet.stats(process, "meaning");
        stats.add_up();
        assert!(stats.of("backend_failures") >= 1, "{}", *stats);
        assert_eq!(stats.of("semantic.index_failures"), 0, "{}", *stats);
    }
    // What is taken out stays away from whoever has done so, who is told that it is not sure.
    assert!(!fleet.invalidate(1, "meaning", "without0/@0 one"));
    assert!(fleet.ask(1, "without0/@0 one").number() > Some(before + 4), "{}", fleet.story());
}

#[test]
fn answers_come_from_postgres_and_go_there_while_redis_is_dead() {
    let Some(mut fleet) = start("redis dies", Servers::Both, 3, &hasty()) else { return };
    let before = fleet.ask(0, "before/@0 one").number().expect("it is a value");
    fleet.server_mut().kill();
    postgres_goes_on(&fleet, before);
    fleet.server_mut().restart();
    shares_again(&fleet);
    compares_again(&fleet, "it");
    // PostgreSQL fills it again.
    let known = fleet.fresh(0, "meaning", "without1/@0 one", &Task::value(0));
    assert_eq!(known.number(), Some(fleet.numbers("without1/@0 one")[0]), "{}", fleet.story());
    fleet.database().ask("TRUNCATE semantic_cache");
    assert_eq!(fleet.fresh(1, "meaning", "without1/@0 one", &Task::value(0)), known, "{}", fleet.story());
    fleet.dismiss();
}

#[test]
fn answers_come_from_postgres_and_go_there_while_redis_stands_still() {
    let Some(fleet) = start("redis stands still", Servers::Both, 3, &hasty()) else { return };
    let before = fleet.ask(0, "before/@0 one").number().expect("it is a value");
    fleet.server().stop();
    postgres_goes_on(&fleet, before);
    fleet.server().go_on();
    shares_again(&fleet);
    compares_again(&fleet, "it");
    fleet.dismiss();
}

#[test]
fn who_executed_while_redis_was_dead_overwrites_nothing_when_it_is_back() {
    let Some(mut fleet) = start("without a lease", Servers::Both, 3, &Setup { lease: 600_000, ..hasty() }) else {
        return;
    };
    fleet.server_mut().kill();
    let own = fleet.call(0, "meaning", "@0 one", 1, &Task::value(0).gated());
    fleet.started("@0 one", 1);
    fleet.server_mut().restart();
    shares_again(&fleet);
    let newer = fleet.ask(1, "@0 one");
    assert_eq!(newer.number(), Some(fleet.numbers("@0 one")[1]));
    fleet.open(0);
    assert_eq!(fleet.got(own[0]).number(), Some(1));
    let _ = fleet.stats(0, "meaning");
    assert_eq!(fleet.fresh(2, "meaning", "@0 one", &Task::value(0)), newer, "{}", fleet.story());
    assert_eq!(fleet.fresh(2, "meaning", "@15 other", &Task::value(0)), newer, "{}", fleet.story());
    fleet.dismiss();
}

#[test]
fn without_both_each_process_is_on_its_own() {
    let Some(mut server) = PostgresServer::start("both gone") else { return };
    let Some(mut fleet) = around("both gone", &server, Servers::Both, 3, &hasty()) else { return };
    load(&fleet, "before", 1, 1);
    fleet.server_mut().kill();
    server.kill();
    load(&fleet, "meanwhile", 8, 3);
    load(&fleet, "before", 1, 1);
    for process in 0..3 {
        let stats = fleet.stats(process, "meaning");
        stats.add_up();
        assert!(stats.of("backend_failures") >= 1 && stats.of("semantic.index_failures") >= 1, "{}", *stats);
    }
    // One after the other comes back.
    server.restart();
    compares_again(&fleet, "it");
    fleet.server_mut().restart();
    shares_again(&fleet);
    load(&fleet, "after", 2, 1);
    fleet.dismiss();
}
