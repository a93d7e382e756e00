//! Sentinels: a master that dies, its replica that takes over, and calls that go on meanwhile.

use std::future::Future;
use std::time::Duration;

use stampede_runtime::store::lease::{Acquired, Asked, Leases, Wish};
use stampede_runtime::store::{
    Backend, BackendErrorKind, Id, Place, RedisBackend, RedisBuilder, StoreKey, conformance,
};
use tokio::time::{sleep, timeout};

#[path = "support/redis_server.rs"]
mod redis_server;

use redis_server::{PATIENCE, RedisServer};

const HOUR: Duration = Duration::from_secs(3600);

#[expect(clippy::needless_pass_by_value, reason = "for numbers and texts alike")]
fn key(id: impl ToString) -> StoreKey {
    StoreKey::new(&Place::new("sentinel", "f", 1), Id::Text(&id.to_string()))
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it ends")
}

/// A master, a replica, and three who watch over them.
struct Watched {
    servers: [RedisServer; 2],
    sentinels: Vec<RedisServer>,
}

impl Watched {
    fn start(test: &str) -> Option<Watched> {
        let servers = [RedisServer::start(test)?, RedisServer::start(test)?];
        let port = servers[0].port();
        servers[1].ask(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
        let lines = format!(
            "sentinel monitor mymaster 127.0.0.1 {port} 2\nsentinel down-after-milliseconds mymaster 500\n\
             sentinel failover-timeout mymaster 2000\n"
        );
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(RedisServer::start_sentinel(test, &lines)?);
        }
        let watched = Watched { servers, sentinels };
        until("they know each other", || {
            watched.sentinels.iter().all(|sentinel| {
                let told = sentinel.ask(&["SENTINEL", "MASTER", "mymaster"]);
                let told: Vec<&str> = told.lines().collect();
                let of = |name: &str| told.iter().position(|line| *line == name).map(|at| told[at + 1]);
                of("num-other-sentinels") == Some("2") && of("num-slaves") == Some("1")
            })
        });
        until("the replica is there", || watched.servers[1].ask(&["INFO", "replication"]).contains("link_status:up"));
        Some(watched)
    }

    fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::url).collect()
    }

    fn builder(&self) -> RedisBuilder {
        let slow = Duration::from_secs(5);
        RedisBackend::sentinel("mymaster", self.urls()).connect_timeout(slow).response_timeout(slow)
    }
}

fn until(what: &str, mut has_happened: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !has_happened() {
        assert!(begun.elapsed() < PATIENCE, "it never comes that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a server says that it is that. A sentinel ends the connections of one that it makes something else.
fn is(server: &RedisServer, role: &str) -> bool {
    server.answer(&["ROLE"]).is_ok_and(|answer| answer.starts_with(role))
}

fn asked(owner: &str) -> Asked<'_> {
    Asked { owner, lease: HOUR, value: Wish::Any, joined: None, waiter: None }
}

/// Writes until that is taken.
async fn written(backend: &RedisBackend, key: &StoreKey, entry: &[u8]) {
    soon(async {
        while backend.set(key, entry, HOUR).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_master_keeps_what_every_backend_promises() {
    let Some(watched) = Watched::start("the_master_keeps_what_every_backend_promises") else { return };
    conformance::check(async || watched.builder().build().unwrap()).await;
    let hosts: Vec<_> = watched.sentinels.iter().map(|it| format!("127.0.0.1:{}", it.port())).collect();
    let url = format!("redis-sentinel://{}/mymaster", hosts.join(","));
    let slow = Duration::from_secs(5);
    let backend = RedisBackend::builder(url).connect_timeout(slow).response_timeout(slow).build().unwrap();
    written(&backend, &key("a"), b"entry").await;
    assert_eq!(watched.servers[0].ask(&["GET", key("a").as_str()]), "entry");
}

#[tokio::test]
async fn a_failover_is_followed_and_the_old_master_is_not_written_to() {
    let name = "a_failover_is_followed_and_the_old_master_is_not_written_to";
    let Some(mut watched) = Watched::start(name) else { return };
    let (one, other) = (watched.builder().build().unwrap(), watched.builder().build().unwrap());
    written(&one, &key("a"), b"entry").await;
    assert!(matches!(soon(one.acquire(&key("b"), asked("one"))).await.unwrap(), Acquired::Lead(_)));
    let waiter = other.waiter(&key("b"));
    let wait = soon(other.acquire(&key("b"), Asked { waiter: Some(&*waiter), ..asked("other") })).await.unwrap();
    assert!(matches!(wait, Acquired::Wait { .. }));
    until("the replica has it", || !watched.servers[1].ask(&["GET", key("a").as_str()]).is_empty());

    watched.servers[0].kill();
    // Whoever waits is told that it has to look by itself.
    soon(waiter.woken()).await;
    // Calls meanwhile fail, and none hangs.
    written(&one, &key("c"), b"of the new master").await;
    assert_eq!(watched.servers[1].ask(&["GET", key("c").as_str()]), "of the new master");
    assert_eq!(soon(one.get(&key("a"))).await.unwrap().as_deref(), Some(&b"entry"[..]));
    written(&other, &key("d"), b"of the other").await;
    soon(async {
        while !waiter.is_heard() {
            waiter.woken().await;
        }
    })
    .await;

    // It comes back as a replica, and nobody takes it for the master.
    watched.servers[0].restart();
    until("it is a replica", || is(&watched.servers[0], "slave"));
    let third = watched.builder().build().unwrap();
    written(&third, &key("e"), b"of a third").await;
    assert_eq!(watched.servers[1].ask(&["GET", key("e").as_str()]), "of a third");
}

#[tokio::test]
async fn a_failover_on_request_is_followed() {
    let Some(watched) = Watched::start("a_failover_on_request_is_followed") else { return };
    let backend = watched.builder().build().unwrap();
    written(&backend, &key("a"), b"before").await;
    watched.sentinels[0].ask(&["SENTINEL", "FAILOVER", "mymaster"]);
    until("there is another master", || is(&watched.servers[1], "master"));
    until("the old one is a replica", || is(&watched.servers[0], "slave"));
    written(&backend, &key("a"), b"after").await;
    assert_eq!(watched.servers[1].ask(&["GET", key("a").as_str()]), "after");
}

#[tokio::test]
async fn a_sentinel_that_hangs_or_is_gone_holds_up_nobody() {
    let Some(mut watched) = Watched::start("a_sentinel_that_hangs_or_is_gone_holds_up_nobody") else { return };
    watched.sentinels[0].stop();
    watched.sentinels[1].kill();
    let backend = watched.builder().build().unwrap();
    soon(backend.ping()).await.unwrap();
    watched.sentinels[0].go_on();
}

#[tokio::test]
async fn a_master_that_nobody_knows_is_an_error_that_names_nothing() {
    let Some(watched) = Watched::start("a_master_that_nobody_knows_is_an_error_that_names_nothing") else { return };
    let slow = Duration::from_secs(5);
    let backend = RedisBackend::sentinel("hunter2", watched.urls()).connect_timeout(slow).build().unwrap();
    let error = soon(backend.ping()).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unreachable);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the sentinels know no master of this name");
    for shown in [format!("{error:?}"), format!("{backend:?}")] {
        assert!(!shown.contains("hunter2") && !shown.contains("127.0.0.1"), "{shown}");
    }
}

#[tokio::test]
async fn sentinels_have_passwords_of_their_own() {
    let Some(watched) = Watched::start("sentinels_have_passwords_of_their_own") else { return };
    for sentinel in &watched.sentinels {
        sentinel.ask(&["ACL", "SETUSER", "watcher", "on", ">hunter2", "allchannels", "+@all"]);
        sentinel.ask(&["ACL", "SETUSER", "default", "off"]);
    }
    watched.servers[0].ask(&["ACL", "SETUSER", "ann", "on", ">hunter3", "~*", "&*", "+@all"]);
    let backend = watched.builder().build().unwrap();
    assert_eq!(soon(backend.ping()).await.unwrap_err().kind(), BackendErrorKind::Refused);
    let known = watched.builder().sentinel_username("watcher").sentinel_password("hunter2");
    let backend = known.username("ann").password("hunter3").build().unwrap();
    soon(backend.ping()).await.unwrap();
    written(&backend, &key("a"), b"entry").await;
}

#[tokio::test]
async fn a_sentinel_that_names_a_replica_is_not_believed() {
    let name = "a_sentinel_that_names_a_replica_is_not_believed";
    let Some(watched) = Watched::start(name) else { return };
    // As one does that has not heard of a failover.
    let replica = watched.servers[1].port();
    let lines = format!("sentinel monitor mymaster 127.0.0.1 {replica} 2\n");
    let Some(wrong) = RedisServer::start_sentinel(name, &lines) else { return };
    let urls = || [wrong.url(), watched.sentinels[0].url()];
    for number in 0..20 {
        let slow = Duration::from_secs(5);
        let backend = RedisBackend::sentinel("mymaster", urls()).connect_timeout(slow).response_timeout(slow);
        soon(backend.build().unwrap().set(&key(number), b"entry", HOUR)).await.unwrap();
    }
    let alone =
        RedisBackend::sentinel("mymaster", [wrong.url()]).connect_timeout(Duration::from_secs(5)).build().unwrap();
    assert_eq!(soon(alone.ping()).await.unwrap_err().kind(), BackendErrorKind::ReadOnly);
}
