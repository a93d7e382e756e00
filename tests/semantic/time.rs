//! An answer is never older for another question than it may be for its own; and the index keeps no more than it is told to.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::testing::{Fault, FaultyBackend};
use stampede_runtime::{Tier, outcome, semantic_coalesce};
use tokio::time::advance;

use super::help::{Mood, Service, Trouble, World, boarded, just_before, said, settle};
use super::parts::{Parts, add_up, exact, hasty, patient};
use super::process::{SECOND, process_with};

const MINUTE: Duration = Duration::from_secs(60);

#[semantic_coalesce(namespace = "time", guard = none, ttl = "1m", skip(world))]
async fn ask(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "time", guard = none, ttl = "1m", stale = "30s", skip(world))]
async fn stale(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "time", guard = none, ttl = "1m", stale_if_error = "30s", skip(service))]
async fn failing(question: &str, service: Arc<Service>) -> Result<usize, Trouble> {
    let _ = question;
    service.answer().await
}

#[semantic_coalesce(namespace = "time", guard = none, ttl = "1m", jitter = "100%", skip(world))]
async fn jittered(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "time", guard = none, ttl = "1m", early, skip(world))]
async fn early(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    let number = world.begin();
    tokio::time::sleep(10 * SECOND).await;
    number
}

/// The tenth part of the answer, in seconds.
#[semantic_coalesce(namespace = "time", guard = none, ttl = |answer| Duration::from_secs(*answer as u64 * 10), skip(world))]
async fn of_answer(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "time", guard = none, capacity = 2, skip(world))]
async fn few(topic: u32, question: &str, world: Arc<World>) -> usize {
    let _ = (topic, question);
    world.body().await
}

#[tokio::test(start_paused = true)]
async fn a_near_hit_ends_with_its_source() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1);
        advance(50 * SECOND).await;
        assert_eq!(ask("@10 other", Arc::clone(&world)).await, 1);
        advance(just_before(10 * SECOND)).await;
        assert_eq!(ask("@10 other", Arc::clone(&world)).await, 1);
        assert_eq!(ask("@5 third", Arc::clone(&world)).await, 1);
        advance(Duration::from_millis(1)).await;
        assert_eq!((ask::peek("@10 other"), ask::peek("@5 third"), ask::peek("@0 one")), (None, None, None));
        assert_eq!(ask("@5 third", Arc::clone(&world)).await, 2);
        assert_eq!(ask("@10 other", Arc::clone(&world)).await, 2);
        // The first was never prolonged.
        assert_eq!(ask("@0 one", Arc::clone(&world)).await, 2);
        add_up(&ask::stats(), 7);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn so_does_what_joined() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let one = boarded(ask("@0 one", Arc::clone(&world))).await;
        advance(30 * SECOND).await;
        let near = boarded(ask("@10 other", Arc::clone(&world))).await;
        world.open_all();
        assert_eq!((one.await.unwrap(), near.await.unwrap()), (1, 1));
        advance(just_before(MINUTE)).await;
        assert_eq!((ask::peek("@0 one"), ask::peek("@10 other")), (Some(1), Some(1)));
        advance(Duration::from_millis(1)).await;
        assert_eq!((ask::peek("@0 one"), ask::peek("@10 other")), (None, None));
        assert_eq!(ask("@10 other", Arc::clone(&world)).await, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn so_does_what_found_it_on_its_way_to_the_index() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        parts.index.put.always(Fault::HoldCall);
        assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1);
        advance(50 * SECOND).await;
        assert_eq!(ask("@10 other", Arc::clone(&world)).await, 1);
        advance(9 * SECOND).await;
        assert_eq!(ask::peek("@10 other"), Some(1));
        advance(SECOND).await;
        assert_eq!(ask::peek("@10 other"), None);
        // It is over, wherever it is.
        assert_eq!(ask("@5 third", Arc::clone(&world)).await, 2);
        parts.index.put.release();
        settle().await;
        assert_eq!(ask("@10 other", Arc::clone(&world)).await, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn so_does_what_memory_gets_of_the_index_in_another_process() {
    let parts = Parts::new();
    let world = World::at_ease();
    patient(&parts, async { assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1) }).await;
    advance(50 * SECOND).await;
    patient(&parts, async {
        let (value, outcome_of_exact) = outcome(ask("@0 one", Arc::clone(&world))).await;
        assert_eq!((value, exact(outcome_of_exact)), (1, Some(Tier::Index)));
        assert_eq!(ask("@10 other", Arc::clone(&world)).await, 1);
        advance(just_before(10 * SECOND)).await;
        assert_eq!((ask::peek("@0 one"), ask::peek("@10 other")), (Some(1), Some(1)));
        advance(SECOND).await;
        assert_eq!((ask::peek("@0 one"), ask::peek("@10 other")), (None, None));
        assert_eq!(ask("@10 other", Arc::clone(&world)).await, 2);
    })
    .await;
}

/// A backend of bytes has it, which hands it up and not down.
#[tokio::test(start_paused = true)]
async fn a_hit_in_the_backend_prolongs_nothing() {
    let (parts, fake, world) = (Parts::new(), FaultyBackend::new(), World::at_ease());
    let config = || parts.config().backend("redis", fake.clone());
    process_with(config(), async { assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1) }).await;
    advance(50 * SECOND).await;
    process_with(config(), async {
        let puts = parts.index.put.asked();
        let (value, became) = outcome(ask("@0 one", Arc::clone(&world))).await;
        assert_eq!((value, exact(became)), (1, Some(Tier::Backend)));
        assert_eq!((parts.index.put.asked(), parts.compass.texts()), (puts, 1), "it is in the index already");
        assert_eq!(ask("@10 other", Arc::clone(&world)).await, 1);
        advance(11 * SECOND).await;
        assert_eq!((ask::peek("@0 one"), ask::peek("@10 other")), (None, None));
        assert_eq!(ask("@10 other", Arc::clone(&world)).await, 2);
        assert_eq!(ask::stats().semantic.backend_exact_hits, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_old_is_near_to_nothing_and_served_to_its_own_question() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(stale("@0 one", Arc::clone(&world)).await, 1);
        advance(MINUTE + 10 * SECOND).await;
        let gate = World::new();
        let near = boarded(stale("@10 other", Arc::clone(&gate))).await;
        assert_eq!(gate.runs(), 1, "the first is old, so the second is executed");
        let old = stale("@0 one", Arc::clone(&world)).await;
        assert_eq!(old, 1);
        gate.open_all();
        assert_eq!(near.await.unwrap(), 1);
        settle().await;
        assert_eq!(stale::stats().stale_hits, 1);
        add_up(&stale::stats(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_old_near_answer_stands_in_for_nothing() {
    let parts = Parts::new();
    patient(&parts, async {
        let service = Service::new();
        assert_eq!(said(failing("@0 one", Arc::clone(&service))).await, "value 1");
        assert_eq!(said(failing("@10 other", Arc::clone(&service))).await, "value 1");
        service.is(Mood::Failing);
        advance(MINUTE + SECOND).await;
        assert_eq!(said(failing("@10 other", Arc::clone(&service))).await, "fire");
        assert_eq!(said(failing("@5 third", Arc::clone(&service))).await, "fire");
        assert_eq!(said(failing("@0 one", Arc::clone(&service))).await, "value 1", "its own");
        let stats = failing::stats();
        assert_eq!((stats.fallbacks, stats.errors), (1, 3), "{stats}");
        add_up(&stats, 5);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whatever_jitter_takes_off_is_taken_off_for_all() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        for round in 0..50 {
            let first = jittered("@0 one", Arc::clone(&world)).await;
            let near = jittered("@10 other", Arc::clone(&world)).await;
            for _ in 0..60 {
                advance(SECOND).await;
                let (source, copy) = (jittered::peek("@0 one"), jittered::peek("@10 other"));
                assert!(copy.is_none() || copy == Some(near), "round {round}");
                assert!(near != first || copy.is_none() || source.is_some(), "round {round}: it outlives its source");
            }
            jittered::clear().await.unwrap();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_early_renewal_of_a_near_answer_is_of_its_own_question() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        let first = early("@0 one", Arc::clone(&world)).await;
        assert_eq!((first, early("@20 other", Arc::clone(&world)).await), (1, 1));
        for _ in 0..600 {
            advance(Duration::from_millis(100)).await;
            let near = early("@20 other", Arc::clone(&world)).await;
            settle().await;
            if near != 1 {
                break;
            }
        }
        // Whether it was renewed in time or began anew, it has an entry now that is near to what the first is not near to.
        assert_eq!(world.runs(), 2);
        assert_eq!(early("@40 third", Arc::clone(&world)).await, 2);
        add_up(&early::stats(), early::stats().requests);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_answer_may_have_a_time_of_its_own() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(of_answer("@0 one", Arc::clone(&world)).await, 1);
        assert_eq!(of_answer("@50 two", Arc::clone(&world)).await, 2);
        assert_eq!(of_answer("@40 near two", Arc::clone(&world)).await, 2);
        advance(10 * SECOND).await;
        assert_eq!(of_answer("@10 near one", Arc::clone(&world)).await, 3);
        assert_eq!(of_answer("@45 near two", Arc::clone(&world)).await, 2);
        advance(10 * SECOND).await;
        assert_eq!((of_answer::peek("@40 near two"), of_answer::peek("@45 near two")), (None, None));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_keeps_so_many_answers_and_the_first_makes_room() {
    let parts = Parts::new();
    hasty(&parts, async {
        let world = World::at_ease();
        for (at, question) in ["@0 one", "@50 two", "@100 three"].into_iter().enumerate() {
            assert_eq!(few(1, question, Arc::clone(&world)).await, at + 1);
        }
        // Another partition has room of its own.
        assert_eq!(few(2, "@0 one", Arc::clone(&world)).await, 4);
        assert_eq!(few(1, "@55 near two", Arc::clone(&world)).await, 2);
        assert_eq!(few(1, "@105 near three", Arc::clone(&world)).await, 3);
        assert_eq!(few(1, "@5 near one", Arc::clone(&world)).await, 5);
        assert_eq!(few(2, "@5 near one", Arc::clone(&world)).await, 4);
        assert!(few::stats().cache_size <= 2);
    })
    .await;
}
