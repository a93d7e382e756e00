//! `Cache` over a real server: how often it is asked for a thousand keys, and what other processes hear.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use stampede_runtime::store::{KEYS_MAX, RedisBackend};
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Cache, Config, Entry, Settings, shutdown};

#[path = "support/redis_server.rs"]
mod redis_server;

use redis_server::{PATIENCE, RedisServer};

const HOUR: Duration = Duration::from_secs(3600);

/// A process of its own: nothing in its memory. What it says has arrived when it ends.
async fn process<T>(url: &str, test: impl AsyncFnOnce(Cache<u32>) -> T) -> T {
    let redis = RedisBackend::builder(url).connect_timeout(PATIENCE).response_timeout(PATIENCE).build().unwrap();
    let settings = Settings::new().backend_timeout(PATIENCE);
    let _isolated = isolate_with(Config::builder().backend("main", redis).defaults(settings).build().unwrap());
    let users = Cache::builder("users").ttl(HOUR).capacity(10_000).backend("main").build();
    let result = tokio::time::timeout(PATIENCE, test(users)).await.expect("it ends");
    assert_eq!(shutdown(PATIENCE).await, 0);
    result
}

/// How often the server was asked, by command.
fn calls(server: &RedisServer) -> HashMap<String, usize> {
    let info = server.ask(&["INFO", "commandstats"]);
    let lines = info.lines().filter_map(|line| {
        let (command, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((command.to_owned(), rest.split(',').next()?.parse().ok()?))
    });
    lines.collect()
}

fn key(number: usize) -> String {
    format!("user:{number}")
}

#[tokio::test]
async fn a_thousand_keys_are_asked_for_in_one_round_trip() {
    let Some(server) = RedisServer::start("a_thousand_keys_are_asked_for_in_one_round_trip") else { return };
    let all: Vec<String> = (0..KEYS_MAX).map(key).collect();
    process(&server.url(), async |users| {
        users.set_many(all.iter().zip(0..)).await.unwrap();
    })
    .await;
    server.ask(&["CONFIG", "RESETSTAT"]);
    process(&server.url(), async |users| {
        let found = users.get_many(&all).await;
        assert_eq!(found.len(), KEYS_MAX);
        assert!(all.iter().zip(0..).all(|(key, number)| found[key] == number));
        let of = |command: &str| calls(&server).get(command).copied().unwrap_or(0);
        assert_eq!((of("mget"), of("get"), of("evalsha")), (1, 0, 0));

        // Memory first: of a thousand, one is asked for; of what is all there, none.
        users.invalidate_pattern("user:7").await.unwrap();
        users.set_many([("user:7", 7)]).await.unwrap();
        users.get_many(&all).await;
        assert_eq!(of("mget"), 1);
        let more: Vec<String> = (1..=KEYS_MAX).map(key).collect();
        assert_eq!(users.get_many(&more).await.len(), KEYS_MAX - 1);
        assert_eq!(of("mget"), 2);
        assert_eq!(users.stats().misses, 1);
        assert_eq!(users.stats().backend_misses, 1);
    })
    .await;
}

#[tokio::test]
async fn one_load_fills_what_is_missing_after_one_question() {
    let Some(server) = RedisServer::start("one_load_fills_what_is_missing_after_one_question") else { return };
    process(&server.url(), async |users| users.set_many((0..10).map(|n| (key(n), 0))).await.unwrap()).await;
    server.ask(&["CONFIG", "RESETSTAT"]);
    process(&server.url(), async |users| {
        let loads = AtomicUsize::new(0);
        let load = |missing: Vec<String>| {
            loads.fetch_add(1, SeqCst);
            async move { Ok::<_, String>(missing.into_iter().map(|key| (key, 1))) }
        };
        let found = users.get_or_set_many((0..20).map(key), load).await.unwrap();
        assert_eq!((found.len(), found.values().sum::<u32>(), loads.load(SeqCst)), (20, 10, 1));
        assert_eq!(shutdown(PATIENCE).await, 0);
        let calls = calls(&server);
        assert_eq!((calls["mget"], calls.get("get"), calls["evalsha"]), (1, None, 10));
    })
    .await;
    process(&server.url(), async |users| assert_eq!(users.get_many((0..20).map(key)).await.len(), 20)).await;
}

/// Stands before a server and keeps what it answers until so many commands of one name have been sent.
struct Gate {
    port: u16,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

#[derive(Default)]
struct Seen {
    command: &'static str,
    count: usize,
    needed: usize,
    tail: Vec<u8>,
}

impl Gate {
    fn before(server: &RedisServer) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, to) = (listener.local_addr().unwrap().port(), server.port());
        let seen = Arc::<(Mutex<Seen>, Condvar)>::default();
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", to)).unwrap());
                let (to_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let (asked, answered) = (Arc::clone(&shared), Arc::clone(&shared));
                thread::spawn(move || pass(client, to_server, |bytes| note(&asked, bytes)));
                thread::spawn(move || pass(server, to_client, |_| wait(&answered)));
            }
        });
        Gate { port, seen }
    }

    fn close(&self, command: &'static str, needed: usize) {
        *self.seen.0.lock().unwrap() = Seen { command, needed, ..Seen::default() };
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, before: impl Fn(&[u8])) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        before(&bytes[..length]);
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn note((seen, changed): &(Mutex<Seen>, Condvar), bytes: &[u8]) {
    let mut seen = seen.lock().unwrap();
    if seen.command.is_empty() {
        return;
    }
    let command = seen.command.as_bytes();
    let mut all = std::mem::take(&mut seen.tail);
    all.extend_from_slice(bytes);
    seen.count += all.windows(command.len()).filter(|window| *window == command).count();
    seen.tail = all.split_off(all.len().saturating_sub(command.len() - 1));
    changed.notify_all();
}

fn wait((seen, changed): &(Mutex<Seen>, Condvar)) {
    let mut seen = seen.lock().unwrap();
    while seen.count < seen.needed {
        seen = changed.wait(seen).unwrap();
    }
}

#[tokio::test]
async fn a_thousand_values_are_sent_in_one_round_trip() {
    let Some(server) = RedisServer::start("a_thousand_values_are_sent_in_one_round_trip") else { return };
    let gate = Gate::before(&server);
    process(&format!("redis://127.0.0.1:{}", gate.port), async |users| {
        users.set("first", 0).await.unwrap();
        // No answer comes before the last of them is sent.
        gate.close("EVALSHA", KEYS_MAX);
        users.set_many((0..KEYS_MAX).map(|number| (key(number), 1))).await.unwrap();
    })
    .await;
    assert_eq!(gate.seen.0.lock().unwrap().count, KEYS_MAX);
    process(&server.url(), async |users| {
        assert_eq!(users.get_many((0..KEYS_MAX).map(key)).await.len(), KEYS_MAX);
    })
    .await;
}

#[tokio::test]
async fn a_touch_keeps_value_and_tags_and_is_no_write_of_what_is_gone() {
    let Some(server) = RedisServer::start("a_touch_keeps_value_and_tags_and_is_no_write_of_what_is_gone") else {
        return;
    };
    let entry = "stampede:{cache::users:v0:1}";
    process(&server.url(), async |users| {
        users.set_with("1", 1, Entry::new().tags(["team"])).await.unwrap();
        let before: u64 = server.ask(&["PTTL", entry]).parse().unwrap();
        assert!(users.touch("1", 2 * HOUR).await.unwrap());
        let after: u64 = server.ask(&["PTTL", entry]).parse().unwrap();
        assert!(before <= 3_600_000 && after > 3_600_000, "{before} {after}");
        assert!(!users.touch("2", HOUR).await.unwrap());
    })
    .await;
    process(&server.url(), async |users| {
        assert_eq!(users.get("1").await, Some(1));
        users.invalidate_tags(["team"]).await.unwrap();
        assert_eq!(users.get("1").await, None);
    })
    .await;
    assert_eq!(server.ask(&["EXISTS", "stampede:{cache::users:v0:2}"]), "0");
}

#[tokio::test]
async fn what_one_process_changes_leaves_the_memory_of_others() {
    let Some(server) = RedisServer::start("what_one_process_changes_leaves_the_memory_of_others") else { return };
    let config = |url: String| {
        // A connection of its own, and so a process of its own to the server.
        let redis = RedisBackend::builder(url).connect_timeout(PATIENCE).response_timeout(PATIENCE).build().unwrap();
        Config::builder().backend("main", redis).build().unwrap()
    };
    let _isolated = isolate_with(config(server.url()));
    let here: Cache<u32> = Cache::builder("shared").backend("main").build();
    here.set_many([("1", 1), ("2", 2), ("3", 3)]).await.unwrap();
    assert_eq!(here.get_many(["1", "2", "3"]).await.len(), 3);
    let url = server.url();
    let others = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let _isolated = isolate_with(config(url));
            let there: Cache<u32> = Cache::builder("shared").backend("main").build();
            there.set("1", 10).await.unwrap();
            assert!(there.delete("2").await.unwrap());
            there.set_many([("3", 30)]).await.unwrap();
        });
    });
    others.join().unwrap();
    let heard = async {
        while (here.get("1").await, here.get("2").await, here.get("3").await) != (Some(10), None, Some(30)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("they are told");
}
