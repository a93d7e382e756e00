//! Tags lead to what is kept and to what is in the air, and nothing that is older than an invalidation is kept.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use stampede_runtime::testing::isolate;
use stampede_runtime::{
    Error, cached, expire_tags, invalidate_all, invalidate_namespace, invalidate_pattern, invalidate_tags, invalidates,
};

use super::gate::Gate;

#[derive(Clone, Debug, PartialEq)]
struct User {
    id: u32,
    team: u32,
}

#[cached(ttl = "1h", tags("user:{id}", "users", |user| [format!("team:{}", user.team)]))]
async fn load(id: u32) -> User {
    User { id, team: id % 2 }
}

#[tokio::test]
async fn tags_of_arguments_and_of_the_value_lead_to_it() {
    let _isolated = isolate();
    for id in 0..10 {
        load(id).await;
    }
    assert_eq!(invalidate_tags(["user:3", "user:99"]).removed(), 1);
    assert_eq!((load::peek(3), load::peek(4).is_some()), (None, true));
    assert_eq!(invalidate_tags(["team:1"]).removed(), 4);
    assert_eq!((load::peek(5), load::peek(4).is_some()), (None, true));
    assert_eq!(invalidate_tags(["users".to_owned()]).removed(), 5);
    assert_eq!(load::stats().cache_size, 0);
    load::insert(3, User { id: 3, team: 7 });
    assert_eq!(invalidate_tags(["team:7"]).removed(), 1);
    assert_eq!(load::stats().executions, 10);
}

static GATE: LazyLock<Gate> = LazyLock::new(Gate::new);

#[cached(ttl = "1h", tags("slow:{id}", |_| ["value"]))]
async fn slow(id: u32) -> u32 {
    GATE.pass().await;
    id
}

#[tokio::test]
async fn what_began_before_is_given_to_those_who_wait_and_not_kept() {
    let _isolated = isolate();
    // The tag of a value is not known before there is one, so that flight is joined.
    for (tag, executions) in [("slow:1", 2), ("value", 1)] {
        GATE.close();
        let begun = slow::stats().executions;
        let before = tokio::spawn(slow(1));
        GATE.reached().await;
        invalidate_tags([tag]);
        let after = tokio::spawn(slow(1));
        if executions == 2 {
            GATE.reached().await;
        } else {
            tokio::task::yield_now().await;
        }
        GATE.open();
        assert_eq!((before.await.unwrap(), after.await.unwrap()), (1, 1));
        assert_eq!(slow::stats().executions - begun, executions, "{tag}");
        assert_eq!(slow::peek(1).is_some(), executions == 2, "{tag}: what began after it is kept");
        slow::clear();
    }
}

static CALLS: AtomicU32 = AtomicU32::new(0);

#[cached(ttl = "1h", stale_if_error = "1h", stale = "1m", tags("fallible"))]
async fn fallible(id: u32) -> Result<u32, Error> {
    match CALLS.fetch_add(1, SeqCst) {
        0 => Ok(id),
        _ => Err(Error::Abandoned { function: "test".into() }),
    }
}

#[tokio::test]
async fn expired_values_stand_in_for_errors_and_for_nothing_else() {
    let _isolated = isolate();
    assert_eq!(fallible(1).await.unwrap(), 1);
    assert_eq!(expire_tags(["fallible"]).removed(), 1);
    assert_eq!(fallible::peek(1).map(Result::ok), None, "`stale` serves no expired one");
    assert_eq!(fallible(1).await.unwrap(), 1, "the body failed");
    assert_eq!(CALLS.load(SeqCst), 2);
    assert_eq!(invalidate_tags(["fallible"]).removed(), 1);
    assert!(fallible(1).await.is_err());
}

#[cached(ttl = "1h", namespace = "shop::users", key = "user:{id}:{part}")]
async fn part(id: u32, part: &str) -> String {
    format!("{part} {id}")
}

#[cached(ttl = "1h", namespace = "shop")]
fn shop(id: u32) -> u32 {
    id
}

#[tokio::test]
async fn patterns_match_readable_keys_and_namespaces_hold_those_below() {
    let _isolated = isolate();
    for id in 0..3 {
        part(id, "name").await;
        part(id, "a:b").await;
        shop(id);
    }
    assert_eq!(invalidate_pattern("user:1:*").removed(), 2);
    assert_eq!(part::invalidate_pattern("user:?:name").removed(), 2);
    assert_eq!(invalidate_pattern("*").removed(), 2, "a key that is not readable matches nothing");
    part(7, "name").await;
    assert_eq!(part::invalidate_where(|part| part == "name 8"), 0);
    assert_eq!(part::invalidate_where(|part| part == "name 7"), 1);
    part(7, "name").await;
    assert_eq!(invalidate_namespace("sho").removed(), 0);
    assert_eq!(invalidate_namespace("shop::users").removed(), 1);
    part(7, "name").await;
    assert_eq!(invalidate_namespace("shop").removed(), 4);
    part(7, "name").await;
    assert_eq!(invalidate_all().removed(), 1);
}

#[derive(Debug)]
struct Failed;

#[invalidates(tags("user:{id}"), keys(part(id, "name"), shop))]
async fn save(id: u32, fail: bool) -> Result<(), Failed> {
    tokio::task::yield_now().await;
    assert!(load::peek(id).is_some(), "not before it is written");
    if fail { Err(Failed) } else { Ok(()) }
}

#[invalidates(patterns("user:{id}:*"))]
fn save_now(id: u32) -> Option<u32> {
    (id > 100).then_some(id)
}

#[tokio::test]
async fn a_function_that_writes_invalidates_after_ok_and_when_nobody_knows() {
    let _isolated = isolate();
    let fill = async || {
        load(1).await;
        part(1, "name").await;
        part(1, "age").await;
        shop(5);
    };
    let kept = || {
        [
            load::peek(1).is_some(),
            part::peek(1, "name").is_some(),
            part::peek(1, "age").is_some(),
            shop::peek(5).is_some(),
        ]
    };
    fill().await;
    save(1, true).await.unwrap_err();
    assert_eq!(kept(), [true; 4]);
    save(1, false).await.unwrap();
    assert_eq!(kept(), [false, false, true, false]);
    assert_eq!(save_now(1), None);
    assert_eq!(kept(), [false; 4]);

    fill().await;
    let mut cancelled = Box::pin(save(1, false));
    assert!(futures_poll(&mut cancelled).is_pending());
    assert_eq!(kept(), [true; 4]);
    drop(cancelled);
    assert_eq!(kept(), [false, false, true, false]);
}

fn futures_poll<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[cached(ttl = "1h", tags(|count| (0..*count).map(|tag| format!("{tag}")).collect::<Vec<_>>()))]
async fn many(count: u32) -> u32 {
    count
}

#[tokio::test]
async fn what_has_too_many_tags_is_not_kept() {
    let _isolated = isolate();
    assert_eq!((many(1_000).await, many(1_001).await), (1_000, 1_001));
    assert_eq!((many::peek(1_000), many::peek(1_001)), (Some(1_000), None));
}
