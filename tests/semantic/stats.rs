//! What is counted: each call once, each look-up in its tier, and times; all of it can be reset, shown and written.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::semantic::at_least;
use stampede_runtime::testing::{Fault, FaultyBackend};
use stampede_runtime::{Outcome, Tier, all_stats, cached, outcome, reset_stats, semantic_coalesce};
use tokio::time::advance;

use super::help::{Service, Trouble, World, all, boarded, ending, said, settle};
use super::parts::{Parts, Temper, add_up, exact, patient};
use super::process::{SECOND, process_with};

#[semantic_coalesce(namespace = "counted", guard(numbers), ttl = "1m", stale = "30s", skip(world))]
async fn ask(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "counted", guard = none, max_concurrent = 1, wait = "5s", skip(service))]
async fn queued(question: &str, service: Arc<Service>) -> Result<usize, Trouble> {
    let _ = question;
    service.answer().await
}

#[cached(namespace = "counted", ttl = 60)]
async fn plain(number: u32) -> u32 {
    number
}

#[tokio::test(start_paused = true)]
async fn each_way_of_being_answered() {
    let (parts, fake) = (Parts::new(), FaultyBackend::new());
    let world = World::at_ease();
    let config = || parts.config().backend("redis", fake.clone());
    process_with(config(), async {
        let mut calls = 0;
        let mut became = async |question: &'static str| {
            calls += 1;
            let (_, became) = outcome(ask(question, Arc::clone(&world))).await;
            add_up(&ask::stats(), calls);
            became.unwrap()
        };
        assert_eq!(became("@a one").await, Outcome::Executed);
        assert_eq!(exact(Some(became("@a one").await)), Some(Tier::Memory));
        assert!(matches!(became("@b other").await, Outcome::Semantic { tier: Tier::Index, .. }));
        assert!(matches!(became("@b other").await, Outcome::Semantic { tier: Tier::Memory, .. }));
        assert_eq!(exact(Some(became("@A ONE").await)), Some(Tier::Backend));
        assert_eq!(became("@a one, 7").await, Outcome::Executed, "another number");
        assert_eq!(became("@f far").await, Outcome::Executed);
        let stats = ask::stats();
        assert_eq!((stats.requests, stats.executions, stats.cache_hits, stats.led), (7, 3, 4, 3), "{stats}");
        assert_eq!((stats.exact_hits, stats.semantic_hits, stats.semantic_rate), (2, 2, 0.5), "{stats}");
        let semantic = &stats.semantic;
        assert_eq!((semantic.backend_exact_hits, semantic.index_exact_hits), (1, 0));
        assert_eq!((semantic.index_hits, semantic.memory_hits), (1, 1));
        assert_eq!((semantic.refused.numbers, semantic.refused.all(), semantic.joined), (1, 1, 0));
        assert_eq!((stats.embeddings_generated, semantic.embedding_batches), (4, 4));
        assert_eq!((semantic.below_threshold.iter().sum::<u64>(), semantic.below_threshold[12]), (1, 1));
        assert_eq!((semantic.index_writes, semantic.index_failures, semantic.embed_failures()), (3, 0, 0));
        assert_eq!((stats.backend_writes, stats.backend_hits, stats.backend_misses), (3, 1, 4), "{stats}");
        // Every look-up took its time in each tier that it got to.
        assert_eq!((semantic.backend_time.count, semantic.index_exact_time.count), (5, 4));
        assert_eq!((semantic.embed_time.count, semantic.index_time.count), (4, 4));
    })
    .await;
}

/// Whatever way a hit takes: by an attribute alone, with more insisted on, with its outcome told.
#[tokio::test(start_paused = true)]
async fn what_memory_has_of_a_near_question_is_a_semantic_hit_each_time() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let first = boarded(ask("@a one", Arc::clone(&world))).await;
        let joined = boarded(ask("@b joined", Arc::clone(&world))).await;
        settle().await;
        world.open_all();
        assert_eq!((first.await.unwrap(), joined.await.unwrap()), (1, 1));
        settle().await;
        ask("@b found", Arc::clone(&world)).await;
        let expected = |index, memory, exact| {
            let stats = ask::stats();
            let semantic = (stats.semantic.index_hits, stats.semantic.memory_hits);
            assert_eq!((semantic, stats.exact_hits), ((index, memory), exact), "{stats}");
            assert_eq!((stats.semantic_hits, stats.semantic.joined), (index + memory, 1), "{stats}");
        };
        expected(1, 0, 0);
        for near in ["@b joined", "@b found"] {
            for _ in 0..10 {
                ask(near, Arc::clone(&world)).await;
            }
            at_least(0.95, ask(near, Arc::clone(&world))).await;
            let (_, became) = outcome(ask(near, Arc::clone(&world))).await;
            assert!(matches!(became, Some(Outcome::Semantic { tier: Tier::Memory, .. })), "{became:?}");
        }
        expected(1, 24, 0);
        for _ in 0..5 {
            ask("@a one", Arc::clone(&world)).await;
            outcome(ask("@a one", Arc::clone(&world))).await;
        }
        expected(1, 24, 10);
        add_up(&ask::stats(), 37);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn times_are_those_that_look_ups_took() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        parts.index.exact.always(Fault::Delay(Duration::from_millis(10)));
        parts.index.nearest.always(Fault::Delay(Duration::from_millis(20)));
        ask("@a one", Arc::clone(&world)).await;
        parts.index.nearest.always(Fault::Delay(Duration::from_millis(40)));
        ask("@g two", Arc::clone(&world)).await;
        let semantic = ask::stats().semantic;
        assert_eq!(semantic.index_exact_time.total.as_millis(), 20);
        assert_eq!(semantic.index_time.total.as_millis(), 60);
        assert_eq!((semantic.index_time.max.as_millis(), semantic.index_time.mean().as_millis()), (40, 30));
        assert_eq!(semantic.backend_time.count, 0, "there is none");
    })
    .await;
}

/// A queue, callers who lose patience, errors, and what is answered by others.
#[tokio::test(start_paused = true)]
async fn sums_hold_where_calls_queue_and_leave() {
    let parts = Parts::new();
    patient(&parts, async {
        let service = Service::new();
        service.world.open(0);
        let one = boarded(queued("@a one", Arc::clone(&service))).await;
        let near = boarded(queued("@b other", Arc::clone(&service))).await;
        let far = boarded(queued("@j far", Arc::clone(&service))).await;
        let near_far = boarded(queued("@j far too", Arc::clone(&service))).await;
        let gone = boarded(queued("@s gone", Arc::clone(&service))).await;
        assert_eq!(service.runs(), 1);
        gone.abort();
        settle().await;
        advance(6 * SECOND).await;
        for call in [one, near, far, near_far] {
            let how = ending(call).await;
            assert!(how == "wait" || how == "refused", "{how}");
        }
        settle().await;
        let stats = queued::stats();
        add_up(&stats, 5);
        assert_eq!((stats.in_flight, stats.executions, stats.refused), (0, 1, 4), "{stats}");
        service.world.open_all();
        assert_eq!(said(queued("@b other", Arc::clone(&service))).await, "value 2");
        assert_eq!(said(queued("@j far", Arc::clone(&service))).await, "value 3");
        assert_eq!(said(queued("@j far too", Arc::clone(&service))).await, "value 3");
        add_up(&queued::stats(), 8);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_near_needs_no_permit_and_takes_none() {
    let parts = Parts::new();
    patient(&parts, async {
        let service = Service::new();
        service.world.open(0);
        let mut calls = Vec::new();
        // One runs and one queues; all others join one of the two.
        for at in 0..40 {
            let (question, service) = (format!("@{} words {at}", 90 * (at % 2) + at % 10), Arc::clone(&service));
            calls.push(boarded(async move { queued(&question, service).await }).await);
        }
        assert_eq!(service.runs(), 1);
        service.world.open_all();
        let answers: Vec<_> = all(calls).await.into_iter().map(Result::unwrap).collect();
        assert_eq!((answers.iter().filter(|answer| **answer == 1).count(), service.runs()), (20, 2), "{answers:?}");
        let stats = queued::stats();
        assert_eq!((stats.led, stats.coalesce_hits, stats.semantic.joined), (2, 38, 38), "{stats}");
        add_up(&stats, 40);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn all_can_be_seen_reset_shown_and_written() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        ask("@a one", Arc::clone(&world)).await;
        ask("@b other", Arc::clone(&world)).await;
        ask("@j far", Arc::clone(&world)).await;
        parts.compass.is(Temper::Vectors(9));
        ask("@s broken", Arc::clone(&world)).await;
        plain(1).await;
        let all = all_stats();
        assert_eq!(all["counted::ask"], ask::stats());
        let shown = all["counted::ask"].to_string();
        for part in [
            "4 requests",
            "3 executions",
            "1 near in the index",
            "0 near in memory",
            "1 not near enough",
            "2 writes",
            "index closed",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!all["counted::plain"].to_string().contains("meaning"));
        let written = serde_json::to_value(&all["counted::ask"]).unwrap();
        assert_eq!(written["semantic_hits"], 1);
        assert_eq!(written["semantic"]["index_hits"], 1);
        assert_eq!(written["semantic"]["below_threshold"].as_array().unwrap().len(), 20);
        assert_eq!(
            written["semantic"]["embed_faults"]["invalid"].as_u64().unwrap(),
            ask::stats().semantic.embed_failures()
        );
        assert!(written["semantic"]["index_time"]["total"].is_f64());
        assert_eq!(written["semantic"]["index_state"], "closed");
        assert!(!written.to_string().contains("broken") && !format!("{:?}", ask::stats()).contains("@j far"));

        settle().await;
        reset_stats();
        let reset = ask::stats();
        assert_eq!((reset.requests, reset.executions, reset.embeddings_generated), (0, 0, 0), "{reset}");
        let kept = reset.cache_size;
        let (expected, semantic) = (plain::stats(), &reset.semantic);
        assert_eq!((expected.requests, kept), (0, 4));
        assert_eq!((semantic.embedding_batches, semantic.embed_failures(), semantic.index_writes), (0, 0, 0));
        assert_eq!((semantic.index_time.count, semantic.embed_time.max), (0, Duration::ZERO));
        assert_eq!((semantic.below_threshold, semantic.index_hits, semantic.memory_hits), ([0; 20], 0, 0));
        // What there is is still there.
        parts.compass.is(Temper::Well);
        assert_eq!(ask("@a one", Arc::clone(&world)).await, 1);
        assert_eq!(ask("@b word", Arc::clone(&world)).await, 1);
        let stats = ask::stats();
        assert_eq!((stats.requests, stats.exact_hits, stats.semantic_hits, stats.embeddings_generated), (2, 1, 1, 1));
        add_up(&stats, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_function_that_was_never_called_is_not_there() {
    let parts = Parts::new();
    patient(&parts, async {
        assert_eq!(ask::stats().requests, 0);
        ask::clear().await.unwrap();
        ask::invalidate("@a one").await.unwrap();
        assert!(ask::peek("@a one").is_none());
        assert_eq!(ask::stats().requests, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn renewals_behind_calls_are_no_calls() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        ask("@a one", Arc::clone(&world)).await;
        advance(70 * SECOND).await;
        assert_eq!(ask("@a one", Arc::clone(&world)).await, 1);
        settle().await;
        assert_eq!(ask("@a one", Arc::clone(&world)).await, 2);
        ask::refresh("@a one", Arc::clone(&world)).await;
        let stats = ask::stats();
        assert_eq!((stats.requests, stats.executions, stats.refreshes, stats.stale_hits), (3, 3, 2, 1), "{stats}");
        add_up(&stats, 3);
    })
    .await;
}
