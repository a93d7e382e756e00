//! `Cache`: what is set is there, until something takes it out.

use std::time::Duration;

use stampede_runtime::ttl::{FIVE_MINUTES, HOUR};
use stampede_runtime::{Cache, Entry, Settings, all_stats, invalidate_tags};
use tokio::time::advance;

use super::help::{Token, add_up, alone, freed, in_a_process_of_its_own, is_last};

const SECOND: Duration = Duration::from_secs(1);

fn users() -> Cache<u32> {
    Cache::builder("users").ttl(HOUR).build()
}

#[tokio::test(start_paused = true)]
async fn what_is_set_is_there_and_what_is_deleted_is_not() {
    alone(async {
        let users = users();
        assert_eq!(users.get("1").await, None);
        users.set("1", 10).await.unwrap();
        users.set("2", 20).await.unwrap();
        assert_eq!((users.get("1").await, users.get("2").await), (Some(10), Some(20)));
        assert!(users.exists("1").await);
        users.set("1", 11).await.unwrap();
        assert_eq!(users.get("1").await, Some(11));

        assert!(users.delete("1").await.unwrap());
        assert!(!users.delete("1").await.unwrap());
        assert!(!users.exists("1").await);
        assert_eq!(users.get("2").await, Some(20));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn memory_changes_although_nobody_awaits() {
    alone(async {
        let users = users();
        let _ = users.set("1", 10);
        assert_eq!(users.get("1").await, Some(10));
        let _ = users.delete("1");
        assert_eq!(users.get("1").await, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_none_that_is_kept_is_no_miss() {
    alone(async {
        let users: Cache<Option<u32>> = Cache::builder("users").ttl(HOUR).build();
        assert_eq!(users.get("1").await, None);
        users.set("1", None).await.unwrap();
        assert_eq!(users.get("1").await, Some(None));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn values_live_as_long_as_is_said() {
    alone(async {
        let unsaid: Cache<u32> = Cache::builder("unsaid").build();
        let users: Cache<u32> =
            Cache::builder("users").ttl(HOUR).ttl_by(|value: &u32| Duration::from_secs((*value).into())).build();
        unsaid.set("1", 1).await.unwrap();
        users.set("1", 100).await.unwrap();
        users.set_with("2", 100, Entry::new().ttl(50 * SECOND)).await.unwrap();
        advance(50 * SECOND).await;
        assert_eq!((users.get("1").await, users.get("2").await), (Some(100), None));
        advance(50 * SECOND).await;
        assert_eq!((users.get("1").await, unsaid.get("1").await), (None, Some(1)));
        advance(FIVE_MINUTES.saturating_sub(100 * SECOND)).await;
        assert_eq!(unsaid.get("1").await, None);

        // What is not to be kept takes out what was.
        users.set("1", 100).await.unwrap();
        users.set_with("1", 101, Entry::new().ttl(Duration::ZERO)).await.unwrap();
        assert_eq!(users.get("1").await, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn only_what_passes_is_kept() {
    alone(async {
        let even: Cache<u32> = Cache::builder("even").cache_if(|value| value % 2 == 0).build();
        even.set("1", 2).await.unwrap();
        even.set("1", 3).await.unwrap();
        assert_eq!(even.get("1").await, None);
        even.set_with("1", 5, Entry::new().ttl(HOUR)).await.unwrap();
        assert_eq!(even.get("1").await, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn touch_gives_what_is_kept_another_life() {
    alone(async {
        let users = users();
        assert!(!users.touch("1", HOUR).await.unwrap());
        users.set("1", 10).await.unwrap();
        advance(HOUR.saturating_sub(SECOND)).await;
        assert!(users.touch("1", HOUR).await.unwrap());
        advance(HOUR.saturating_sub(SECOND)).await;
        assert_eq!(users.get("1").await, Some(10));
        assert!(users.touch("1", 10 * SECOND).await.unwrap());
        advance(10 * SECOND).await;
        assert_eq!(users.get("1").await, None);
        assert!(!users.touch("1", HOUR).await.unwrap(), "what is over stays so");
        users.set("1", 11).await.unwrap();
        assert!(users.touch("1", Duration::ZERO).await.unwrap());
        assert_eq!(users.get("1").await, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_expires_stays_for_errors() {
    alone(async {
        let users: Cache<u32> = Cache::builder("users").ttl(HOUR).stale_if_error(HOUR).build();
        users.set("1", 10).await.unwrap();
        assert_eq!(users.expire("1").removed(), 1);
        assert_eq!(users.get("1").await, None);
        assert!(!users.touch("1", HOUR).await.unwrap());
        assert_eq!(users.get_or_set("1", || async { Err("down") }).await, Ok(10));
        assert!(!users.delete("1").await.unwrap(), "a look-up would not have found it");
        assert_eq!(users.get_or_set("1", || async { Err("down") }).await, Err("down"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stale_values_are_served_and_not_renewed_by_get() {
    alone(async {
        let users: Cache<u32> = Cache::builder("users").ttl(HOUR).stale(HOUR).build();
        users.set("1", 10).await.unwrap();
        advance(HOUR).await;
        assert_eq!((users.get("1").await, users.get("1").await), (Some(10), Some(10)));
        assert_eq!(users.stats().stale_hits, 2);
        let renewed = users.get_or_set("1", || async { Ok::<_, ()>(11) }).await;
        assert_eq!(renewed, Ok(10), "the right to renew it was not taken by those who cannot");
        tokio::task::yield_now().await;
        assert_eq!(users.get("1").await, Some(11));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn tags_and_patterns_take_out_what_has_them() {
    alone(async {
        let users: Cache<u32> =
            Cache::builder("users").tags(|value| vec![format!("parity:{}", value % 2).into()]).build();
        let others: Cache<u32> = Cache::builder("others").build();
        users.set_with("user:1", 1, Entry::new().tags(["team:a", "all"])).await.unwrap();
        users.set_with("user:2", 2, Entry::new().tags(["team:b", "all"])).await.unwrap();
        users.set("user:3", 3).await.unwrap();
        others.set_with("user:1", 1, Entry::new().tags(["team:a"])).await.unwrap();
        assert_eq!(users.invalidate_tags(["team:a"]).removed(), 2, "of every cache");
        assert_eq!((users.get("user:1").await, others.get("user:1").await), (None, None));
        assert_eq!(users.get("user:2").await, Some(2));
        assert_eq!(invalidate_tags(["parity:1"]).removed(), 1);
        assert_eq!(users.get("user:3").await, None);

        others.set("user:2", 2).await.unwrap();
        assert_eq!(users.invalidate_pattern("user:?").removed(), 1, "of this cache");
        assert_eq!((users.get("user:2").await, others.get("user:2").await), (None, Some(2)));
        assert_eq!(others.clear().removed(), 1);
        assert_eq!(others.get("user:2").await, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn many_are_set_and_found_at_once() {
    alone(async {
        let users = users();
        users.set_many([("1", 1), ("2", 2), ("1", 10)]).await.unwrap();
        let found = users.get_many(["1", "2", "3", "1"]).await;
        assert_eq!((found.len(), found["1"], found["2"]), (2, 10, 2));
        let stats = users.stats();
        assert_eq!((stats.requests, stats.cache_hits, stats.misses), (3, 2, 1));
        users.set_many_with([("1", 11)], &Entry::new().ttl(SECOND).tags(["one"])).await.unwrap();
        assert_eq!(users.invalidate_tags(["one"]).removed(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_cache_has_its_capacity_and_gives_back_what_it_drops() {
    alone(async {
        let tokens: Cache<Token> = Cache::builder("tokens").capacity(2).build();
        let heavy: Cache<usize> = Cache::builder("heavy").capacity(10).weigh(|value| *value).build();
        let first = Token::default();
        tokens.set("1", first.clone()).await.unwrap();
        assert!(!is_last(&first));
        let _ = tokens.delete("1");
        freed(&[&first], || _ = tokens.set("other", Token::default())).await;
        for key in 0..100 {
            tokens.set(&key.to_string(), Token::default()).await.unwrap();
            heavy.set(&key.to_string(), 4).await.unwrap();
        }
        assert_eq!((tokens.stats().cache_size, heavy.stats().cache_size), (2, 2));
        heavy.set("too heavy", 11).await.unwrap();
        assert_eq!(heavy.get("too heavy").await, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_is_counted_and_listed() {
    alone(async {
        let users = users();
        users.set("1", 1).await.unwrap();
        users.get("1").await;
        users.get("2").await;
        users.get_or_set("2", || async { Ok::<_, ()>(2) }).await.unwrap();
        users.get_or_set("2", || async { Ok::<_, ()>(3) }).await.unwrap();
        let stats = users.stats();
        add_up(&stats);
        assert_eq!((stats.requests, stats.cache_hits, stats.misses, stats.led), (4, 2, 1, 1));
        assert_eq!(all_stats()["cache::users"], stats);
        drop(users);
        assert!(!all_stats().contains_key("cache::users"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_configuration_of_its_namespace_is_for_it() {
    let config =
        stampede_runtime::Config::builder().namespace("cache", Settings::new().ttl(10 * SECOND)).build().unwrap();
    let _isolated = stampede_runtime::testing::isolate_with(config);
    let users = users();
    users.set("1", 1).await.unwrap();
    users.set_with("2", 2, Entry::new().ttl(HOUR)).await.unwrap();
    advance(10 * SECOND).await;
    assert_eq!((users.get("1").await, users.get("2").await), (None, None));
}

#[test]
fn switched_off_it_keeps_nothing() {
    in_a_process_of_its_own("cache::basics::nothing_is_kept", &[("STAMPEDE_OFF", "1")]);
}

#[tokio::test(start_paused = true)]
#[ignore = "run in a process of its own, with STAMPEDE_OFF"]
async fn nothing_is_kept() {
    let users = users();
    users.set("1", 1).await.unwrap();
    users.set_many([("2", 2)]).await.unwrap();
    assert_eq!(users.get("1").await, None);
    assert_eq!(users.get_many(["2"]).await.len(), 0);
    let work = |value| move || async move { Ok::<_, ()>(value) };
    assert_eq!(users.get_or_set("1", work(2)).await, Ok(2));
    assert_eq!(users.get_or_set("1", work(3)).await, Ok(3));
    let load = |keys: Vec<String>| async { Ok::<_, ()>(keys.into_iter().map(|key| (key, 7))) };
    assert_eq!(users.get_or_set_many(["1", "2"], load).await.unwrap().len(), 2);
    let stats = users.stats();
    assert_eq!((stats.requests, stats.bypassed, stats.cache_size), (6, 6, 0));
}
