//! What one process has answered, another finds: exactly, or near; in Redis, or in PostgreSQL.

use super::events::{Setup, Task};
use super::host::Fleet;
use super::meaning::{Servers, start};

/// Exact hits in Redis, exact ones in the index, near ones there.
const FOUND: [&str; 3] = ["backend_exact_hits", "index_exact_hits", "index_hits"];

/// One question is answered, by the first worker, and all that is known of it is where it belongs.
fn answered(name: &str, servers: Servers, setup: &Setup) -> Option<Fleet> {
    let fleet = start(name, servers, 3, setup)?;
    assert_eq!(fleet.ask(0, "@0 one").number(), Some(1));
    Some(fleet)
}

#[test]
fn near_questions_of_other_processes_are_answered() {
    for servers in [Servers::Both, Servers::Postgres] {
        let Some(fleet) = answered("near", servers, &Setup::default()) else { return };
        assert_eq!(fleet.ask(1, "@20 other").number(), Some(1), "{}", fleet.story());
        assert_eq!(fleet.counted(1, FOUND), [0, 0, 1]);
        // From memory now, without an embedding.
        assert_eq!(fleet.ask(1, "@20 other").number(), Some(1));
        assert_eq!(fleet.counted(1, FOUND), [0, 0, 1]);
        let stats = fleet.stats(1, "meaning");
        assert_eq!(["cache_hits", "semantic_hits", "exact_hits"].map(|field| stats.of(field)), [2, 2, 0]);
        assert_eq!(fleet.embedded(), ["@0 one", "@20 other"]);
        // It is 20 degrees from what was answered so, and 40 from what was executed.
        assert_eq!(fleet.ask(2, "@40 far").number(), Some(2), "{}", fleet.story());
        assert_eq!(fleet.kept(), ["@0 one = 1", "@40 far = 2"]);
        // As near as may be, and no more than that.
        assert_eq!(fleet.ask(2, "@-23 still").number(), Some(1));
        assert_eq!(fleet.ask(2, "@-24 no more").number(), Some(3));
        // Exactly the question, however it is written.
        assert_eq!(fleet.ask(1, "  @0   ONE ").number(), Some(1));
        let [redis, exact, near] = fleet.counted(1, FOUND);
        assert_eq!((redis + exact, near), (1, 1));
        assert_eq!(redis == 1, servers.has_redis());
        fleet.dismiss();
    }
}

#[test]
fn nobody_sees_what_is_anothers() {
    let Some(fleet) = answered("tenants", Servers::Both, &Setup::default()) else { return };
    for (number, question) in (2..).zip(["acme/@0 one", "other/@0 one", "acme/@30 two"]) {
        assert_eq!(fleet.ask(1, question).number(), Some(number));
    }
    assert_eq!(fleet.ask(2, "acme/@15 near to both").number().map(|number| [2, 4].contains(&number)), Some(true));
    assert_eq!(fleet.ask(2, "other/@15 near to one").number(), Some(3));
    assert_eq!(fleet.ask(2, "third/@0 one").number(), Some(5));
    // An invalidation is of one tenant, too.
    assert!(fleet.invalidate(0, "meaning", "acme/@0 one"));
    assert_eq!(fleet.fresh(1, "meaning", "@0 one", &Task::value(0)).number(), Some(1));
    assert_eq!(fleet.fresh(1, "meaning", "other/@0 one", &Task::value(0)).number(), Some(3));
    assert_eq!(fleet.fresh(1, "meaning", "acme/@0 one", &Task::value(0)).number(), Some(6));
    fleet.dismiss();
}

#[test]
fn what_redis_has_forgotten_postgres_gives_back() {
    let Some(fleet) = answered("forgotten", Servers::Both, &Setup::default()) else { return };
    fleet.server().ask(&["FLUSHALL"]);
    assert_eq!(fleet.ask(1, "@0 one").number(), Some(1), "{}", fleet.story());
    assert_eq!(fleet.counted(1, FOUND), [0, 1, 0]);
    // That has filled Redis again.
    assert_eq!(fleet.ask(2, "@0 one").number(), Some(1));
    assert_eq!(fleet.counted(2, FOUND), [1, 0, 0]);
    assert_eq!(fleet.embedded(), ["@0 one"], "nothing had to be compared");
    assert!(fleet.leases().is_empty(), "{:?}", fleet.leases());
    assert_eq!(fleet.executions("@0 one"), 1);
    // What is only near fills nothing.
    fleet.server().ask(&["FLUSHALL"]);
    assert_eq!(fleet.ask(1, "@10 other").number(), Some(1));
    assert_eq!((fleet.server().ask(&["DBSIZE"]), fleet.kept()), ("0".to_owned(), vec!["@0 one = 1".to_owned()]));
    fleet.dismiss();
}

#[test]
fn what_postgres_has_forgotten_redis_gives() {
    let Some(fleet) = answered("emptied", Servers::Both, &Setup::default()) else { return };
    fleet.database().ask("TRUNCATE semantic_cache");
    assert_eq!(fleet.ask(1, "@0 one").number(), Some(1));
    assert_eq!(fleet.counted(1, FOUND), [1, 0, 0]);
    // There is nothing near, and nobody makes anything of what Redis has.
    assert_eq!(fleet.ask(1, "@10 other").number(), Some(2));
    assert_eq!(fleet.kept(), ["@10 other = 2"]);
    fleet.dismiss();
}

/// Milliseconds, as a server tells them.
fn millis(told: &str) -> i64 {
    told.trim().parse().unwrap_or_else(|_| panic!("`{told}` is no number"))
}

#[test]
fn nothing_is_kept_longer_than_it_was_to_be_by_whoever_found_it() {
    // Far more than the patience of a test.
    let setup = Setup { ttl: 600_000, ..Setup::default() };
    let Some(fleet) = answered("not longer", Servers::Both, &setup) else { return };
    fleet.server().ask(&["FLUSHALL"]);
    let most = "interval '5 s'";
    fleet
        .database()
        .ask(&format!("UPDATE semantic_cache SET expires_at = now() + {most}, kept_until = now() + {most}"));
    assert_eq!(fleet.ask(1, "@0 one").number(), Some(1), "{}", fleet.story());
    assert_eq!(fleet.ask(2, "@20 near").number(), Some(1), "{}", fleet.story());
    let key = fleet.server().ask(&["KEYS", "*"]);
    assert_eq!(key.lines().count(), 1, "{key}");
    let left = millis(&fleet.server().ask(&["PTTL", &key]));
    assert!((1..=6_000).contains(&left), "{left} ms");
    // Nor in memory.
    for (process, question) in [(1, "@0 one"), (2, "@20 near")] {
        fleet.again_until("it is over", || fleet.ask(process, question).number() != Some(1));
    }
    assert_eq!(fleet.executions("@0 one"), 2);
    fleet.dismiss();
}

#[test]
fn what_is_refreshed_and_put_in_is_found_everywhere() {
    for servers in Servers::ALL {
        let Some(fleet) = answered("refreshed", servers, &Setup::default()) else { return };
        let refresh = fleet.refresh(1, "meaning", "@0 one", &Task::value(0));
        assert_eq!(fleet.got(refresh).number(), Some(2));
        let _ = fleet.stats(1, "meaning");
        assert_eq!(fleet.fresh(2, "meaning", "@0 one", &Task::value(0)).number(), Some(2), "{}", fleet.story());
        let number = fleet.insert(1, "meaning", "@0 one");
        let _ = fleet.stats(1, "meaning");
        assert_eq!(fleet.fresh(2, "meaning", "@0 one", &Task::value(0)).number(), Some(number), "{}", fleet.story());
        if servers.has_postgres() {
            assert_eq!(fleet.fresh(2, "meaning", "@10 near", &Task::value(0)).number(), Some(number));
            assert_eq!(fleet.kept(), [format!("@0 one = {number}")]);
        }
        assert_eq!(fleet.executions("@0 one"), 2);
        fleet.dismiss();
    }
}

#[test]
fn a_process_that_answers_and_leaves_has_its_answer_in_both() {
    for servers in Servers::ALL {
        let Some(mut fleet) = start("leaves", servers, 2, &Setup::default()) else { return };
        for round in 0..5 {
            let question = format!("t{round}/@0 one");
            let call = fleet.call(0, "meaning", &question, 1, &Task::value(0));
            assert_eq!(fleet.got(call[0]).number(), Some(round + 1));
        }
        fleet.leave(0, 10_000);
        if servers.has_postgres() {
            assert_eq!(fleet.kept(), (1..=5).map(|number| format!("@0 one = {number}")).collect::<Vec<_>>());
            assert_eq!(fleet.fresh(1, "meaning", "t0/@10 near", &Task::value(0)).number(), Some(1));
        }
        assert_eq!(fleet.fresh(1, "meaning", "t4/@0 one", &Task::value(0)).number(), Some(5));
        assert_eq!((0..5).map(|round| fleet.executions(&format!("t{round}/@0 one"))).sum::<usize>(), 5);
        fleet.dismiss();
    }
}
