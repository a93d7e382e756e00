//! One process, nothing configured but an embedder.

use std::sync::Arc;

use stampede_runtime::semantic::at_least;
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, Outcome, Tier, outcome, semantic_coalesce};

use super::help::{World, all, crowd, in_time, settle};
use super::parts::{Compass, exact};

#[semantic_coalesce(namespace = "basics", guard = none, skip(world))]
async fn ask(model: u32, question: &str, world: Arc<World>) -> usize {
    let _ = (model, question);
    world.body().await
}

async fn with_compass<T>(test: impl AsyncFnOnce(Compass) -> T) -> T {
    let compass = Compass::default();
    let _isolated = isolate_with(Config::builder().embedder(compass.clone()).build().unwrap());
    in_time(test(compass)).await
}

#[tokio::test(start_paused = true)]
async fn what_is_near_is_a_hit_and_what_is_not_is_none() {
    with_compass(async |compass| {
        let world = World::at_ease();
        let call = |question: &'static str| outcome(ask(1, question, Arc::clone(&world)));
        assert_eq!(call("@0 one").await, (1, Some(Outcome::Executed)));
        let (value, near) = call("@10 other").await;
        let Some(Outcome::Semantic { tier: Tier::Index, similarity, .. }) = near else { panic!("{near:?}") };
        assert!(value == 1 && (similarity - 10_f32.to_radians().cos()).abs() < 1e-4);
        let Some(Outcome::Semantic { tier: Tier::Memory, similarity: again, .. }) = call("@10 other").await.1 else {
            panic!("it is in memory")
        };
        assert_eq!(again.to_bits(), similarity.to_bits());
        let (value, again) = call("@0   ONE").await;
        assert_eq!((value, exact(again)), (1, Some(Tier::Index)));
        assert_eq!(call("@40 far").await, (2, Some(Outcome::Executed)));
        let (value, again) = call("@40 far").await;
        assert_eq!((value, exact(again)), (2, Some(Tier::Memory)));
        assert_eq!(outcome(ask(2, "@0 one", Arc::clone(&world))).await, (3, Some(Outcome::Executed)));

        let stats = ask::stats();
        assert_eq!((stats.requests, stats.executions), (7, 3));
        assert_eq!((stats.exact_hits, stats.semantic_hits), (2, 2), "{stats}");
        assert_eq!((stats.embeddings_generated, compass.texts()), (4, 4));
        assert_eq!(stats.semantic.below_threshold.iter().sum::<u64>(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn equal_and_near_questions_in_flight_are_one_execution() {
    with_compass(async |compass| {
        let world = World::new();
        let equal = crowd(100, || ask(1, "@0 one", Arc::clone(&world))).await;
        assert_eq!(compass.texts(), 1);
        let near: Vec<_> = (0..100)
            .map(|at| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { outcome(ask(1, &format!("@{} other", at % 20), world)).await })
            })
            .collect();
        while compass.texts() < 21 {
            tokio::task::yield_now().await;
        }
        settle().await;
        world.open_all();
        assert_eq!(all(equal).await, [1; 100]);
        for call in near {
            let (value, outcome) = call.await.unwrap();
            assert!(value == 1 && matches!(outcome, Some(Outcome::Joined { .. })), "{outcome:?}");
        }
        let stats = ask::stats();
        assert_eq!((stats.executions, stats.requests, stats.coalesce_hits), (1, 200, 199), "{stats}");
        assert_eq!(stats.semantic.joined, 20);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_reaches_what_is_near_and_what_was_answered_so() {
    with_compass(async |_| {
        let world = World::at_ease();
        let call = |question: &'static str| ask(1, question, Arc::clone(&world));
        assert_eq!((call("@0 one").await, call("@10 other").await), (1, 1));
        ask::invalidate(1, "@0 one").await.unwrap();
        assert!(ask::peek(1, "@10 other").is_none());
        assert_eq!((call("@10 other").await, call("@0 one").await), (2, 2));
        // Of what answered it, too.
        ask::invalidate(1, "@10 other").await.unwrap();
        assert_eq!(call("@10 other").await, 3);
        ask::clear().await.unwrap();
        assert_eq!(call("@0 one").await, 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_may_insist_on_more() {
    with_compass(async |_| {
        let world = World::at_ease();
        let call = |question: &'static str| ask(1, question, Arc::clone(&world));
        assert_eq!((call("@0 one").await, call("@10 other").await), (1, 1));
        assert_eq!(at_least(0.99, call("@10 other")).await, 2);
        assert_eq!(at_least(0.99, call("@0 one")).await, 1);
        assert_eq!(at_least(0.5, call("@40 far")).await, 3);
    })
    .await;
}
