//! What is invalidated is not read again: neither from memory nor from a backend that is slow to forget, or fails to.

use std::sync::Arc;

use stampede_runtime::store::BackendErrorKind;
use stampede_runtime::testing::{Fault, FaultyBackend, Verb};
use stampede_runtime::{Config, Error, Settings, cached, shutdown};
use tokio::time::{Instant, advance};

use super::help::{Trouble, World, boarded, crowd, settle};
use super::process::{BUDGET, DOWN, Given, HOUR, SECOND, check, patient_process, process, process_with};

#[cached(ttl = "1h", backend = "main", skip(world))]
async fn load(_key: u32, world: Arc<World>) -> usize {
    world.body().await
}

/// Keeps one value in memory.
#[cached(ttl = "1h", capacity = 1, backend = "main", skip(world))]
async fn narrow(_key: u32, world: Arc<World>) -> usize {
    world.body().await
}

/// A 1 of each key, in the backend alone.
async fn there(keys: u32) -> (FaultyBackend, Arc<World>) {
    let fake = FaultyBackend::new();
    for key in 1..=keys {
        process(&fake, async {
            load(key, World::at_ease()).await;
            narrow(key, World::at_ease()).await;
        })
        .await;
    }
    let world = World::at_ease();
    world.begin();
    (fake, world)
}

fn told(result: &Result<(), Error>) -> bool {
    matches!(result, Err(Error::Backend { .. }))
}

#[tokio::test(start_paused = true)]
async fn invalidate_and_clear_act_outside_too() {
    let (fake, world) = there(3).await;
    process(&fake, async {
        load(1, Arc::clone(&world)).await;
        let done = load::invalidate(1);
        assert_eq!(done.removed(), 1);
        assert!(done.await.is_ok());
    })
    .await;
    process(&fake, async {
        assert_eq!(load(1, Arc::clone(&world)).await, 2);
        assert_eq!(load(2, Arc::clone(&world)).await, 1);
        assert!(load::clear().await.is_ok());
    })
    .await;
    process(&fake, async {
        for key in 1..=3 {
            assert_eq!(load(key, Arc::clone(&world)).await, 2 + key as usize);
            assert_eq!(narrow(key, Arc::clone(&world)).await, 1, "another function's");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_no_memory_is_invalidated_all_the_same() {
    let (fake, world) = there(1).await;
    process(&fake, async {
        let done = load::invalidate(1);
        assert_eq!(done.removed(), 0);
        assert!(done.await.is_ok());
        assert_eq!(load(1, Arc::clone(&world)).await, 2);
    })
    .await;
    // Even before the first call.
    process(&fake, async { assert!(load::invalidate(1).await.is_ok()) }).await;
    process(&fake, async { assert_eq!(load(1, Arc::clone(&world)).await, 3) }).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_no_memory_is_cleared_all_the_same() {
    let (fake, world) = there(1).await;
    process(&fake, async {
        assert!(load::clear().await.is_ok());
        assert_eq!(load(1, Arc::clone(&world)).await, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_cleared_before_the_first_call_is_not_read_by_it() {
    let (fake, world) = there(1).await;
    patient_process(&fake, async {
        fake.on(Verb::Clear).always(Fault::HoldCall);
        let cleared = load::clear();
        assert_eq!(load(1, Arc::clone(&world)).await, 2, "the backend has not heard of it yet");
        fake.on(Verb::Clear).release();
        assert!(cleared.await.is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_handle_tells_what_the_backend_said() {
    let (fake, world) = there(1).await;
    process(&fake, async {
        load(1, Arc::clone(&world)).await;
        fake.always(DOWN);
        let answer = load::invalidate(1).await;
        assert!(told(&answer), "{answer:?}");
        let text = answer.expect_err("seen above").to_string();
        assert!(text.contains("cannot be reached"), "{text}");
        assert!(told(&load::clear().await));
        assert_eq!(load::stats().backend_failures, 2);

        fake.always(Fault::Hang);
        let start = Instant::now();
        assert!(told(&load::invalidate(1).await));
        assert_eq!(start.elapsed(), BUDGET);
        assert!(told(&load::clear().await));
        assert_eq!(load::stats().backend_failures, 4);

        // In this process it has happened all the same, and nobody has to await it.
        fake.always(Fault::Fail(BackendErrorKind::ReadOnly));
        load::insert(1, 7);
        settle().await;
        load::invalidate(1);
        assert_eq!(load::peek(1), None);
        settle().await;
        assert_eq!(load::stats().backend_failures, 7, "what was not written was to be taken out");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_backend_has_not_forgotten_yet_is_not_read() {
    let (fake, world) = there(2).await;
    patient_process(&fake, async {
        assert_eq!(narrow(1, Arc::clone(&world)).await, 1);
        fake.on(Verb::Remove).always(Fault::HoldCall);
        fake.on(Verb::Set).always(Fault::HoldCall);
        let looks = fake.on(Verb::Get).asked();
        let done = narrow::invalidate(1);
        assert_eq!(narrow(1, Arc::clone(&world)).await, 2);
        assert_eq!(fake.on(Verb::Get).asked(), looks, "it is not even looked for");
        assert_eq!(narrow(2, Arc::clone(&world)).await, 1, "others are");
        // Out of memory again, and not there yet.
        assert_eq!(narrow(1, Arc::clone(&world)).await, 3);
        fake.on(Verb::Remove).release();
        assert!(done.await.is_ok());
        fake.on(Verb::Set).release();
        settle().await;
        assert_eq!(narrow(2, Arc::clone(&world)).await, 1);
        assert!(narrow(1, Arc::clone(&world)).await >= 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_backend_has_not_cleared_yet_is_not_read() {
    let (fake, world) = there(2).await;
    patient_process(&fake, async {
        narrow(1, Arc::clone(&world)).await;
        fake.on(Verb::Clear).always(Fault::HoldCall);
        let done = narrow::clear();
        assert_eq!(narrow(1, Arc::clone(&world)).await, 2);
        assert_eq!(narrow(2, Arc::clone(&world)).await, 3);
        fake.on(Verb::Clear).release();
        assert!(done.await.is_ok());
        narrow(3, Arc::clone(&world)).await;
        let looks = fake.on(Verb::Get).asked();
        narrow(4, Arc::clone(&world)).await;
        assert_eq!(fake.on(Verb::Get).asked(), looks + 1, "then it is looked for again");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_backend_failed_to_forget_is_not_read_until_it_is_overwritten() {
    let (fake, world) = there(2).await;
    process(&fake, async {
        assert_eq!(narrow(1, Arc::clone(&world)).await, 1);
        fake.on(Verb::Remove).always(DOWN);
        fake.on(Verb::Set).always(DOWN);
        assert!(told(&narrow::invalidate(1).await));
        assert_eq!(narrow(1, Arc::clone(&world)).await, 2);
        settle().await;
        // Having failed so often it is left alone, until somebody asks after a while.
        tokio::time::sleep(3 * SECOND).await;
        assert!(told(&narrow::invalidate(3).await));
        settle().await;
        assert_eq!(narrow(2, Arc::clone(&world)).await, 1);
        let looks = fake.on(Verb::Get).asked();
        fake.on(Verb::Set).always(Fault::None);
        assert_eq!(narrow(1, Arc::clone(&world)).await, 3);
        assert_eq!(fake.on(Verb::Get).asked(), looks, "neither memory nor the backend has one that may be read");
        settle().await;
        assert_eq!(narrow(2, Arc::clone(&world)).await, 1);
        assert_eq!(narrow(1, Arc::clone(&world)).await, 3, "the new one is there, and found");
        assert_eq!(narrow::stats().executions, 2);
    })
    .await;
    process(&fake, async { assert_eq!(narrow(1, Arc::clone(&world)).await, 3) }).await;
}

#[tokio::test(start_paused = true)]
async fn of_several_invalidations_each_has_to_arrive() {
    let (fake, world) = there(1).await;
    patient_process(&fake, async {
        fake.on(Verb::Remove).always(Fault::Delay(SECOND));
        let first = load::invalidate(1);
        settle().await;
        fake.on(Verb::Remove).always(Fault::Delay(2 * SECOND));
        let second = load::invalidate(1);
        assert!(first.await.is_ok());
        // Another process may have written in between, before the second.
        let looks = fake.on(Verb::Get).asked();
        fake.on(Verb::Set).always(DOWN);
        assert_eq!(load(1, Arc::clone(&world)).await, 2);
        assert_eq!(fake.on(Verb::Get).asked(), looks);
        assert!(second.await.is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_backend_failed_to_clear_is_not_read() {
    let (fake, world) = there(2).await;
    process(&fake, async {
        fake.on(Verb::Clear).always(DOWN);
        narrow(1, Arc::clone(&world)).await;
        assert!(told(&narrow::clear().await));
        assert_eq!(narrow(1, Arc::clone(&world)).await, 2);
        assert_eq!(narrow(2, Arc::clone(&world)).await, 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_clear_that_succeeds_makes_up_for_one_that_failed() {
    let (fake, world) = there(2).await;
    process(&fake, async {
        narrow(1, Arc::clone(&world)).await;
        fake.on(Verb::Clear).always(DOWN);
        assert!(told(&narrow::clear().await));
        fake.on(Verb::Clear).always(Fault::None);
        assert!(narrow::clear().await.is_ok());
        assert_eq!(narrow(1, Arc::clone(&world)).await, 2);
        assert_eq!(narrow(2, Arc::clone(&world)).await, 3);
        settle().await;
        assert_eq!(narrow(1, Arc::clone(&world)).await, 2, "it is there");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_that_succeeds_makes_up_for_one_that_failed() {
    let (fake, world) = there(1).await;
    process(&fake, async {
        fake.on(Verb::Remove).always(DOWN);
        assert!(told(&load::invalidate(1).await));
        fake.on(Verb::Remove).always(Fault::None);
        assert!(load::invalidate(1).await.is_ok());
        let looks = fake.on(Verb::Get).asked();
        assert_eq!(load(1, Arc::clone(&world)).await, 2);
        assert_eq!(
            fake.on(Verb::Get).asked(),
            looks + 1,
            "nothing old is there any more, so what is there may be read"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn many_invalidations_at_once_bar_the_backend_for_as_long_as_they_take() {
    let (fake, world) = there(1).await;
    patient_process(&fake, async {
        fake.on(Verb::Remove).always(Fault::HoldCall);
        for key in 0..10_001 {
            load::invalidate(1_000 + key);
        }
        let last = load::invalidate(1_000);
        settle().await;
        fake.on(Verb::Remove).release();
        assert!(last.await.is_ok());
        settle().await;
        assert_eq!(load(1, Arc::clone(&world)).await, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_began_before_an_invalidation_leaves_nothing_outside() {
    type Take = fn() -> stampede_runtime::Invalidation;
    let takes: [Take; 2] = [|| load::invalidate(1), || load::clear()];
    for take in takes {
        let fake = FaultyBackend::new();
        let world = World::new();
        process(&fake, async {
            let calls = crowd(3, || load(1, Arc::clone(&world))).await;
            assert!(take().await.is_ok());
            let later = boarded(load(1, Arc::clone(&world))).await;
            world.open(1);
            for call in calls {
                assert_eq!(call.await.expect("no panic"), 1, "they were waiting already");
            }
            settle().await;
            assert_eq!(fake.on(Verb::Set).asked(), 0);
            world.open_all();
            assert_eq!(later.await.expect("no panic"), 2);
            check(&load::stats(), 4);
        })
        .await;
        process(&fake, async { assert_eq!(load(1, Arc::clone(&world)).await, 2) }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_on_its_way_when_it_is_invalidated_does_not_stay_there() {
    let fake = FaultyBackend::new();
    let world = World::at_ease();
    patient_process(&fake, async {
        fake.on(Verb::Set).always(Fault::HoldCall);
        assert_eq!(load(1, Arc::clone(&world)).await, 1);
        settle().await;
        assert!(load::invalidate(1).await.is_ok());
        fake.on(Verb::Set).release();
        settle().await;
        assert_eq!(fake.entry().await, None);
        assert_eq!(load(1, Arc::clone(&world)).await, 2);
    })
    .await;
    process(&fake, async { assert_eq!(load(1, Arc::clone(&world)).await, 2) }).await;
}

#[tokio::test(start_paused = true)]
async fn a_value_that_arrives_after_its_invalidation_is_not_read() {
    for fault in [Fault::HoldCall, DOWN] {
        let fake = FaultyBackend::new();
        let world = World::at_ease();
        patient_process(&fake, async {
            fake.on(Verb::Set).always(Fault::HoldCall);
            assert_eq!(load(1, Arc::clone(&world)).await, 1);
            settle().await;
            assert!(load::invalidate(1).await.is_ok());
            fake.on(Verb::Remove).always(fault.clone());
            fake.on(Verb::Set).release();
            settle().await;
            assert_eq!(load(1, Arc::clone(&world)).await, 2, "{fault:?}");
            fake.on(Verb::Remove).release();
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_on_its_way_that_memory_has_let_go_of_is_invalidated_too() {
    type Take = fn() -> stampede_runtime::Invalidation;
    let takes: [Take; 2] = [|| narrow::invalidate(1), || narrow::clear()];
    for take in takes {
        let fake = FaultyBackend::new();
        let world = World::at_ease();
        patient_process(&fake, async {
            fake.on(Verb::Set).always(Fault::HoldCall);
            assert_eq!(narrow(1, Arc::clone(&world)).await, 1);
            narrow(2, Arc::clone(&world)).await;
            narrow(2, Arc::clone(&world)).await;
            narrow(3, Arc::clone(&world)).await;
            settle().await;
            assert_eq!(narrow::peek(1), None);
            assert!(take().await.is_ok());
            fake.on(Verb::Set).release();
            settle().await;
            assert!(narrow(1, Arc::clone(&world)).await > 1, "the one that was invalidated");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_began_before_an_invalidation_answers_those_who_were_waiting() {
    let (fake, world) = there(1).await;
    patient_process(&fake, async {
        fake.on(Verb::Get).always(Fault::HoldAnswer);
        let early = crowd(2, || load(1, Arc::clone(&world))).await;
        assert!(load::invalidate(1).await.is_ok());
        let later = boarded(load(1, Arc::clone(&world))).await;
        fake.on(Verb::Get).release();
        for call in early {
            assert_eq!(call.await.expect("no panic"), 1);
        }
        assert_eq!(later.await.expect("no panic"), 2);
        assert_eq!(load::peek(1), Some(2));
        check(&load::stats(), 3);
    })
    .await;
    process(&fake, async { assert_eq!(load(1, Arc::clone(&world)).await, 2) }).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_value_looked_up_before_an_invalidation_stands_in_for_nothing_after_it() {
    #[cached(ttl = "10s", stale_if_error = "1h", backend = "main", skip(how, world))]
    async fn aged(_key: u32, how: &'static str, world: Arc<World>) -> Result<usize, Trouble> {
        let number = world.body().await;
        if how == "fire" { Err(Trouble::Fire) } else { Ok(number) }
    }

    let fake = FaultyBackend::new();
    let world = World::at_ease();
    process(&fake, async { aged(1, "", Arc::clone(&world)).await.expect("no fire") }).await;
    advance(20 * SECOND).await;
    patient_process(&fake, async {
        fake.on(Verb::Get).always(Fault::HoldAnswer);
        let early = boarded(aged(1, "fire", Arc::clone(&world))).await;
        assert!(aged::invalidate(1).await.is_ok());
        fake.on(Verb::Get).release();
        let _either = early.await.expect("no panic");
        let later = aged(1, "fire", Arc::clone(&world)).await;
        assert!(later.is_err(), "{later:?} was invalidated");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_whose_value_is_not_kept_takes_the_older_one_out_everywhere() {
    #[cached(ttl = "1h", cache_if = |value| *value < 2, backend = "main", skip(world))]
    async fn first_only(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    let fake = FaultyBackend::new();
    let world = World::at_ease();
    process(&fake, async {
        assert_eq!(first_only(1, Arc::clone(&world)).await, 1);
        settle().await;
        assert_eq!(first_only::refresh(1, Arc::clone(&world)).await, 2);
        assert_eq!(first_only::peek(1), None, "memory has let go of the older one");
        assert_eq!(first_only(1, Arc::clone(&world)).await, 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_value_too_large_to_be_written_takes_the_older_one_out() {
    #[cached(namespace = "growing", ttl = "1h", capacity = 1, backend = "main", skip(world))]
    async fn growing(_key: u32, world: Arc<World>) -> String {
        "x".repeat(world.body().await * 60)
    }

    let fake = FaultyBackend::new();
    let world = World::at_ease();
    let small = Settings::new().payload_bytes_max(100);
    let config = Config::builder().backend("main", fake.clone()).namespace("growing", small);
    process_with(config, async {
        assert_eq!(growing(1, Arc::clone(&world)).await.len(), 60);
        settle().await;
        assert_eq!(growing::refresh(1, Arc::clone(&world)).await.len(), 120);
        for other in [2, 2, 3] {
            growing(other, Arc::clone(&world)).await;
        }
        assert_eq!(growing::peek(1), None);
        assert!(growing(1, Arc::clone(&world)).await.len() > 60, "older than what was seen here");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_invalidations() {
    let fake = FaultyBackend::new();
    patient_process(&fake, async {
        load(1, World::at_ease()).await;
        settle().await;
        fake.on(Verb::Remove).always(Fault::Delay(SECOND));
        load::invalidate(1);
        assert_eq!(shutdown(HOUR).await, 0);
        assert_eq!(fake.entry().await, None, "the process may end now");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_values_on_their_way() {
    let fake = FaultyBackend::new();
    patient_process(&fake, async {
        fake.on(Verb::Set).always(Fault::Delay(SECOND));
        load(1, World::at_ease()).await;
        let start = Instant::now();
        assert_eq!(shutdown(SECOND / 2).await, 1);
        assert_eq!(shutdown(HOUR).await, 0);
        assert_eq!(start.elapsed(), SECOND);
        assert!(fake.entry().await.is_some());
    })
    .await;
}
