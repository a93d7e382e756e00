//! What one host invalidates is invalid for all of them: in the backend, in their memories, and for what they are making.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{LazyLock, Mutex, PoisonError};

use stampede_runtime::{
    Invalidation, cached, distributed_coalesce, invalidate_all, invalidate_namespace, invalidate_pattern,
    invalidate_tags,
};

use super::gate::Gate;
use super::hosts::Host;
use crate::redis_server::RedisServer;

/// One test at a time: they read one database.
static ALONE: Mutex<()> = Mutex::new(());

/// What the functions read.
static DATABASE: AtomicU64 = AtomicU64::new(1);

#[cached(ttl = "1h", backend = "redis", namespace = "hosts", tags("row:{id}", |_| ["rows"]))]
async fn row(id: u32) -> (u32, u64) {
    (id, DATABASE.load(SeqCst))
}

#[distributed_coalesce(ttl = "1h", namespace = "hosts", tags("led:{id}", |_| ["all led"]))]
async fn led(id: u32) -> (u32, u64) {
    (id, DATABASE.load(SeqCst))
}

#[distributed_coalesce(ttl = "1h", namespace = "hosts", key = "user:{id}:{part}")]
async fn part(id: u32, part: &str) -> (u64, String) {
    (DATABASE.load(SeqCst), format!("{part} {id}"))
}

fn change() -> u64 {
    DATABASE.fetch_add(1, SeqCst) + 1
}

#[test]
fn a_tag_is_invalid_in_the_backend_and_in_every_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(server) = RedisServer::start("a_tag_is_invalid_in_the_backend_and_in_every_memory") else { return };
    let (a, b) = (Host::new(&server), Host::new(&server));
    for tag in ["row:7", "rows", "led:7", "all led"] {
        let first = change();
        for host in [&a, &b] {
            host.run(async {
                assert_eq!(row(7).await, (7, first));
                assert_eq!(led(7).await, (7, first));
            });
            host.settle();
        }
        assert_eq!(b.run(async { (row::stats().executions, led::stats().executions) }), (0, 0), "it is found in Redis");
        let second = change();
        let is_row = tag.starts_with("row");
        a.run(async { invalidate_tags([tag]).await.unwrap() });
        b.until("the message reaches the other's memory", || {
            if is_row { row::peek(7).is_none() } else { led::peek(7).is_none() }
        });
        for host in [&b, &a] {
            host.run(async {
                assert_eq!(row(7).await.1, if is_row { second } else { first }, "{tag}");
                assert_eq!(led(7).await.1, if is_row { first } else { second }, "{tag}");
            });
        }
        a.run(async {
            row::clear().await.unwrap();
            led::clear().await.unwrap();
        });
        b.until("what was cleared is gone", || row::peek(7).is_none() && led::peek(7).is_none());
        b.run(async {
            stampede_runtime::reset_stats();
        });
    }
}

type Invalidate = fn() -> Invalidation;

static GATE: LazyLock<Gate> = LazyLock::new(Gate::new);

#[distributed_coalesce(ttl = "1h", namespace = "hosts", tags("slow:{id}", |_| ["slow value"]))]
async fn slow(id: u32) -> u64 {
    assert_eq!(id, 1);
    let read = DATABASE.load(SeqCst);
    GATE.pass().await;
    read
}

#[cached(ttl = "1h", backend = "redis", namespace = "hosts", tags("slow:{id}", |_| ["slow value"]))]
async fn slow_unled(id: u32) -> u64 {
    assert_eq!(id, 1);
    let read = DATABASE.load(SeqCst);
    GATE.pass().await;
    read
}

#[test]
fn what_is_being_made_elsewhere_is_given_to_nobody_who_asks_later() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(server) = RedisServer::start("what_is_being_made_elsewhere_is_given_to_nobody_who_asks_later") else {
        return;
    };
    let (a, b) = (Host::new(&server), Host::new(&server));
    for tag in ["slow:1", "slow value"] {
        GATE.close();
        let first = change();
        let before = [b.spawn(slow(1)), b.spawn(slow_unled(1))];
        a.run(async {
            GATE.reached().await;
            GATE.reached().await;
        });
        let second = change();
        a.run(async { invalidate_tags([tag]).await.unwrap() });
        GATE.open();
        let mut seen = Vec::new();
        for call in before {
            seen.push(b.run(call).unwrap());
        }
        assert_eq!(seen, [first, first]);
        // Once what they say of it has arrived.
        b.settle();
        for host in [&a, &b] {
            let seen = host.run(async { (slow(1).await, slow_unled(1).await) });
            assert_eq!(seen, (second, second), "{tag}");
            // Without a lease, what is still on its way would come after the invalidation.
            host.settle();
        }
        a.run(async { invalidate_all().await.unwrap() });
        b.until("all is gone", || slow::peek(1).is_none() && slow_unled::peek(1).is_none());
    }
}

#[test]
fn keys_patterns_and_namespaces_reach_every_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(server) = RedisServer::start("keys_patterns_and_namespaces_reach_every_memory") else { return };
    let (a, b) = (Host::new(&server), Host::new(&server));
    let invalidations: [(&str, Invalidate); 6] = [
        ("key", || part::invalidate(7, "name")),
        ("pattern", || invalidate_pattern("user:7:*")),
        ("pattern of one function", || part::invalidate_pattern("*:name")),
        ("namespace", || invalidate_namespace("hosts")),
        ("all", || part::clear()),
        ("everything", invalidate_all),
    ];
    change();
    for (what, invalidate) in invalidations {
        let first = DATABASE.load(SeqCst);
        for host in [&a, &b] {
            assert_eq!(host.run(part(7, "name")).0, first, "{what}");
        }
        let second = change();
        a.run(async { invalidate().await.unwrap() });
        b.until(what, || part::peek(7, "name").is_none());
        for host in [&b, &a] {
            assert_eq!(host.run(part(7, "name")).0, second, "{what}");
        }
    }
    // By who has never called it.
    let c = Host::new(&server);
    let third = change();
    c.run(async { invalidate_pattern("user:?:name").await.unwrap() });
    b.until("by a stranger", || part::peek(7, "name").is_none());
    assert_eq!(b.run(part(7, "name")).0, third);
}

#[test]
fn what_one_overwrites_the_others_read_anew() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(server) = RedisServer::start("what_one_overwrites_the_others_read_anew") else { return };
    let (a, b) = (Host::new(&server), Host::new(&server));
    let first = change();
    for host in [&a, &b] {
        host.run(async { assert_eq!((row(7).await.1, led(7).await.1), (first, first)) });
        host.settle();
    }
    let second = change();
    a.run(async {
        row::refresh(7).await;
        led::refresh(7).await;
    });
    a.settle();
    b.until("refreshed", || row::peek(7).is_none() && led::peek(7).is_none());
    b.run(async { assert_eq!((row(7).await.1, led(7).await.1), (second, second)) });
    assert_eq!(b.run(async { row::stats().executions + led::stats().executions }), 0);
    a.run(async {
        row::insert(7, (7, 1_000));
        led::insert(7, (7, 1_000));
    });
    a.settle();
    b.until("inserted", || row::peek(7).is_none() && led::peek(7).is_none());
    b.run(async { assert_eq!((row(7).await.1, led(7).await.1), (1_000, 1_000)) });
    a.run(async { assert_eq!((row::peek(7), led::peek(7)), (Some((7, 1_000)), Some((7, 1_000))), "its own it keeps") });
}

#[test]
fn memory_is_of_no_use_once_messages_may_have_been_lost() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(mut server) = RedisServer::start("memory_is_of_no_use_once_messages_may_have_been_lost") else { return };
    let (a, b) = (Host::new(&server), Host::new(&server));
    let first = change();
    for host in [&a, &b] {
        host.run(async { assert_eq!(led(7).await.1, first) });
    }
    server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    b.until("a lost connection", || led::peek(7).is_none());
    b.run(async { assert_eq!(led(7).await.1, first, "it is read again") });
    let second = change();
    server.restart();
    b.until("a restart", || led::peek(7).is_none());
    b.run(async { assert_eq!(led(7).await.1, second) });
}

#[test]
fn a_tracking_host_sees_what_is_deleted_by_hand() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(server) = RedisServer::start("a_tracking_host_sees_what_is_deleted_by_hand") else { return };
    let (a, b) = (Host::with(&server, true), Host::new(&server));
    let first = change();
    for host in [&a, &b] {
        assert_eq!(host.run(part(7, "name")).0, first);
        host.settle();
    }
    change();
    assert_eq!(server.ask(&["DEL", "stampede:{hosts::part:v0:user:7:name}"]), "1", "{}", server.ask(&["KEYS", "*"]));
    a.until("the server tells", || part::peek(7, "name").is_none());
    assert!(b.run(async { part::peek(7, "name").is_some() }), "who is not told keeps it for its `ttl`");
    // What somebody else writes is read anew.
    b.run(async { part::invalidate(7, "name").await.unwrap() });
    let third = change();
    for host in [&b, &a] {
        assert_eq!(host.run(part(7, "name")).0, third);
    }
    server.ask(&["FLUSHALL"]);
    a.until("all is gone", || part::peek(7, "name").is_none());
}
