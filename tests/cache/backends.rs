//! `Cache` with a backend: what it finds there, what it tells it, and what it does without it.

use std::sync::Arc;

use stampede_runtime::testing::{Fault, FaultyBackend, Verb};
use stampede_runtime::{Cache, Entry, Error, shutdown};
use tokio::time::advance;

use super::help::{World, boarded, settle};
use super::process::{BUDGET, DOWN, Given as _, HOUR, Log, SECOND, patient_process, process};
use tracing::Level;

fn users() -> Cache<u32> {
    Cache::builder("users").ttl(HOUR).backend("main").build()
}

/// Some values in the backend, and in no memory.
async fn there(values: &[(&str, u32)]) -> FaultyBackend {
    let fake = FaultyBackend::new();
    process(&fake, async { users().set_many(values.iter().copied()).await.unwrap() }).await;
    fake
}

#[tokio::test(start_paused = true)]
async fn what_one_process_sets_another_gets() {
    let fake = there(&[]).await;
    process(&fake, async { users().set("a:1 %", 1).await.unwrap() }).await;
    assert_eq!(fake.last().0.as_str(), "stampede:{cache::users:v0:a:1%20%25}");
    assert_eq!(fake.last().1, HOUR);
    process(&fake, async {
        let users = users();
        assert_eq!((users.get("a:1 %").await, users.get("a:1").await), (Some(1), None));
        // From memory the next time.
        assert_eq!(users.get("a:1 %").await, Some(1));
        assert_eq!(fake.on(Verb::Get).asked(), 2);
        let stats = users.stats();
        assert_eq!((stats.requests, stats.cache_hits, stats.misses), (3, 2, 1));
        assert_eq!((stats.backend_hits, stats.backend_misses), (1, 1));
        assert!(users.delete("a:1 %").await.unwrap());
    })
    .await;
    process(&fake, async { assert_eq!(users().get("a:1 %").await, None) }).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_only_in_the_backend_is_deleted_touched_and_executed_for_once() {
    let fake = there(&[("1", 1), ("2", 2), ("3", 3)]).await;
    process(&fake, async {
        let users = users();
        assert!(users.delete("1").await.unwrap());
        assert!(!users.delete("1").await.unwrap());
        assert!(users.touch("2", 3 * HOUR).await.unwrap());
        assert!(!users.touch("1", HOUR).await.unwrap());
        assert_eq!(users.get_or_set("3", || async { Ok::<_, ()>(30) }).await, Ok(3));
        assert_eq!(users.get_or_set("4", || async { Ok::<_, ()>(4) }).await, Ok(4));
    })
    .await;
    advance(HOUR.saturating_sub(SECOND)).await;
    process(&fake, async {
        let users = users();
        let found = users.get_many(["1", "2", "3", "4"]).await;
        assert_eq!((found.len(), found["2"], found["3"], found["4"]), (3, 2, 3, 4));
    })
    .await;
    advance(2 * HOUR).await;
    process(&fake, async {
        let users = users();
        assert_eq!(users.get("2").await, Some(2));
        advance(SECOND).await;
        assert_eq!(users.get("2").await, None, "in memory it lives no longer than there");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_many_only_those_are_asked_for_that_memory_does_not_have() {
    let fake = there(&[("1", 1), ("2", 2), ("3", 3)]).await;
    process(&fake, async {
        let users = users();
        users.get("1").await;
        let before = fake.on(Verb::Get).asked();
        assert_eq!(users.get_many(["1", "2", "3", "4"]).await.len(), 3);
        assert_eq!(fake.on(Verb::Get).asked() - before, 3);
        assert_eq!(users.get_many(["1", "2", "3"]).await.len(), 3);
        assert_eq!(fake.on(Verb::Get).asked() - before, 3, "they are in memory now");

        let load = |missing: Vec<String>| async {
            assert_eq!(missing, ["4"]);
            Ok::<_, ()>(missing.into_iter().map(|key| (key, 4)))
        };
        assert_eq!(users.get_or_set_many(["3", "4"], load).await.unwrap()["4"], 4);
        assert_eq!(fake.on(Verb::Get).asked() - before, 4, "each is asked for once");
    })
    .await;
    process(&fake, async { assert_eq!(users().get("4").await, Some(4)) }).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_out_while_it_is_looked_up_is_not_kept() {
    type Act = fn(&Cache<u32>);
    let acts: [Act; 4] = [
        |users| _ = users.delete("1"),
        |users| _ = users.clear(),
        |users| _ = users.invalidate_pattern("*"),
        |users| _ = users.expire("1"),
    ];
    for act in acts {
        let fake = there(&[("1", 1)]).await;
        patient_process(&fake, async {
            let users = users();
            // It has been read, and is on its way.
            fake.on(Verb::Get).always(Fault::HoldAnswer);
            let call = {
                let users = users.clone();
                boarded(async move { users.get("1").await }).await
            };
            act(&users);
            settle().await;
            fake.on(Verb::Get).release();
            assert_eq!(call.await.unwrap(), Some(1), "it was asked for before");
            fake.on(Verb::Get).heal();
            assert_eq!(users.get("1").await, None);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_up_leaves_alone_what_is_set_or_executed_meanwhile() {
    let fake = there(&[("1", 1), ("2", 2)]).await;
    patient_process(&fake, async {
        let (users, world) = (users(), World::new());
        fake.on(Verb::Get).always(Fault::HoldAnswer);
        let call = |key| {
            let users = users.clone();
            boarded(async move { users.get(key).await })
        };
        let (one, two) = (call("1").await, call("2").await);
        users.set("1", 100).await.unwrap();
        let executes = {
            let (users, world) = (users.clone(), Arc::clone(&world));
            tokio::spawn(async move {
                users.get_or_set("2", || async move { Ok::<_, ()>(u32::try_from(world.body().await).unwrap()) }).await
            })
        };
        settle().await;
        two.abort();
        fake.on(Verb::Get).release();
        assert_eq!(one.await.unwrap(), Some(1));
        assert_eq!(users.get("1").await, Some(100));
        assert_eq!(executes.await.unwrap(), Ok(2), "it was looked for by that, too");
        assert_eq!(users.stats().in_flight, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_backend_is_a_miss_to_reads_and_told_by_writes() {
    for mood in [DOWN, Fault::Hang] {
        let fake = there(&[("1", 1)]).await;
        process(&fake, async {
            let users = users();
            fake.always(mood.clone());
            assert_eq!(users.get("1").await, None);
            assert_eq!(users.get_many(["1"]).await.len(), 0);
            let failed = |told: Result<(), Error>| matches!(told, Err(Error::Backend { .. }));
            assert!(failed(users.set("2", 2).await));
            assert_eq!(users.get("2").await, Some(2), "memory has it");
            assert!(failed(users.set_many([("3", 3)]).await));
            assert!(failed(users.delete("3").await.map(drop)));
            assert!(failed(users.touch("2", HOUR).await.map(drop)));
            assert!(failed(users.clear().await));
            assert_eq!(users.get_or_set("4", || async { Ok::<_, ()>(4) }).await, Ok(4));
            assert!(users.stats().backend_failures > 0);
            fake.heal();
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_backend_costs_its_budget_once_for_many() {
    let fake = there(&[]).await;
    process(&fake, async {
        fake.on(Verb::Get).always(Fault::Delay(HOUR));
        let begun = tokio::time::Instant::now();
        assert_eq!(users().get_many(["1", "2", "3"]).await.len(), 0);
        assert!(begun.elapsed() <= BUDGET + SECOND / 10, "{:?}", begun.elapsed());
        fake.heal();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_cache_has_said_is_waited_for() {
    let fake = there(&[]).await;
    patient_process(&fake, async {
        fake.on(Verb::Set).always(Fault::HoldCall);
        let _ = users().set("1", 1);
        assert_eq!(shutdown(SECOND).await, 1);
        fake.on(Verb::Set).release();
        assert_eq!(shutdown(HOUR).await, 0);
        assert!(stampede_runtime::all_stats().is_empty(), "nobody can reach it");
    })
    .await;
    fake.heal();
    process(&fake, async { assert_eq!(users().get("1").await, Some(1)) }).await;
}

#[tokio::test(start_paused = true)]
async fn tags_go_along_and_come_back() {
    let fake = there(&[]).await;
    process(&fake, async {
        let users = users();
        users.set_with("1", 1, Entry::new().tags(["team:a"])).await.unwrap();
        users.set_many_with([("2", 2), ("3", 3)], &Entry::new().tags(["team:b"])).await.unwrap();
        users.set("4", 4).await.unwrap();
    })
    .await;
    process(&fake, async {
        let users = users();
        assert_eq!(users.get_many(["1", "2", "3", "4"]).await.len(), 4);
        let done = users.invalidate_tags(["team:a"]);
        assert_eq!(done.removed(), 1, "memory knows the tags of what it was given");
        done.await.unwrap();
        assert_eq!(users.get("1").await, None);
        assert!(users.touch("2", 2 * HOUR).await.unwrap());
    })
    .await;
    process(&fake, async {
        let users = users();
        assert_eq!((users.get("1").await, users.get("2").await), (None, Some(2)));
        assert!(users.invalidate_tags(["team:b"]).await.is_ok());
        assert_eq!(users.get_many(["2", "3", "4"]).await.len(), 1);
    })
    .await;
    process(&fake, async {
        let executed = users().get_or_set("3", || async { Ok::<_, ()>(30) }).await;
        assert_eq!(executed, Ok(30), "nor is it found on the way of an execution");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn tags_of_an_entry_that_an_execution_found_take_it_out_of_memory() {
    let fake = there(&[]).await;
    process(&fake, async { users().set_with("1", 1, Entry::new().tags(["team:a"])).await.unwrap() }).await;
    process(&fake, async {
        let users = users();
        assert_eq!(users.get_or_set("1", || async { Ok::<_, ()>(10) }).await, Ok(1));
        let done = users.invalidate_tags(["team:a"]);
        assert_eq!(done.removed(), 1);
        done.await.unwrap();
        assert_eq!(users.get_or_set("1", || async { Ok::<_, ()>(10) }).await, Ok(10));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_value_says_of_itself_goes_along() {
    let tagged = || -> Cache<u32> {
        let tags = |value: &u32| vec![format!("parity:{}", value % 2).into()];
        Cache::builder("tagged").ttl(HOUR).tags(tags).backend("main").build()
    };
    let fake = there(&[]).await;
    process(&fake, async {
        let tagged = tagged();
        tagged.set("1", 1).await.unwrap();
        let load = |keys: Vec<String>| async { Ok::<_, ()>(keys.into_iter().map(|key| (key, 3))) };
        tagged.get_or_set_many(["3", "5"], load).await.unwrap();
        tagged.set("2", 2).await.unwrap();
    })
    .await;
    process(&fake, async {
        let tagged = tagged();
        assert_eq!(tagged.get_many(["1", "2", "3", "5"]).await.len(), 4);
        assert!(tagged.invalidate_tags(["parity:1"]).await.is_ok());
        assert_eq!(tagged.get_many(["1", "2", "3", "5"]).await.len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_of_one_name_are_told_apart_from_one_after_another() {
    let fake = there(&[("1", 1)]).await;
    let (log, _guard) = Log::install();
    process(&fake, async {
        let first = users();
        assert!(log.lines(Level::ERROR).is_empty());
        let second = users();
        assert_eq!(log.lines(Level::ERROR).len(), 1);
        assert_eq!((first.get("1").await, second.get("1").await), (Some(1), None));
        drop(first);
        drop(second);
        assert_eq!(users().get("1").await, Some(1));
        assert_eq!(log.lines(Level::ERROR).len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_not_there_is_said_and_done_without() {
    let fake = FaultyBackend::new();
    let (log, _guard) = Log::install();
    process(&fake, async {
        let users: Cache<u32> = Cache::builder("users").backend("mian").build();
        assert_eq!(log.lines(Level::ERROR).len(), 1);
        users.set("1", 1).await.unwrap();
        assert_eq!(users.get("1").await, Some(1));
        assert_eq!(fake.calls().len(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_version_is_not_seen() {
    let fake = there(&[("1", 1)]).await;
    process(&fake, async {
        let users: Cache<String> = Cache::builder("users").backend("main").version(1).build();
        assert_eq!(users.get("1").await, None);
        assert_eq!(users.stats().decode_errors, 0);
    })
    .await;
    process(&fake, async {
        let users: Cache<String> = Cache::builder("users").backend("main").build();
        assert_eq!(users.get("1").await, None, "what is of another type is a miss");
        assert_eq!(users.stats().decode_errors, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_told_and_takes_out_what_was_there() {
    let large = || -> Cache<String> {
        let settings = stampede_runtime::Settings::new().payload_bytes_max(100_usize);
        Cache::builder("large").settings(&settings).backend("main").build()
    };
    let fake = there(&[]).await;
    process(&fake, async {
        let large = large();
        large.set("1", "small".to_owned()).await.unwrap();
        large.set("2", "small".to_owned()).await.unwrap();
        let long = "long".repeat(100);
        assert!(large.set("1", long.clone()).await.is_err());
        assert!(large.set_many([("2", long.clone()), ("3", "small".to_owned())]).await.is_err());
        assert_eq!(large.get("1").await, Some(long));
    })
    .await;
    process(&fake, async {
        let large = large();
        assert_eq!((large.get("1").await, large.get("2").await), (None, None));
        assert!(large.get("3").await.is_some());
    })
    .await;
}
