//! A database that is killed, stopped, locked, taken away: calls end at once or within their time, what they say is right, and
//! they recover by themselves.

use std::error::Error as StdError;
use std::future::Future;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, Row};
use stampede_runtime::semantic::index::{New, Partition};
use stampede_runtime::semantic::{Embedding, Index, PgvectorBuilder, PgvectorIndex};
use stampede_runtime::store::{BackendError, BackendErrorKind};
use tokio::time::sleep;

#[path = "support/postgres_server.rs"]
mod postgres_server;

use postgres_server::{Database, PATIENCE, PostgresServer};

const HOUR: Duration = Duration::from_secs(3600);
/// A machine that builds something else meanwhile is slow.
const SLOW: Duration = Duration::from_secs(20);
/// What is waited for here to pass.
const BRIEF: Duration = Duration::from_millis(300);
/// The question that all of them ask.
const HASH: [u8; 32] = [1; 32];

fn builder(url: &str) -> PgvectorBuilder {
    PgvectorIndex::builder(url).dimensions(3).connect_timeout(SLOW).query_timeout(SLOW)
}

/// One that works, with an entry in it.
async fn index(url: &str) -> PgvectorIndex {
    let index = builder(url).build().unwrap();
    index.ensure_schema().await.unwrap();
    put(&index).await.unwrap();
    index
}

fn of() -> Partition {
    Partition { namespace: "f".into(), model: "m".into(), tenant: "".into(), arguments: [0; 32] }
}

fn to() -> Embedding {
    Embedding::new(vec![1.0, 0.0, 0.0], 3).unwrap()
}

async fn put(index: &PgvectorIndex) -> Result<bool, BackendError> {
    let new = New {
        hash: HASH,
        question: "a",
        embedding: &to(),
        response: "1",
        ttl: HOUR,
        retention: HOUR,
        cost: HOUR,
        began: Instant::now(),
        capacity: 10,
    };
    index.put(&of(), new).await
}

/// Whether the entry is found, both ways.
async fn found(index: &PgvectorIndex) -> Result<bool, BackendError> {
    let near = index.nearest(&of(), &to(), 1).await?;
    Ok(index.exact(&of(), &HASH).await?.is_some() && near.len() == 1)
}

/// Fails where something would never end.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it ends")
}

/// Tries until the entry is found again.
async fn recovered(index: &PgvectorIndex) {
    soon(async {
        while !found(index).await.is_ok_and(|found| found) {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// An error with its causes.
fn whole(error: &dyn StdError) -> String {
    let cause = error.source().map_or_else(String::new, |cause| format!(": {}", whole(cause)));
    format!("{error}{cause}")
}

#[tokio::test]
async fn a_server_that_is_down_costs_nothing_and_is_found_again() {
    let Some(mut server) = PostgresServer::start("a_server_that_is_down_costs_nothing_and_is_found_again") else {
        return;
    };
    let index = index(&server.url()).await;
    for _ in 0..2 {
        server.kill();
        for _ in 0..100 {
            // Far from the time that a connection may take: it is refused at once.
            let begun = Instant::now();
            let error = soon(found(&index)).await.unwrap_err();
            assert_eq!(error.kind(), BackendErrorKind::Unreachable, "{}", whole(&error));
            assert!(begun.elapsed() < SLOW, "{:?}", begun.elapsed());
        }
        assert_eq!(soon(put(&index)).await.unwrap_err().kind(), BackendErrorKind::Unreachable);
        server.restart();
        // What was written is there.
        recovered(&index).await;
    }
}

#[tokio::test]
async fn connections_that_the_server_has_ended_are_no_errors() {
    let Some(database) = Database::new("connections_that_the_server_has_ended_are_no_errors") else { return };
    let index = index(&database.url()).await;
    for _ in 0..10 {
        // Several connections.
        let asked = (0..8).map(|_| {
            let index = index.clone();
            tokio::spawn(async move { found(&index).await })
        });
        for asked in asked.collect::<Vec<_>>() {
            assert!(asked.await.unwrap().unwrap());
        }
        database.ask(
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        assert!(found(&index).await.unwrap());
        assert!(put(&index).await.unwrap());
    }
}

#[tokio::test]
async fn a_server_that_is_silent_takes_the_time_it_is_given() {
    let Some(server) = PostgresServer::start("a_server_that_is_silent_takes_the_time_it_is_given") else { return };
    index(&server.url()).await;
    let index = builder(&server.url()).connect_timeout(BRIEF).query_timeout(BRIEF).build().unwrap();
    recovered(&index).await;
    server.stop();
    // First on a connection that is there, then on ones that are not.
    let kinds = [BackendErrorKind::TimedOut, BackendErrorKind::Unreachable];
    for kind in kinds {
        let begun = Instant::now();
        let error = soon(index.ping()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{}", whole(&error));
        assert!(begun.elapsed() >= BRIEF);
    }
    server.go_on();
    recovered(&index).await;
}

#[tokio::test]
async fn a_server_that_says_nothing_takes_the_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://ann:hunter2@127.0.0.1:{}/d", listener.local_addr().unwrap().port());
    let index = builder(&url).connect_timeout(BRIEF).build().unwrap();
    let error = soon(index.exact(&of(), &HASH)).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unreachable);
    assert_eq!(whole(&error), "the store cannot be reached: no connection in time");
    let error = soon(index.ensure_schema()).await.unwrap_err();
    assert!(!format!("{error:?} {}", whole(&error)).contains("hunter2"));
}

#[tokio::test]
async fn what_is_locked_is_let_go_of_at_both_ends() {
    let Some(database) = Database::new("what_is_locked_is_let_go_of_at_both_ends") else { return };
    index(&database.url()).await;
    let index = builder(&database.url()).query_timeout(BRIEF).connections_max(1).build().unwrap();
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE semantic_cache").execute(&mut other).await.unwrap();
    for _ in 0..3 {
        assert_eq!(soon(found(&index)).await.unwrap_err().kind(), BackendErrorKind::TimedOut);
        assert_eq!(soon(put(&index)).await.unwrap_err().kind(), BackendErrorKind::TimedOut);
    }
    let let_go = async {
        while database.ask(waiting) != "0" {
            sleep(Duration::from_millis(20)).await;
        }
    };
    soon(let_go).await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    recovered(&index).await;
}

#[tokio::test]
async fn who_finds_all_connections_in_use_waits_only_for_so_long() {
    let Some(database) = Database::new("who_finds_all_connections_in_use_waits_only_for_so_long") else { return };
    index(&database.url()).await;
    let index = builder(&database.url()).connect_timeout(BRIEF).connections_max(1).build().unwrap();
    recovered(&index).await;
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE semantic_cache").execute(&mut other).await.unwrap();
    let first = tokio::spawn({
        let index = index.clone();
        async move { found(&index).await }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    soon(async {
        while database.ask(waits) != "1" {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let error = soon(index.ping()).await.unwrap_err();
    assert_eq!(whole(&error), "the store did not answer in time: all connections were in use");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert!(soon(first).await.unwrap().unwrap());
    // The same with a pool of one's own.
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&database.url()).await.unwrap();
    let held = pool.acquire().await.unwrap();
    let index = PgvectorIndex::builder_with_pool(pool).dimensions(3).connect_timeout(BRIEF).build().unwrap();
    assert_eq!(soon(index.ping()).await.unwrap_err().kind(), BackendErrorKind::TimedOut);
    drop(held);
    recovered(&index).await;
}

#[tokio::test]
async fn a_replica_is_read_and_not_written() {
    let Some(database) = Database::new("a_replica_is_read_and_not_written") else { return };
    index(&database.url()).await;
    database.ask(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name()));
    let index = builder(&database.url()).build().unwrap();
    assert!(found(&index).await.unwrap());
    let errors = [
        put(&index).await.unwrap_err(),
        index.remove(&of(), &HASH).await.unwrap_err(),
        index.remove_near(&of(), &to(), 0.5).await.unwrap_err(),
        index.clear("f").await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), BackendErrorKind::ReadOnly, "{}", whole(&error));
    }
    assert!(found(&index).await.unwrap());
}

#[tokio::test]
async fn what_is_taken_away_is_missed_and_found_again() {
    let Some(database) = Database::new("what_is_taken_away_is_missed_and_found_again") else { return };
    let index = index(&database.url()).await;
    // Without its indexes it is slower.
    database.ask("DROP INDEX semantic_cache_near_idx, semantic_cache_fresh_idx, semantic_cache_created_idx");
    assert!(found(&index).await.unwrap() && put(&index).await.unwrap());
    database.ask("DROP TABLE semantic_cache");
    assert_eq!(found(&index).await.unwrap_err().kind(), BackendErrorKind::Refused);
    assert_eq!(put(&index).await.unwrap_err().kind(), BackendErrorKind::Refused);
    // With it goes the type that connections know by its number.
    database.ask("DROP EXTENSION vector");
    index.ensure_schema().await.unwrap();
    soon(async {
        while put(&index).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    recovered(&index).await;
}

#[tokio::test]
async fn work_that_was_undone_for_others_is_done_again() {
    let Some(database) = Database::new("work_that_was_undone_for_others_is_done_again") else { return };
    index(&database.url()).await;
    database.ask(&format!("ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'", database.name()));
    let index = builder(&database.url()).build().unwrap();
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; UPDATE semantic_cache SET hits = hits + 1").execute(&mut other).await.unwrap();
    let removing = tokio::spawn({
        let index = index.clone();
        async move { index.remove(&of(), &HASH).await }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    soon(async {
        while database.ask(waits) != "1" {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // Then the other's work is newer than what the removal has seen.
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert!(soon(removing).await.unwrap().unwrap());
}

#[tokio::test]
async fn calls_that_are_dropped_leave_nothing_behind() {
    let Some(database) = Database::new("calls_that_are_dropped_leave_nothing_behind") else { return };
    let index = index(&database.url()).await;
    let small = builder(&database.url()).connections_max(3).build().unwrap();
    for round in 0..50 {
        let calls: Vec<_> = (0..20)
            .map(|_| {
                let small = small.clone();
                tokio::spawn(async move {
                    let _ = put(&small).await;
                    found(&small).await
                })
            })
            .collect();
        sleep(Duration::from_micros(200 * (round % 10))).await;
        for call in calls {
            call.abort();
        }
    }
    assert!(found(&small).await.unwrap() && put(&small).await.unwrap());
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let left = "SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in transaction%') FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    soon(async {
        loop {
            let row = sqlx::query(left).fetch_one(&mut connection).await.unwrap();
            let (all, open): (i64, i64) = (row.get(0), row.get(1));
            // Those of both, and one for what happens besides.
            if all <= 10 + 3 + 2 && open == 0 {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(found(&index).await.unwrap());
}

#[test]
fn runtimes_come_and_go() {
    let Some(database) = Database::new("runtimes_come_and_go") else { return };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pool = runtime().block_on(async {
        index(&database.url()).await;
        // Of a runtime that is about to end.
        sqlx::postgres::PgPoolOptions::new().connect_lazy(&database.url()).unwrap()
    });
    let indexes = [
        builder(&database.url()).build().unwrap(),
        PgvectorIndex::builder_with_pool(pool).dimensions(3).connect_timeout(SLOW).query_timeout(SLOW).build().unwrap(),
    ];
    for index in &indexes {
        for _ in 0..5 {
            assert!(runtime().block_on(found(index)).unwrap());
            // One that ends in the middle of a call.
            runtime().block_on(async {
                let mut call = Box::pin(found(index));
                std::future::poll_fn(|context| {
                    let _ = call.as_mut().poll(context);
                    std::task::Poll::Ready(())
                })
                .await;
            });
        }
    }
    // Dropped where there is none.
    drop(indexes);
}

#[tokio::test(start_paused = true)]
async fn a_test_that_pauses_its_clock_waits_for_the_database() {
    let Some(database) = Database::new("a_test_that_pauses_its_clock_waits_for_the_database") else { return };
    let index = index(&database.url()).await;
    assert!(found(&index).await.unwrap());
}
