//! A real server that is killed, stopped, cut off: calls end at once or within their time, what they say is right, and they
//! recover by themselves.

use std::future::Future;
use std::time::{Duration, Instant};

use stampede_runtime::store::lease::{Acquired, Asked, Leases, Wish};
use stampede_runtime::store::{Backend, BackendErrorKind, Id, Place, RedisBackend, StoreKey};
use tokio::task::JoinSet;
use tokio::time::sleep;

#[path = "support/redis_server.rs"]
mod redis_server;

use redis_server::{PATIENCE, RedisServer};

const HOUR: Duration = Duration::from_secs(3600);

fn key(number: u32) -> StoreKey {
    StoreKey::new(&Place::new("redis", "f", 1), Id::Text(&number.to_string()))
}

fn backend(server: &RedisServer) -> RedisBackend {
    let slow = Duration::from_secs(5);
    RedisBackend::builder(server.url()).connect_timeout(slow).response_timeout(slow).build().expect("the url is right")
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it ends")
}

/// Tries until the server answers again.
async fn recovered(backend: &RedisBackend) {
    soon(async {
        while backend.ping().await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_never_was_there_costs_nothing_but_the_first_attempt() {
    let Some(mut server) = RedisServer::start("a_server_that_never_was_there_costs_nothing_but_the_first_attempt")
    else {
        return;
    };
    let backend = backend(&server);
    server.kill();
    assert_eq!(soon(backend.ping()).await.unwrap_err().kind(), BackendErrorKind::Unreachable);
    let begun = Instant::now();
    for number in 0..1_000 {
        assert_eq!(backend.get(&key(number)).await.unwrap_err().kind(), BackendErrorKind::Unreachable);
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    server.restart();
    recovered(&backend).await;
}

#[tokio::test]
async fn calls_fail_at_once_while_the_server_is_down_and_work_when_it_is_back() {
    let Some(mut server) = RedisServer::start("calls_fail_at_once_while_the_server_is_down_and_work_when_it_is_back")
    else {
        return;
    };
    let backend = backend(&server);
    for _ in 0..3 {
        soon(backend.set(&key(0), b"entry", HOUR)).await.unwrap();
        let waiter = backend.waiter(&key(0));
        assert!(waiter.is_heard());
        server.kill();
        // It is noticed without a call.
        soon(waiter.woken()).await;
        assert!(!waiter.is_heard());
        let failed = soon(backend.get(&key(0))).await.unwrap_err();
        assert_eq!(failed.kind(), BackendErrorKind::Unreachable);
        let begun = Instant::now();
        for _ in 0..1_000 {
            assert!(backend.get(&key(0)).await.is_err());
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        server.restart();
        // And so is this.
        soon(async {
            waiter.woken().await;
            while !waiter.is_heard() {
                waiter.woken().await;
            }
        })
        .await;
        assert_eq!(soon(backend.get(&key(0))).await.unwrap(), None, "it lost what it held");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_again_and_waiters_look() {
    let Some(server) = RedisServer::start("a_connection_that_is_cut_is_made_again_and_waiters_look") else { return };
    let backend = backend(&server);
    soon(backend.ping()).await.unwrap();
    let waiter = backend.waiter(&key(0));
    let asked = |owner| Asked { owner, lease: HOUR, value: Wish::Any, joined: None, waiter: Some(&*waiter) };
    let Acquired::Lead(token) = soon(backend.acquire(&key(0), asked("one"))).await.unwrap() else { panic!("first") };
    for kind in ["normal", "pubsub"] {
        server.ask(&["CLIENT", "KILL", "TYPE", kind]);
    }
    soon(waiter.woken()).await;
    recovered(&backend).await;
    assert!(soon(backend.renew(&key(0), &token, HOUR)).await.unwrap(), "a lease is no matter of connections");
    assert!(matches!(soon(backend.acquire(&key(0), asked("other"))).await.unwrap(), Acquired::Wait { .. }));
    // It hears again, through the new connection.
    while tokio::time::timeout(Duration::from_millis(50), waiter.woken()).await.is_ok() {}
    soon(backend.remove(&key(0))).await.unwrap();
    soon(waiter.woken()).await;
}

#[tokio::test]
async fn a_server_that_hangs_costs_its_timeout_and_then_nothing() {
    let Some(server) = RedisServer::start("a_server_that_hangs_costs_its_timeout_and_then_nothing") else { return };
    let backend = RedisBackend::builder(server.url()).response_timeout(Duration::from_millis(150)).build().unwrap();
    recovered(&backend).await;
    for number in 0..200_u32 {
        soon(backend.set(&key(number), &number.to_le_bytes(), HOUR)).await.unwrap();
    }
    server.stop();
    let mut calls = JoinSet::new();
    for number in 0..200_u32 {
        let backend = backend.clone();
        calls.spawn(async move { backend.get(&key(number)).await.map_err(|error| error.kind()) });
    }
    for answer in soon(calls.join_all()).await {
        assert_eq!(answer, Err(BackendErrorKind::TimedOut));
    }
    server.go_on();
    recovered(&backend).await;
    for number in 0..200_u32 {
        let entry = soon(backend.get(&key(number))).await.unwrap();
        assert_eq!(entry.as_deref(), Some(&number.to_le_bytes()[..]), "an answer to another question");
    }
    // For longer, the connection is given up, and so is waiting for it.
    server.stop();
    soon(async {
        while backend.ping().await.unwrap_err().kind() != BackendErrorKind::Unreachable {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    soon(async {
        // The first attempt after that is waited for.
        while backend.ping().await.unwrap_err().kind() != BackendErrorKind::Unreachable {}
    })
    .await;
    let begun = Instant::now();
    for _ in 0..1_000 {
        assert!(backend.ping().await.is_err());
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    server.go_on();
    recovered(&backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_calls_leave_no_answer_to_others() {
    let Some(server) = RedisServer::start("dropped_calls_leave_no_answer_to_others") else { return };
    let backend = backend(&server);
    for number in 0..100_u32 {
        soon(backend.set(&key(number), &number.to_le_bytes(), HOUR)).await.unwrap();
    }
    let mut calls = JoinSet::new();
    for call in 0..6_000_u32 {
        let backend = backend.clone();
        let number = call % 100;
        let task = calls.spawn(async move {
            let key = key(number);
            let asked = Asked { owner: "me", lease: HOUR, value: Wish::Any, joined: None, waiter: None };
            let entry = if call % 2 == 0 {
                backend.get(&key).await.unwrap()
            } else {
                match backend.acquire(&key, asked).await.unwrap() {
                    Acquired::Value { entry, .. } => Some(entry),
                    _ => None,
                }
            };
            assert_eq!(entry.as_deref(), Some(&number.to_le_bytes()[..]));
        });
        match call % 3 {
            0 if call % 2 == 0 => task.abort(),
            0 => {
                tokio::spawn(async move {
                    tokio::task::yield_now().await;
                    task.abort();
                });
            }
            _ => {}
        }
    }
    let (mut done, mut dropped) = (0, 0);
    while let Some(ended) = soon(calls.join_next()).await {
        match ended {
            Ok(()) => done += 1,
            Err(error) if error.is_cancelled() => dropped += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(done >= 4_000 && dropped > 0, "{done} done, {dropped} dropped");
}

#[tokio::test]
async fn a_server_that_takes_no_more_connections_is_tried_again() {
    let Some(server) = RedisServer::start("a_server_that_takes_no_more_connections_is_tried_again") else { return };
    let [one, other] = [(); 2].map(|()| backend(&server));
    soon(one.ping()).await.unwrap();
    server.ask(&["CONFIG", "SET", "maxclients", "1"]);
    assert!(soon(other.ping()).await.is_err());
    drop(one);
    recovered(&other).await;
}

#[tokio::test]
async fn a_silent_listener_is_no_server() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let backend = RedisBackend::builder(url).connect_timeout(Duration::from_millis(50)).build().unwrap();
    assert_eq!(soon(backend.ping()).await.unwrap_err().kind(), BackendErrorKind::Unreachable);
    let begun = Instant::now();
    for _ in 0..1_000 {
        assert!(backend.ping().await.is_err());
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_of_another_kind_is_an_error_and_nothing_worse() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
        }
    });
    let backend = RedisBackend::new(url).unwrap();
    for _ in 0..20 {
        assert!(soon(backend.ping()).await.is_err());
    }
}
