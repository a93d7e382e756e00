//! Redis as a backend, on a real server: what every backend promises, its errors, its rights, its secrets.

use std::error::Error as StdError;
use std::future::Future;
use std::time::Duration;

use stampede_runtime::store::lease::{Acquired, Asked, End, Leases, Wish};
use stampede_runtime::store::tokens::Tokens;
use stampede_runtime::store::{
    Backend, BackendError, BackendErrorKind, Id, Place, RedisBackend, StoreKey, conformance,
};

#[path = "support/redis_server.rs"]
mod redis_server;

use redis_server::{PATIENCE, RedisServer};

const HOUR: Duration = Duration::from_secs(3600);

fn key(id: &str) -> StoreKey {
    StoreKey::new(&Place::new("redis", "f", 1), Id::Text(id))
}

fn backend(url: &str) -> RedisBackend {
    // A machine that builds something else meanwhile is slow.
    let slow = Duration::from_secs(5);
    RedisBackend::builder(url).connect_timeout(slow).response_timeout(slow).build().expect("the url is right")
}

/// Fails where something would never end.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it ends")
}

fn asked(owner: &str) -> Asked<'_> {
    Asked { owner, lease: HOUR, value: Wish::Any, joined: None, waiter: None }
}

#[tokio::test]
async fn keeps_what_every_backend_promises() {
    let Some(server) = RedisServer::start("keeps_what_every_backend_promises") else { return };
    conformance::check(async || backend(&server.url())).await;
    assert_eq!(server.ask(&["DBSIZE"]), "0", "the checks leave nothing");
}

#[tokio::test]
async fn keeps_it_with_the_older_protocol_and_another_database_too() {
    let Some(server) = RedisServer::start("keeps_it_with_the_older_protocol_and_another_database_too") else { return };
    conformance::check(async || backend(&format!("{}/3?protocol=resp2", server.url()))).await;
}

#[tokio::test]
async fn a_server_that_knows_only_the_older_protocol_is_spoken_to_in_that() {
    let arguments = |_: &std::path::Path| ["--rename-command", "HELLO", ""].map(str::to_owned).to_vec();
    let Some(server) =
        RedisServer::start_with("a_server_that_knows_only_the_older_protocol_is_spoken_to_in_that", arguments)
    else {
        return;
    };
    let backend = backend(&server.url());
    soon(backend.set(&key("a"), b"entry", HOUR)).await.unwrap();
    assert_eq!(soon(backend.get(&key("a"))).await.unwrap().as_deref(), Some(&b"entry"[..]));
    assert!(!backend.leases().unwrap().waiter(&key("a")).is_heard());
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_given_to_it_again() {
    let Some(server) = RedisServer::start("scripts_that_the_server_forgot_are_given_to_it_again") else { return };
    let backend = backend(&server.url());
    for _ in 0..3 {
        soon(backend.set(&key("a"), b"entry", HOUR)).await.unwrap();
        assert!(soon(backend.remove(&key("a"))).await.unwrap());
        soon(backend.acquire(&key("a"), asked("me"))).await.unwrap();
        soon(backend.overwrite_many(&[(key("a"), b"entry".to_vec(), HOUR)])).await.unwrap();
        assert!(soon(backend.replace(&key("a"), b"entry", b"another", HOUR)).await.unwrap());
        server.ask(&["SCRIPT", "FLUSH"]);
    }
}

#[tokio::test]
async fn clear_takes_what_stands_beside_entries_and_does_not_count_it() {
    let Some(server) = RedisServer::start("clear_takes_what_stands_beside_entries_and_does_not_count_it") else {
        return;
    };
    let backend = backend(&server.url());
    let place = Place::new("redis", "f", 1);
    soon(backend.set(&key("a"), b"entry", HOUR)).await.unwrap();
    soon(backend.acquire(&key("b"), asked("me"))).await.unwrap();
    server.ask(&["HSET", &format!("{}:outcome", key("c")), "f", "1"]);
    let waiter = backend.waiter(&key("b"));
    soon(backend.acquire(&key("b"), Asked { waiter: Some(&*waiter), ..asked("you") })).await.unwrap();
    assert_eq!(soon(backend.clear(&place.prefix())).await.unwrap(), 1);
    soon(waiter.woken()).await;
    assert_eq!(server.ask(&["DBSIZE"]), "0");
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let arguments =
        |folder: &std::path::Path| vec!["--unixsocket".to_owned(), folder.join("socket").display().to_string()];
    let Some(server) = RedisServer::start_with("a_unix_socket_will_do", arguments) else { return };
    let backend = backend(&format!("unix://{}?db=2", server.folder().join("socket").display()));
    soon(backend.set(&key("a"), b"entry", HOUR)).await.unwrap();
    assert_eq!(soon(backend.get(&key("a"))).await.unwrap().as_deref(), Some(&b"entry"[..]));
}

/// An error with all that it says, to people and to programmers.
fn everything(error: &BackendError) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let causes: Vec<_> = causes.map(|cause| format!("{cause} {cause:?}")).collect();
    format!("{error} {error:?} {}", causes.join(" "))
}

fn failed<T: std::fmt::Debug>(result: Result<T, BackendError>) -> BackendErrorKind {
    let error = result.expect_err("it has to fail");
    let text = everything(&error);
    for secret in ["hunter2", "mail@example.com", "127.0.0.1", "stampede:", "ann"] {
        assert!(!text.contains(secret), "{text} shows {secret}");
    }
    error.kind()
}

#[tokio::test]
async fn each_refusal_has_its_kind_and_names_no_key() {
    let Some(server) = RedisServer::start("each_refusal_has_its_kind_and_names_no_key") else { return };
    let backend = backend(&server.url());
    let key = key("mail@example.com");
    let entry = vec![0; 10_000];

    server.ask(&["LPUSH", key.as_str(), "x"]);
    assert_eq!(failed(soon(backend.get(&key)).await), BackendErrorKind::Refused);
    assert!(soon(backend.remove(&key)).await.unwrap());

    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(failed(soon(backend.set(&key, &entry, HOUR)).await), BackendErrorKind::OutOfMemory);
    assert_eq!(failed(soon(backend.acquire(&key, asked("me"))).await), BackendErrorKind::OutOfMemory);
    assert_eq!(failed(soon(backend.overwrite(&key, &entry, HOUR)).await), BackendErrorKind::OutOfMemory);
    assert_eq!(soon(backend.get(&key)).await.unwrap(), None);
    assert!(!soon(backend.remove(&key)).await.unwrap());
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);

    server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(failed(soon(backend.set(&key, &entry, HOUR)).await), BackendErrorKind::ReadOnly);
    assert_eq!(failed(soon(backend.remove(&key)).await), BackendErrorKind::ReadOnly);
    assert_eq!(failed(soon(backend.overwrite(&key, &entry, HOUR)).await), BackendErrorKind::ReadOnly);
    server.ask(&["REPLICAOF", "NO", "ONE"]);

    soon(backend.set(&key, &entry, HOUR)).await.unwrap();
}

/// Everything that is ever asked of a server. What is refused shows in its log.
async fn ask_everything(backend: &RedisBackend) {
    let key = key("a");
    let _ = soon(backend.ping()).await;
    let _ = soon(backend.set(&key, b"entry", HOUR)).await;
    let _ = soon(backend.get(&key)).await;
    let _ = soon(backend.set(&key, b"", Duration::ZERO)).await;
    let _ = soon(backend.remove(&key)).await;
    let mut tokens = Vec::new();
    for (owner, wanted) in [("one", Wish::Any), ("two", Wish::Newest), ("three", Wish::Newest)] {
        let acquired = soon(backend.acquire(&key, Asked { value: wanted, ..asked(owner) })).await;
        let Ok(Acquired::Lead(token)) = acquired else { continue };
        tokens.push(token);
    }
    let waiter = backend.waiter(&key);
    let waits = Asked { waiter: Some(&*waiter), joined: Some(1), ..asked("you") };
    let _ = soon(backend.acquire(&key, waits)).await;
    let value = End::Value { entry: b"entry", ttl: HOUR, told: None };
    let told = End::Told { outcome: b"outcome", ttl: HOUR, forget: true };
    for (token, end) in tokens.iter().zip([value, told]) {
        let _ = soon(backend.renew(&key, token, HOUR)).await;
        let _ = soon(backend.end(&key, token, end)).await;
    }
    let _ = soon(backend.overwrite(&key, b"entry", HOUR)).await;
    let many = [(key.clone(), b"entry".to_vec(), HOUR)];
    let _ = soon(backend.set_many(&many)).await;
    let _ = soon(backend.overwrite_many(&many)).await;
    let _ = soon(backend.get_many(std::slice::from_ref(&key))).await;
    let _ = soon(backend.replace(&key, b"entry", b"another", HOUR)).await;
    let tags = [self::key("tag")];
    let _ = soon(backend.read(&tags)).await;
    let _ = soon(backend.agree(&tags, HOUR)).await;
    let _ = soon(backend.change(&tags[0], "tag", false)).await;
    let _ = soon(backend.clear(&Place::new("redis", "f", 1).prefix())).await;
}

#[tokio::test]
async fn a_user_needs_these_rights_and_no_others() {
    let Some(server) = RedisServer::start("a_user_needs_these_rights_and_no_others") else { return };
    let docs = include_str!("../../docs/backends.md");
    let (_, rights) = docs.split_once("ACL SETUSER stampede on >PASSWORD ").expect("the page has them");
    let (rights, _) = rights.split_once("```").expect("they end");
    let rights: Vec<_> = rights.split_whitespace().filter(|word| *word != "\\").collect();
    let set = |more: &[&str]| {
        let user = ["ACL", "SETUSER", "ann", "reset", "on", ">hunter2"];
        server.ask(&[&user[..], &rights, more].concat());
        server.ask(&["SCRIPT", "FLUSH"]);
        server.ask(&["ACL", "LOG", "RESET"]);
        backend(&format!("{}/1", server.url_of("ann", "hunter2")))
    };
    let all = set(&[]);
    ask_everything(&all).await;
    assert!(all.waiter(&key("a")).is_heard());
    assert_eq!(server.ask(&["ACL", "LOG"]), "", "nothing was denied");
    conformance::check(async || all.clone()).await;
    for right in &rights {
        let without = match right.split_at(1) {
            ("+", command) => format!("-{command}"),
            ("~", _) => "resetkeys".to_owned(),
            ("&", _) => "resetchannels".to_owned(),
            _ => continue,
        };
        ask_everything(&set(&[&without])).await;
        assert_ne!(server.ask(&["ACL", "LOG"]), "", "nobody needs {right}");
    }
    // Without messages all else works.
    for right in ["resetchannels", "-subscribe", "-publish"] {
        let deaf = set(&[right]);
        let key = key("a");
        soon(deaf.ping()).await.unwrap();
        assert_eq!(deaf.waiter(&key).is_heard(), right == "-publish");
        let Acquired::Lead(token) = soon(deaf.acquire(&key, asked("me"))).await.unwrap() else { panic!("first") };
        let waiter = deaf.waiter(&key);
        soon(deaf.acquire(&key, Asked { waiter: Some(&*waiter), ..asked("you") })).await.unwrap();
        let end = End::Value { entry: b"entry", ttl: HOUR, told: None };
        assert!(soon(deaf.end(&key, &token, end)).await.unwrap());
        assert!(soon(deaf.remove(&key)).await.unwrap());
        soon(deaf.change(&key, "tag", false)).await.unwrap();
        soon(deaf.clear(&Place::new("redis", "f", 1).prefix())).await.unwrap();
    }
}

#[tokio::test]
async fn missing_rights_and_wrong_passwords_are_refusals() {
    let Some(server) = RedisServer::start("missing_rights_and_wrong_passwords_are_refusals") else { return };
    server.ask(&["ACL", "SETUSER", "ann", "on", ">hunter2", "+@all", "~stampede:*", "&*"]);
    let key = key("mail@example.com");
    for wrong in [server.url_of("ann", "hunter22"), server.url_of("anna", "hunter2")] {
        for url in [wrong.clone(), format!("{wrong}?protocol=resp2")] {
            let backend = backend(&url);
            assert_eq!(failed(soon(backend.get(&key)).await), BackendErrorKind::Refused);
            assert_eq!(failed(soon(backend.acquire(&key, asked("me"))).await), BackendErrorKind::Refused);
            let shown = format!("{backend:?}");
            assert!(!shown.contains("ann") && !shown.contains("hunter") && !shown.contains("127"), "{shown}");
        }
    }
    server.ask(&["ACL", "SETUSER", "ann", "-get", "-hset"]);
    let backend = backend(&server.url_of("ann", "hunter2"));
    assert_eq!(failed(soon(backend.get(&key)).await), BackendErrorKind::Refused);
    assert_eq!(failed(soon(backend.acquire(&key, asked("me"))).await), BackendErrorKind::Refused);
    server.ask(&["ACL", "SETUSER", "ann", "+@all", "resetkeys", "~other:*"]);
    assert_eq!(failed(soon(backend.get(&key)).await), BackendErrorKind::Refused);
    assert_eq!(failed(soon(backend.acquire(&key, asked("me"))).await), BackendErrorKind::Refused);
    server.ask(&["CONFIG", "SET", "requirepass", "hunter2"]);
    let nobody = self::backend(&server.url());
    assert_eq!(failed(soon(nobody.get(&key)).await), BackendErrorKind::Refused);
}

#[tokio::test]
async fn a_password_of_the_builder_wins_over_the_urls() {
    let Some(server) = RedisServer::start("a_password_of_the_builder_wins_over_the_urls") else { return };
    server.ask(&["ACL", "SETUSER", "ann", "on", ">p@ss/w#rd", "+@all", "~*", "&*"]);
    let builder = RedisBackend::builder(server.url_of("bob", "wrong")).username("ann").password("p@ss/w#rd");
    let backend = builder.connect_timeout(PATIENCE).response_timeout(PATIENCE).build().unwrap();
    soon(backend.ping()).await.unwrap();
}

#[test]
fn one_backend_serves_one_runtime_after_the_other() {
    let Some(server) = RedisServer::start("one_backend_serves_one_runtime_after_the_other") else { return };
    let backend = backend(&server.url());
    for round in 0..3_u8 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            if round > 0 {
                assert_eq!(soon(backend.get(&key("a"))).await.unwrap(), Some(vec![round - 1]));
            }
            soon(backend.set(&key("a"), &[round], HOUR)).await.unwrap();
            // Cut off in the middle.
            let key = key("a");
            let mut cut = backend.get(&key);
            let _ = tokio::time::timeout(Duration::ZERO, &mut cut).await;
            std::mem::forget(tokio::spawn(async { std::future::pending::<()>().await }));
        });
    }
    assert!(server.ask(&["CLIENT", "LIST", "TYPE", "pubsub"]).lines().filter(|line| !line.is_empty()).count() <= 1);
}

#[tokio::test]
async fn the_last_one_dropped_ends_the_connection() {
    let Some(server) = RedisServer::start("the_last_one_dropped_ends_the_connection") else { return };
    let subscribed = || server.ask(&["PUBSUB", "CHANNELS"]).lines().filter(|line| !line.is_empty()).count();
    let backend = backend(&server.url());
    soon(backend.ping()).await.unwrap();
    let clone = backend.clone();
    let waiter = backend.waiter(&key("a"));
    drop(backend);
    soon(clone.ping()).await.unwrap();
    // The process's own, and that of all.
    assert_eq!(subscribed(), 2);
    drop(clone);
    soon(async {
        while subscribed() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    soon(waiter.woken()).await;
    assert!(!waiter.is_heard());
}

#[tokio::test]
async fn a_client_of_the_crate_will_do() {
    let Some(server) = RedisServer::start("a_client_of_the_crate_will_do") else { return };
    for (protocol, is_heard) in [("resp2", false), ("resp3", true)] {
        let client = redis::Client::open(format!("{}?protocol={protocol}", server.url())).unwrap();
        let backend = RedisBackend::from_client(client);
        soon(backend.set(&key("a"), b"entry", HOUR)).await.unwrap();
        assert_eq!(backend.waiter(&key("a")).is_heard(), is_heard);
    }
}
