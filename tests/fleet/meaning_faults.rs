//! A PostgreSQL that dies, stands still, lacks its table, or does not want to: no caller hears of it, executions stay as few as
//! the rest allows, and afterwards meanings are compared again without anybody's help.

use std::thread;
use std::time::{Duration, Instant};

use stampede_runtime::semantic::PgvectorIndex;
use tokio::runtime::Builder;

use super::events::{Got, Setup, Task};
use super::host::Fleet;
use super::meaning::{Servers, make_schema, start};
use crate::postgres_server::PostgresServer;
use crate::redis_server::RedisServer;

/// With the time limits that the crate has.
pub(super) fn hasty() -> Setup {
    Setup { patience: None, ..Setup::default() }
}

/// Questions of so many tenants are asked in all processes. With a Redis that works each is executed once.
pub(super) fn load(fleet: &Fleet, name: &str, rounds: usize, most: usize) {
    for round in 0..rounds {
        let key = format!("{name}{round}/@0 one");
        let calls = fleet.call_all("meaning", &key, 3, &Task::value(20));
        let got = fleet.got_all(calls);
        assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}\n{}", fleet.story());
        let executions = fleet.executions(&key);
        assert!((1..=most).contains(&executions), "{executions} of {key}\n{}", fleet.story());
    }
}

/// After a while, what one process answers is near to what another asks, and everyone says that the index works.
pub(super) fn compares_again(fleet: &Fleet, name: &str) {
    let (begun, mut tries) = (Instant::now(), 0);
    let processes = fleet.living();
    let is_well = |process: &usize| fleet.stats_now(*process, "meaning")["semantic"]["index_state"] == "closed";
    fleet.again_until("meanings are compared again", || {
        tries += 1;
        let made = fleet.ask(processes[0], &format!("again {name}{tries}/@0 one"));
        let near = processes[1..].iter().map(|process| fleet.ask(*process, &format!("again {name}{tries}/@15 other")));
        near.filter(|near| *near != made).count() == 0 && processes.iter().all(is_well)
    });
    fleet.note(format_args!("after {name}, compared again in {:.0?}, {tries} tries", begun.elapsed()));
}

/// After a while a new question is executed once, by whichever process.
pub(super) fn shares_again(fleet: &Fleet) {
    let mut tries = 0;
    fleet.again_until("executions are shared again", || {
        tries += 1;
        let key = format!("shared {tries}/@0 one");
        let calls = fleet.call_all("meaning", &key, 1, &Task::value(100));
        let got = fleet.got_all(calls);
        assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
        fleet.executions(&key) == 1
    });
}

/// The index has failed in this way, and each process to which it did has said so.
pub(super) fn has_failed(fleet: &Fleet, kind: &str) {
    let mut failures = 0;
    for process in fleet.living() {
        let stats = fleet.stats(process, "meaning");
        stats.add_up();
        failures += stats.of(&format!("semantic.index_faults.{kind}"));
        let has_failed = stats.of("semantic.index_failures") > 0;
        assert!(!has_failed || fleet.logged(process).iter().any(|line| line.contains("WARN")), "{}", *stats);
    }
    assert!(failures >= 1, "{}", fleet.story());
}

/// A fleet around a server of its own.
pub(super) fn around(
    name: &str,
    server: &PostgresServer,
    servers: Servers,
    workers: usize,
    setup: &Setup,
) -> Option<Fleet> {
    let redis = if servers.has_redis() { Some(RedisServer::start(name)?) } else { None };
    let database = format!("of_{servers:?}").to_lowercase();
    server.ask("postgres", &format!("CREATE DATABASE {database}"));
    let url = server.url_of("postgres", &database);
    make_schema(&url);
    Some(Fleet::of(&format!("{name}, {servers:?}"), redis, workers, &Setup { postgres: Some(url), ..setup.clone() }))
}

/// How many processes execute one question, at most, while PostgreSQL fails.
fn most(servers: Servers) -> usize {
    if servers.has_redis() { 1 } else { 3 }
}

/// All processes have something under way, and something that is known, when a server begins to fail. `name`: of the fault.
fn fails_under_load(fleet: &Fleet, servers: Servers, name: &str, fails: impl FnOnce()) {
    let before = format!("before {name}");
    load(fleet, &before, 1, most(servers));
    for process in fleet.living() {
        fleet.close(process);
    }
    let under_way = format!("under {name}/@0 one");
    let calls = fleet.call_all("meaning", &under_way, 3, &Task::value(0).gated());
    fleet.started(&under_way, 1);
    fails();
    for process in fleet.living() {
        fleet.open(process);
    }
    let got = fleet.got_all(calls);
    assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}\n{}", fleet.story());
    load(fleet, &format!("meanwhile {name}"), 6, most(servers));
    // From memory, and from Redis.
    load(fleet, &before, 1, most(servers));
    if servers.has_redis() {
        let known = format!("{before}0/@0 one");
        let found = fleet.fresh(1, "meaning", &known, &Task::value(0));
        assert_eq!(found.number(), Some(fleet.numbers(&known)[0]), "{}", fleet.story());
    }
}

#[test]
fn a_postgres_that_dies_is_done_without_until_it_is_back() {
    let Some(mut server) = PostgresServer::start("postgres dies") else { return };
    for servers in [Servers::Both, Servers::Postgres] {
        let Some(fleet) = around("postgres dies", &server, servers, 3, &hasty()) else { return };
        fails_under_load(&fleet, servers, "it", || server.kill());
        has_failed(&fleet, "unreachable");
        has_failed(&fleet, "resting");
        server.restart();
        compares_again(&fleet, "it");
        load(&fleet, "after", 2, most(servers));
        fleet.dismiss();
    }
}

#[test]
fn a_postgres_that_stands_still_is_done_without_until_it_goes_on() {
    let Some(server) = PostgresServer::start("postgres stands still") else { return };
    for servers in [Servers::Both, Servers::Postgres] {
        let Some(fleet) = around("postgres stands still", &server, servers, 3, &hasty()) else { return };
        fails_under_load(&fleet, servers, "it", || server.stop());
        has_failed(&fleet, "timed_out");
        server.go_on();
        compares_again(&fleet, "it");
        load(&fleet, "after", 2, most(servers));
        fleet.dismiss();
    }
}

#[test]
fn a_postgres_that_hears_of_an_answer_late_knows_when_it_was_begun() {
    let Some(server) = PostgresServer::start("hears late") else { return };
    let setup = Setup { patience: Some(30_000), ..Setup::default() };
    let Some(fleet) = around("hears late", &server, Servers::Postgres, 3, &setup) else { return };
    let begun = Instant::now();
    let own = fleet.call(0, "meaning", "@0 one", 1, &Task::value(0).gated());
    fleet.started("@0 one", 1);
    assert!(fleet.invalidate(1, "meaning", "@0 one"));
    let until_invalidated = begun.elapsed();
    server.stop();
    fleet.open(0);
    assert_eq!(fleet.got(own[0]).number(), Some(1));
    // Longer than from the beginning of the body to the invalidation.
    thread::sleep(until_invalidated + Duration::from_millis(300));
    server.go_on();
    let stats = fleet.stats(0, "meaning");
    assert_eq!(stats.of("semantic.index_writes"), 0, "{}", *stats);
    assert_eq!(fleet.fresh(2, "meaning", "@0 one", &Task::value(0)).number(), Some(2), "{}", fleet.story());
    fleet.dismiss();
}

/// What is wrong with a database, and what puts it right.
struct Broken {
    name: &'static str,
    breaks: fn(&Fleet),
    mends: fn(&Fleet),
    kind: &'static str,
}

fn make_anew(fleet: &Fleet) {
    fleet.database().ask("DROP TABLE IF EXISTS semantic_cache");
    make_schema(&fleet.database().url());
}

/// Sessions are as they were begun.
fn cut(fleet: &Fleet) {
    fleet.database().ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
}

const BROKEN: [Broken; 5] = [
    Broken {
        name: "no table",
        breaks: |fleet| drop(fleet.database().ask("DROP TABLE semantic_cache")),
        mends: make_anew,
        kind: "refused",
    },
    Broken {
        name: "no extension",
        breaks: |fleet| drop(fleet.database().ask("DROP EXTENSION vector CASCADE")),
        mends: make_anew,
        kind: "refused",
    },
    Broken {
        name: "other dimensions",
        breaks: |fleet| {
            fleet.database().ask("DROP TABLE semantic_cache");
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let index = PgvectorIndex::builder(fleet.database().url()).dimensions(4).build().expect("the url is right");
            runtime.block_on(index.ensure_schema()).expect("the table can be made");
        },
        mends: make_anew,
        kind: "refused",
    },
    Broken {
        name: "a table of an older version",
        breaks: |fleet| drop(fleet.database().ask("ALTER TABLE semantic_cache DROP COLUMN kept_until")),
        mends: make_anew,
        kind: "refused",
    },
    Broken {
        name: "read-only",
        breaks: |fleet| {
            let database = fleet.database();
            database.ask(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name()));
            cut(fleet);
        },
        mends: |fleet| {
            let database = fleet.database();
            let reset = format!("ALTER DATABASE {} RESET default_transaction_read_only", database.name());
            database.ask(&format!("SET default_transaction_read_only = off; {reset}"));
            cut(fleet);
        },
        kind: "read_only",
    },
];

#[test]
fn a_postgres_that_cannot_or_does_not_want_to_is_done_without_until_it_can() {
    for servers in [Servers::Both, Servers::Postgres] {
        let Some(fleet) = start("cannot", servers, 3, &hasty()) else { return };
        for Broken { name, breaks, mends, kind } in &BROKEN {
            fails_under_load(&fleet, servers, name, || breaks(&fleet));
            has_failed(&fleet, kind);
            // Whoever takes something out is told that it is not sure, and does not see it again.
            let known = format!("before {name}0/@0 one");
            assert!(!fleet.invalidate(1, "meaning", &known), "{name}\n{}", fleet.story());
            let anew = fleet.call(1, "meaning", &known, 1, &Task::value(0));
            assert_eq!(fleet.got(anew[0]).number(), fleet.numbers(&known).last().copied(), "{}", fleet.story());
            mends(&fleet);
            compares_again(&fleet, name);
            load(&fleet, &format!("after {name}"), 2, most(servers));
        }
        fleet.dismiss();
    }
}

#[test]
fn an_answer_that_cannot_be_understood_is_made_anew() {
    for servers in [Servers::Both, Servers::Postgres] {
        let Some(fleet) = start("not understood", servers, 3, &Setup::default()) else { return };
        assert_eq!(fleet.ask(0, "@0 one").number(), Some(1));
        if servers.has_redis() {
            fleet.server().ask(&["FLUSHALL"]);
        }
        fleet.database().ask("UPDATE semantic_cache SET response = '{\"number\":1}'");
        // Neither for a question that is near, nor for its own.
        assert_eq!(fleet.ask(1, "@15 other").number(), Some(2), "{}", fleet.story());
        assert_eq!(fleet.fresh(2, "meaning", "@-15 one more", &Task::value(0)).number(), Some(3), "{}", fleet.story());
        assert!(fleet.stats(1, "meaning").of("decode_errors") >= 1);
        fleet.database().ask("DELETE FROM semantic_cache WHERE query_normalized <> '@0 one' AND response IS NOT NULL");
        assert_eq!(fleet.fresh(2, "meaning", "@0 one", &Task::value(0)).number(), Some(4), "{}", fleet.story());
        assert_eq!(fleet.kept(), ["@0 one = 4"]);
        fleet.dismiss();
    }
}

#[test]
fn a_postgres_with_few_connections_gives_them_to_some() {
    let name = "few connections";
    let Some(fleet) = start(name, Servers::Both, 0, &hasty()) else { return };
    let (mut fleet, database) = (fleet, name.replace(' ', "_"));
    fleet.database().ask(&format!(
        "CREATE ROLE {database} LOGIN CONNECTION LIMIT 2; \
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {database}; \
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {database}"
    ));
    let setup = Setup { postgres: Some(fleet.database().url_of(&database)), ..hasty() };
    for _ in 0..3 {
        fleet.spawn(&setup);
    }
    fleet.ready();
    let keys: Vec<_> = (0..40).map(|number| format!("t{number}/@0 one")).collect();
    let calls: Vec<_> = keys.iter().flat_map(|key| fleet.call_all("meaning", key, 2, &Task::value(20))).collect();
    let got = fleet.got_all(calls);
    assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
    for key in &keys {
        assert_eq!(fleet.executions(key), 1, "{}", fleet.story());
    }
    has_failed(&fleet, "unreachable");
    // Connections are for all questions of a process, and two processes have one.
    fleet.database().ask(&format!("ALTER ROLE {database} CONNECTION LIMIT 100"));
    compares_again(&fleet, name);
    fleet.dismiss();
}
