//! Leases on a real server: every rule of the protocol.

use std::future::Future;
use std::time::Duration;

use stampede_runtime::store::lease::{Acquired, Asked, End, Leases, Token, Waiter, Wish};
use stampede_runtime::store::{Backend, BackendErrorKind, Id, Place, RedisBackend, StoreKey};

#[path = "support/redis_server.rs"]
mod redis_server;

use redis_server::{PATIENCE, RedisServer};

const HOUR: Duration = Duration::from_secs(3600);

fn key(id: &str) -> StoreKey {
    StoreKey::new(&Place::new("redis", "f", 1), Id::Text(id))
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it ends")
}

/// A server, and two processes as far as it can tell.
fn two(test: &str) -> Option<(RedisServer, RedisBackend, RedisBackend)> {
    let server = RedisServer::start(test)?;
    let slow = Duration::from_secs(5);
    let process = || {
        let builder = RedisBackend::builder(server.url());
        builder.connect_timeout(slow).response_timeout(slow).build().expect("the url is right")
    };
    let (one, other) = (process(), process());
    Some((server, one, other))
}

fn asked(owner: &str) -> Asked<'_> {
    Asked { owner, lease: HOUR, value: Wish::Any, joined: None, waiter: None }
}

async fn acquire(at: &RedisBackend, id: &str, asked: Asked<'_>) -> Acquired {
    soon(at.acquire(&key(id), asked)).await.expect("the server answers")
}

#[track_caller]
fn lead(acquired: Acquired) -> Token {
    match acquired {
        Acquired::Lead(token) => token,
        other => panic!("{other:?} instead of the lead"),
    }
}

#[track_caller]
fn entry(acquired: Acquired) -> Vec<u8> {
    match acquired {
        Acquired::Value { entry, .. } => entry,
        other => panic!("{other:?} instead of an entry"),
    }
}

#[track_caller]
fn wait(acquired: Acquired) -> u64 {
    match acquired {
        Acquired::Wait { fence, .. } => fence,
        other => panic!("{other:?} instead of a wait"),
    }
}

async fn end(at: &RedisBackend, id: &str, token: &Token, end: End<'_>) -> bool {
    soon(at.end(&key(id), token, end)).await.expect("the server answers")
}

fn value(entry: &[u8]) -> End<'_> {
    End::Value { entry, ttl: HOUR, told: None }
}

fn told(outcome: &[u8]) -> End<'_> {
    End::Told { outcome, ttl: HOUR, forget: false }
}

async fn stored(at: &RedisBackend, id: &str) -> Option<Vec<u8>> {
    soon(at.get(&key(id))).await.expect("the server answers")
}

/// Whether a waiter is woken, or does not seem to be.
async fn is_woken(waiter: &dyn Waiter) -> bool {
    tokio::time::timeout(Duration::from_millis(100), waiter.woken()).await.is_ok()
}

#[tokio::test]
async fn one_leads_the_others_wait_and_then_read() {
    let Some((_server, one, other)) = two("one_leads_the_others_wait_and_then_read") else { return };
    let token = lead(acquire(&one, "a", asked("one")).await);
    let Acquired::Wait { fence, left, .. } = acquire(&other, "a", asked("other")).await else {
        panic!("it leads, too")
    };
    assert_eq!(fence, token.fence);
    assert!(left <= HOUR && left > HOUR / 2, "{left:?}");
    assert!(end(&one, "a", &token, value(b"\0entry\xFF")).await);
    let read = acquire(&other, "a", Asked { joined: Some(fence), ..asked("other") }).await;
    let Acquired::Value { entry, left } = read else { panic!("{read:?}") };
    assert_eq!(entry, b"\0entry\xFF");
    assert!(left.is_some_and(|left| left <= HOUR && left > HOUR / 2), "{left:?}");
    // The right to make it went with its end.
    assert!(!end(&one, "a", &token, value(b"late")).await);
    assert!(!soon(one.renew(&key("a"), &token, HOUR)).await.unwrap());
}

#[tokio::test]
async fn of_many_that_ask_at_once_one_leads() {
    let Some((_server, one, other)) = two("of_many_that_ask_at_once_one_leads") else { return };
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..500 {
        let at = if number % 2 == 0 { one.clone() } else { other.clone() };
        tasks.spawn(async move { acquire(&at, "a", asked(&number.to_string())).await });
    }
    let all = soon(tasks.join_all()).await;
    assert_eq!(all.iter().filter(|acquired| matches!(acquired, Acquired::Lead(_))).count(), 1);
    assert!(all.iter().all(|acquired| !matches!(acquired, Acquired::Value { .. } | Acquired::Told(_))));
}

#[tokio::test]
async fn a_lease_ends_by_itself_and_its_token_is_of_no_use_then() {
    let Some((_server, one, other)) = two("a_lease_ends_by_itself_and_its_token_is_of_no_use_then") else {
        return;
    };
    let stale = lead(acquire(&one, "a", Asked { lease: Duration::from_millis(1), ..asked("one") }).await);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let token = lead(acquire(&other, "a", asked("other")).await);
    assert!(token.fence > stale.fence);
    assert!(!end(&one, "a", &stale, value(b"old")).await);
    assert!(!soon(one.renew(&key("a"), &stale, HOUR)).await.unwrap());
    assert!(end(&other, "a", &token, value(b"new")).await);
    assert!(!end(&one, "a", &stale, value(b"old")).await);
    assert_eq!(stored(&one, "a").await.as_deref(), Some(&b"new"[..]));
}

#[tokio::test]
async fn a_renewed_lease_lasts() {
    let Some((server, one, _)) = two("a_renewed_lease_lasts") else { return };
    let token = lead(acquire(&one, "a", Asked { lease: Duration::from_secs(60), ..asked("one") }).await);
    assert!(soon(one.renew(&key("a"), &token, HOUR)).await.unwrap());
    let left: u64 = server.ask(&["PTTL", &format!("{}:lease", key("a"))]).parse().unwrap();
    assert!(left > 3_000_000, "{left}");
    let forged = Token { fence: token.fence + 1, ..token.clone() };
    let others = Token { owner: "other".into(), ..token };
    for wrong in [forged, others] {
        assert!(!soon(one.renew(&key("a"), &wrong, HOUR)).await.unwrap());
        assert!(!end(&one, "a", &wrong, value(b"wrong")).await);
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_again() {
    let Some((_server, one, _)) = two("an_answer_that_was_lost_is_given_again") else { return };
    let token = lead(acquire(&one, "a", asked("one")).await);
    assert_eq!(lead(acquire(&one, "a", asked("one")).await), token);
    assert!(end(&one, "a", &token, value(b"entry")).await);
}

#[tokio::test]
async fn a_value_that_will_not_do_is_passed_over() {
    let Some((_server, one, other)) = two("a_value_that_will_not_do_is_passed_over") else { return };
    soon(one.set(&key("a"), b"old entry", HOUR)).await.unwrap();
    let another = |seen| Asked { value: Wish::Other(seen), ..asked("one") };
    assert_eq!(entry(acquire(&one, "a", another(b"new")).await), b"old entry");
    let token = lead(acquire(&one, "a", another(b"old")).await);
    // Those whom any value serves do not wait for it.
    assert_eq!(entry(acquire(&other, "a", asked("other")).await), b"old entry");
    wait(acquire(&other, "a", Asked { value: Wish::Other(b"old"), ..asked("other") }).await);
    assert!(end(&one, "a", &token, value(b"new entry")).await);
    let read = acquire(&other, "a", Asked { value: Wish::Other(b"old"), ..asked("other") }).await;
    assert_eq!(entry(read), b"new entry");
}

#[tokio::test]
async fn the_newest_takes_over() {
    let Some((_server, one, other)) = two("the_newest_takes_over") else { return };
    soon(one.set(&key("a"), b"kept", HOUR)).await.unwrap();
    let first = lead(acquire(&one, "a", Asked { value: Wish::Other(b"kept"), ..asked("one") }).await);
    let newest = || Asked { value: Wish::Newest, ..asked("other") };
    let second = lead(acquire(&other, "a", newest()).await);
    assert!(second.fence > first.fence);
    assert!(!end(&one, "a", &first, value(b"older")).await);
    assert!(!end(&one, "a", &first, End::Nothing { forget: true }).await);
    assert_eq!(stored(&one, "a").await.as_deref(), Some(&b"kept"[..]));
    // The answer that said so may have been lost.
    assert_eq!(lead(acquire(&other, "a", newest()).await), second);
    assert!(end(&other, "a", &second, value(b"newest")).await);
    assert_eq!(stored(&one, "a").await.as_deref(), Some(&b"newest"[..]));
}

#[tokio::test]
async fn who_waits_for_a_lease_that_is_taken_over_is_woken_by_the_newest() {
    let Some((_server, one, other)) = two("who_waits_for_a_lease_that_is_taken_over_is_woken_by_the_newest") else {
        return;
    };
    let first = lead(acquire(&one, "a", asked("one")).await);
    let waiter = other.waiter(&key("a"));
    wait(acquire(&other, "a", Asked { waiter: Some(&*waiter), ..asked("other") }).await);
    let newest = lead(acquire(&one, "a", Asked { value: Wish::Newest, ..asked("three") }).await);
    assert!(!end(&one, "a", &first, told(b"an error")).await);
    assert!(end(&one, "a", &newest, value(b"newest")).await);
    soon(waiter.woken()).await;
}

#[tokio::test]
async fn who_asks_for_the_newest_waits_for_another_who_did() {
    let Some((_server, one, other)) = two("who_asks_for_the_newest_waits_for_another_who_did") else { return };
    let newest = |owner| Asked { value: Wish::Newest, ..asked(owner) };
    for before in [None, Some(vec![b'-'; 100])] {
        if let Some(entry) = &before {
            soon(one.set(&key("a"), entry, HOUR)).await.unwrap();
        }
        let ordinary = lead(acquire(&one, "a", Asked { value: Wish::Other(b"-"), ..asked("call") }).await);
        let token = lead(acquire(&one, "a", newest("one")).await);
        let Acquired::Wait { fence, entry, .. } = acquire(&other, "a", newest("other")).await else { panic!("leads") };
        assert_eq!(fence, token.fence);
        assert_eq!(entry, before.map(|entry| entry[..48].to_vec()).unwrap_or_default(), "what it is not");
        assert!(!end(&one, "a", &ordinary, value(b"older")).await);
        assert!(end(&one, "a", &token, value(b"new")).await);
        // When that has ended, there is nobody to wait for.
        let next = lead(acquire(&other, "a", newest("other")).await);
        assert!(end(&other, "a", &next, End::Nothing { forget: true }).await);
    }
}

#[tokio::test]
async fn who_waited_is_told_a_value_that_is_gone_already() {
    let Some((_server, one, other)) = two("who_waited_is_told_a_value_that_is_gone_already") else { return };
    let token = lead(acquire(&one, "a", asked("one")).await);
    let fence = wait(acquire(&other, "a", asked("other")).await);
    let gone = End::Value { entry: b"entry", ttl: Duration::ZERO, told: Some((b"told", HOUR)) };
    assert!(end(&one, "a", &token, gone).await);
    let read = acquire(&other, "a", Asked { joined: Some(fence), ..asked("other") }).await;
    assert_eq!(read, Acquired::Told(b"told".to_vec()));
    lead(acquire(&other, "a", asked("later")).await);
}

#[tokio::test]
async fn what_is_no_entry_and_no_lease_is_not_in_the_way() {
    let Some((server, one, _)) = two("what_is_no_entry_and_no_lease_is_not_in_the_way") else { return };
    for (number, suffix) in ["", ":lease", ":outcome"].into_iter().enumerate() {
        let id = number.to_string();
        server.ask(&["SADD", &format!("{}{suffix}", key(&id)), "nobody's"]);
        let token = lead(acquire(&one, &id, Asked { joined: Some(1), ..asked("one") }).await);
        assert!(end(&one, &id, &token, value(b"entry")).await);
        assert_eq!(stored(&one, &id).await.unwrap(), b"entry");
    }
}

#[tokio::test]
async fn what_is_no_entry_is_refused_to_who_looks_and_says_nothing_of_the_server() {
    let name = "what_is_no_entry_is_refused_to_who_looks_and_says_nothing_of_the_server";
    let Some((server, one, _)) = two(name) else { return };
    server.ask(&["SADD", key("a").as_str(), "nobody's"]);
    // Looks are two commands at once, whose errors come in another form.
    assert_eq!(soon(one.look(&key("a"))).await.unwrap_err().kind(), BackendErrorKind::Refused);
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let entries = [(key("b"), b"entry".to_vec(), HOUR)];
    assert_eq!(soon(one.set_many(&entries)).await.unwrap_err().kind(), BackendErrorKind::OutOfMemory);
    assert_eq!(soon(one.overwrite_many(&entries)).await.unwrap_err().kind(), BackendErrorKind::OutOfMemory);
}

#[tokio::test]
async fn what_is_told_is_for_those_who_joined() {
    let Some((server, one, other)) = two("what_is_told_is_for_those_who_joined") else { return };
    let joined = |fence| Asked { joined: Some(fence), ..asked("other") };
    let first = lead(acquire(&one, "a", asked("one")).await);
    let fence = wait(acquire(&other, "a", asked("other")).await);
    assert!(end(&one, "a", &first, told(b"an error")).await);
    assert_eq!(acquire(&other, "a", joined(fence)).await, Acquired::Told(b"an error".to_vec()));
    // Who asks anew, or waited for something later, makes it.
    let second = lead(acquire(&other, "a", asked("two")).await);
    assert!(second.fence > first.fence);
    wait(acquire(&one, "a", joined(second.fence)).await);
    assert_eq!(acquire(&one, "a", joined(fence)).await, Acquired::Told(b"an error".to_vec()));
    assert!(end(&other, "a", &second, End::Nothing { forget: false }).await);
    lead(acquire(&one, "a", joined(second.fence)).await);
    // An earlier wait is served by a later end.
    soon(one.remove(&key("a"))).await.unwrap();
    let third = lead(acquire(&one, "a", asked("three")).await);
    assert!(end(&one, "a", &third, told(b"another")).await);
    assert_eq!(acquire(&other, "a", joined(fence)).await, Acquired::Told(b"another".to_vec()));
    let left: u64 = server.ask(&["PTTL", &format!("{}:outcome", key("a"))]).parse().unwrap();
    assert!(left > 3_000_000 && left <= 3_600_000, "{left}");
}

#[tokio::test]
async fn what_is_told_may_forget_the_value() {
    let Some((_server, one, _)) = two("what_is_told_may_forget_the_value") else { return };
    soon(one.set(&key("a"), b"old", HOUR)).await.unwrap();
    let refresh = || Asked { value: Wish::Other(b"old"), ..asked("one") };
    let token = lead(acquire(&one, "a", refresh()).await);
    assert!(end(&one, "a", &token, told(b"not now")).await);
    assert_eq!(stored(&one, "a").await.as_deref(), Some(&b"old"[..]));
    let token = lead(acquire(&one, "a", refresh()).await);
    assert!(end(&one, "a", &token, End::Told { outcome: b"gone", ttl: HOUR, forget: true }).await);
    assert_eq!(stored(&one, "a").await, None);
}

#[tokio::test]
async fn an_end_of_no_time_keeps_nothing() {
    let Some((server, one, _)) = two("an_end_of_no_time_keeps_nothing") else { return };
    soon(one.set(&key("a"), b"old", HOUR)).await.unwrap();
    for end in [
        End::Value { entry: b"new", ttl: Duration::ZERO, told: None },
        End::Told { outcome: b"outcome", ttl: Duration::ZERO, forget: true },
    ] {
        let token = lead(acquire(&one, "a", Asked { value: Wish::Newest, ..asked("one") }).await);
        assert!(self::end(&one, "a", &token, end).await);
        assert_eq!(server.ask(&["DBSIZE"]), "0");
    }
}

#[tokio::test]
async fn a_full_server_takes_the_right_back_though_not_the_value() {
    let Some((server, one, other)) = two("a_full_server_takes_the_right_back_though_not_the_value") else { return };
    for end in [value(b"entry"), told(b"outcome")] {
        let token = lead(acquire(&one, "a", asked("one")).await);
        let waiter = other.waiter(&key("a"));
        wait(acquire(&other, "a", Asked { waiter: Some(&*waiter), ..asked("other") }).await);
        server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
        let error = soon(one.end(&key("a"), &token, end)).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::OutOfMemory);
        soon(waiter.woken()).await;
        assert_eq!(server.ask(&["DBSIZE"]), "0");
        server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    }
}

#[tokio::test]
async fn an_invalidation_voids_what_is_being_made() {
    let Some((_server, one, other)) = two("an_invalidation_voids_what_is_being_made") else { return };
    let token = lead(acquire(&one, "a", asked("one")).await);
    assert!(!soon(other.remove(&key("a"))).await.unwrap());
    assert!(!end(&one, "a", &token, value(b"older than the invalidation")).await);
    assert!(!soon(one.renew(&key("a"), &token, HOUR)).await.unwrap());
    assert_eq!(stored(&one, "a").await, None);
    let token = lead(acquire(&one, "a", asked("one")).await);
    assert!(end(&one, "a", &token, value(b"newer")).await);
    assert!(soon(other.remove(&key("a"))).await.unwrap());
}

#[tokio::test]
async fn an_overwrite_takes_the_right_away() {
    let Some((_server, one, other)) = two("an_overwrite_takes_the_right_away") else { return };
    let token = lead(acquire(&one, "a", asked("one")).await);
    soon(other.overwrite(&key("a"), b"put", HOUR)).await.unwrap();
    assert!(!end(&one, "a", &token, value(b"made")).await);
    assert_eq!(stored(&one, "a").await.as_deref(), Some(&b"put"[..]));
    soon(other.overwrite(&key("a"), b"put", Duration::ZERO)).await.unwrap();
    assert_eq!(stored(&one, "a").await, None);
}

#[tokio::test]
async fn waiters_are_woken_by_whatever_ends_a_lease() {
    let Some((_server, one, other)) = two("waiters_are_woken_by_whatever_ends_a_lease") else { return };
    soon(other.ping()).await.unwrap();
    let bystander = other.waiter(&key("a"));
    assert!(bystander.is_heard());
    for way in ["value", "told", "nothing", "remove", "overwrite"] {
        let token = lead(acquire(&one, way, asked("one")).await);
        let waiters: Vec<_> = (0..3).map(|_| other.waiter(&key(way))).collect();
        for waiter in &waiters {
            wait(acquire(&other, way, Asked { waiter: Some(&**waiter), ..asked("other") }).await);
        }
        assert!(!is_woken(&*waiters[0]).await, "{way}");
        match way {
            "value" => assert!(end(&one, way, &token, value(b"entry")).await),
            "told" => assert!(end(&one, way, &token, told(b"outcome")).await),
            "nothing" => assert!(end(&one, way, &token, End::Nothing { forget: false }).await),
            "remove" => assert!(!soon(one.remove(&key(way))).await.unwrap()),
            _ => soon(one.overwrite(&key(way), b"entry", HOUR)).await.unwrap(),
        }
        for waiter in &waiters {
            soon(waiter.woken()).await;
        }
    }
    assert!(!is_woken(&*bystander).await);
}

#[tokio::test]
async fn a_message_that_comes_before_it_is_listened_to_is_not_lost() {
    let Some((_server, one, other)) = two("a_message_that_comes_before_it_is_listened_to_is_not_lost") else { return };
    soon(other.ping()).await.unwrap();
    let waiter = other.waiter(&key("a"));
    let token = lead(acquire(&one, "a", asked("one")).await);
    wait(acquire(&other, "a", Asked { waiter: Some(&*waiter), ..asked("other") }).await);
    assert!(end(&one, "a", &token, value(b"entry")).await);
    // By when the connection has answered this, the message has come.
    for _ in 0..3 {
        soon(other.ping()).await.unwrap();
    }
    assert!(is_woken(&*waiter).await);
    assert!(!is_woken(&*waiter).await, "once");
}

#[tokio::test]
async fn with_the_older_protocol_nobody_is_heard_and_all_else_works() {
    let Some((server, one, _)) = two("with_the_older_protocol_nobody_is_heard_and_all_else_works") else { return };
    let older = RedisBackend::new(format!("{}?protocol=resp2", server.url())).unwrap();
    soon(older.ping()).await.unwrap();
    let waiter = older.waiter(&key("a"));
    assert!(!waiter.is_heard());
    let token = lead(acquire(&one, "a", asked("one")).await);
    let fence = wait(acquire(&older, "a", Asked { waiter: Some(&*waiter), ..asked("other") }).await);
    assert_eq!(server.ask(&["HKEYS", &format!("{}:lease", key("a"))]), "o\nf\nt");
    assert!(end(&one, "a", &token, told(b"outcome")).await);
    let read = acquire(&older, "a", Asked { joined: Some(fence), ..asked("other") }).await;
    assert_eq!(read, Acquired::Told(b"outcome".to_vec()));
    assert!(!is_woken(&*waiter).await);
}

#[tokio::test]
async fn fences_grow_though_the_server_forgets_everything() {
    let Some((server, one, _)) = two("fences_grow_though_the_server_forgets_everything") else { return };
    let mut last = 0;
    for _ in 0..20 {
        let token = lead(acquire(&one, "a", asked("one")).await);
        assert!(token.fence > last && token.fence < 1 << 53);
        last = token.fence;
        server.ask(&["FLUSHALL"]);
        assert!(!end(&one, "a", &token, value(b"entry")).await);
    }
}

#[tokio::test]
async fn fences_grow_though_the_clock_was_ahead() {
    let Some((server, one, _)) = two("fences_grow_though_the_clock_was_ahead") else { return };
    let ahead: u64 = 1 << 52;
    server.ask(&["HSET", &format!("{}:outcome", key("a")), "f", &ahead.to_string(), "b", "old"]);
    let token = lead(acquire(&one, "a", asked("one")).await);
    assert_eq!(token.fence, ahead + 1);
    let token = lead(acquire(&one, "a", Asked { value: Wish::Newest, ..asked("one") }).await);
    assert_eq!(token.fence, ahead + 2);
    wait(acquire(&one, "a", Asked { joined: Some(token.fence), ..asked("other") }).await);
}

#[tokio::test]
async fn a_clock_that_is_set_back_prolongs_no_lease() {
    let Some((server, one, other)) = two("a_clock_that_is_set_back_prolongs_no_lease") else { return };
    let lease = Duration::from_secs(60);
    let token = lead(acquire(&one, "a", Asked { lease, ..asked("one") }).await);
    // As the server sees it when its clock was set back by an hour.
    server.ask(&["PEXPIRE", &format!("{}:lease", key("a")), "3660000"]);
    let Acquired::Wait { left, .. } = acquire(&other, "a", asked("other")).await else { panic!("one leads") };
    assert!(left <= lease, "{left:?}");
    let left: u64 = server.ask(&["PTTL", &format!("{}:lease", key("a"))]).parse().unwrap();
    assert!(left <= 60_000, "{left}");
    assert!(end(&one, "a", &token, value(b"entry")).await, "whoever has it still does");
}
