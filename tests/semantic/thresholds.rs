//! How near is near enough: at the boundary, at the ends of the scale, as configured, and as a call insists on.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::semantic::{at_least, from_fn};
use stampede_runtime::{Config, Outcome, Settings, Tier, outcome, semantic_coalesce};

use super::help::{World, boarded};
use super::parts::{Parts, add_up, is_near, patient};
use super::process::process_with;

#[semantic_coalesce(namespace = "thresholds", guard = none, skip(world))]
async fn ask(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "thresholds", guard = none, threshold = 0.5, skip(world))]
async fn half(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "thresholds", guard = none, threshold = 0.500_001, skip(world))]
async fn more_than_half(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "thresholds", guard = none, threshold = -1.0, skip(world))]
async fn anything(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "thresholds", guard = none, threshold = 1.0, skip(world))]
async fn the_same(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "thresholds", guard = none, threshold = 0.0, skip(world))]
async fn right_angle(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

/// Vectors whose cosines are exact: "x" and "all" are at 0.5, "x" and "not x" at -1, "x" and "y" at 0.
fn exact() -> impl stampede_runtime::semantic::Embedder {
    from_fn("exact", 4, |texts: Vec<String>| async move {
        let vector = |text: &String| match text.split(' ').next() {
            Some("all") => vec![1.0, 1.0, 1.0, 1.0],
            Some("not") => vec![-3.0, 0.0, 0.0, 0.0],
            Some("y") => vec![0.0, 2.0, 0.0, 0.0],
            _ => vec![1.0, 0.0, 0.0, 0.0],
        };
        Ok::<_, String>(texts.iter().map(vector).collect())
    })
}

#[tokio::test(start_paused = true)]
async fn as_near_as_the_threshold_is_near_enough() {
    process_with(Config::builder().embedder(exact()), async {
        let world = World::at_ease();
        let found_at = |similarity| Some(Outcome::Semantic { tier: Tier::Index, similarity, age: Duration::ZERO });
        // At rest.
        assert_eq!(half("x", Arc::clone(&world)).await, 1);
        let (value, became) = outcome(half("all", Arc::clone(&world))).await;
        assert_eq!((value, became), (1, found_at(0.5)));
        assert_eq!(half("y", Arc::clone(&world)).await, 2);
        assert_eq!(more_than_half("x", Arc::clone(&world)).await, 3);
        assert_eq!(more_than_half("all", Arc::clone(&world)).await, 4);
        assert_eq!(the_same("x", Arc::clone(&world)).await, 5);
        assert_eq!(the_same("x too", Arc::clone(&world)).await, 5);
        assert_eq!(the_same("all", Arc::clone(&world)).await, 6);
        assert_eq!(anything("x", Arc::clone(&world)).await, 7);
        let (value, became) = outcome(anything("not x", Arc::clone(&world))).await;
        assert_eq!((value, became), (7, found_at(-1.0)));
        assert_eq!(right_angle("x", Arc::clone(&world)).await, 8);
        assert_eq!(right_angle("y", Arc::clone(&world)).await, 8);
        assert_eq!(right_angle("not x", Arc::clone(&world)).await, 9);
        // In flight.
        for function in [half::clear, more_than_half::clear, the_same::clear, anything::clear] {
            function().await.unwrap();
        }
        let world = World::new();
        let first = boarded(half("x", Arc::clone(&world))).await;
        let near = boarded(outcome(half("all", Arc::clone(&world)))).await;
        let far = boarded(half("y", Arc::clone(&world))).await;
        assert_eq!(world.runs(), 2);
        let strict = boarded(more_than_half("x", Arc::clone(&world))).await;
        let stricter = boarded(more_than_half("all", Arc::clone(&world))).await;
        assert_eq!(world.runs(), 4);
        world.open_all();
        assert_eq!(near.await.unwrap(), (1, Some(Outcome::Joined { similarity: 0.5 })));
        assert_eq!((first.await.unwrap(), far.await.unwrap()), (1, 2));
        assert_eq!((strict.await.unwrap(), stricter.await.unwrap()), (3, 4));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_default_is_an_angle_of_23_degrees() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1);
        assert_eq!(ask("@23 near", Arc::clone(&world)).await, 1);
        assert_eq!(ask("@23.2 far", Arc::clone(&world)).await, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_configuration_of_a_namespace_is_stronger() {
    let parts = Parts::new();
    let config = parts.config().namespace("thresholds", Settings::new().threshold(0.999));
    process_with(config, async {
        let world = World::at_ease();
        assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1);
        assert_eq!(ask("@2 near", Arc::clone(&world)).await, 1);
        assert_eq!(ask("@5 far", Arc::clone(&world)).await, 2);
        assert_eq!(anything("@0 one", Arc::clone(&world)).await, 3);
        assert_eq!(anything("@10 other", Arc::clone(&world)).await, 4);
    })
    .await;
}

#[test]
fn a_threshold_off_the_scale_is_no_configuration() {
    for wrong in [1.01, -1.01, f64::NAN, f64::INFINITY] {
        let built = Config::builder().defaults(Settings::new().threshold(wrong)).build();
        assert!(built.unwrap_err().to_string().contains("threshold"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_may_insist_on_more_and_never_on_less() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1);
        for (least, degrees, expected) in [
            (-1.0, 30, 2),
            (0.0, 60, 3),
            (f32::NEG_INFINITY, 90, 4),
            (f32::NAN, 120, 5),
            (0.5, 10, 1),
            (0.98, 11, 1),
            (0.99, 12, 6),
            (2.0, 1, 7),
            (f32::INFINITY, 2, 8),
        ] {
            let question = format!("@{degrees} of {least}");
            assert_eq!(at_least(least, ask(&question, Arc::clone(&world))).await, expected, "{question}");
            // The second time it is in memory, for those who insist on the same.
            assert_eq!(at_least(least, ask(&question, Arc::clone(&world))).await, expected, "{question}");
        }
        // Exactly its question is as near as can be.
        for least in [0.99, 1.0, 2.0] {
            assert_eq!(at_least(least, ask("@0 one", Arc::clone(&world))).await, 1);
        }
        add_up(&ask::stats(), ask::stats().requests);
    })
    .await;
}

/// What a call that insists on less has got is in memory, and not near enough for those who insist on more.
#[tokio::test(start_paused = true)]
async fn what_memory_has_for_others_may_not_be_near_enough() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1);
        assert_eq!(ask("@20 other", Arc::clone(&world)).await, 1);
        assert_eq!(at_least(0.95, ask("@20 other", Arc::clone(&world))).await, 2);
        // And what that one was given is good for all.
        assert_eq!(ask("@21 third", Arc::clone(&world)).await, 2);
        assert_eq!(at_least(0.99, ask("@20 other", Arc::clone(&world))).await, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_may_insist_on_different_things() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let one = boarded(ask("@0 one", Arc::clone(&world))).await;
        let near = boarded(outcome(ask("@10 other", Arc::clone(&world)))).await;
        // The same question joins whatever it insists on; another only if it is near enough.
        let strict = boarded(outcome(at_least(0.999, ask("@0 one", Arc::clone(&world))))).await;
        let nearer = boarded(outcome(at_least(0.98, ask("@10 other", Arc::clone(&world))))).await;
        assert_eq!(world.runs(), 1);
        let far = boarded(outcome(at_least(0.99, ask("@10 other", Arc::clone(&world))))).await;
        assert_eq!(world.runs(), 2, "it is executed for itself");
        let farther = boarded(outcome(at_least(0.999, ask("@10 other", Arc::clone(&world))))).await;
        assert_eq!(world.runs(), 2, "its own question is under way");
        world.open_all();
        assert_eq!(one.await.unwrap(), 1);
        for call in [near, nearer] {
            let (value, became) = call.await.unwrap();
            assert!(value == 1 && is_near(became), "{became:?}");
        }
        assert_eq!(strict.await.unwrap().0, 1);
        assert_eq!(far.await.unwrap(), (2, Some(Outcome::Executed)));
        assert_eq!(farther.await.unwrap().0, 2);
        add_up(&ask::stats(), 6);
    })
    .await;
}

/// `1` for its own: whoever compares it with a number gets what the documentation says.
#[tokio::test(start_paused = true)]
async fn its_own_question_is_at_exactly_one() {
    let parts = Parts::new();
    patient(&parts, async {
        for degrees in 0..90 {
            let question = format!("@{degrees} one");
            let world = World::new();
            let one = boarded({
                let (question, world) = (question.clone(), Arc::clone(&world));
                async move { ask(&question, world).await }
            })
            .await;
            let same = boarded({
                let (question, world) = (question.to_uppercase(), Arc::clone(&world));
                async move { outcome(at_least(0.99, ask(&question, world))).await }
            })
            .await;
            world.open_all();
            assert_eq!((one.await.unwrap(), same.await.unwrap()), (1, (1, Some(Outcome::Joined { similarity: 1.0 }))));
            ask::clear().await.unwrap();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn how_near_the_nearest_was_is_counted_in_steps() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        // The first finds nothing, which is not near or far.
        ask("@0 one", Arc::clone(&world)).await;
        for degrees in [25, 50, 85, 130, 180] {
            // Each looks at what is nearest of those before it: at 25, 25, 35, 45 and 50 degrees.
            ask(&format!("@{degrees} far"), Arc::clone(&world)).await;
        }
        let mut expected = [0; 20];
        (expected[18], expected[16], expected[14], expected[12]) = (2, 1, 1, 1);
        assert_eq!(ask::stats().semantic.below_threshold, expected);
        // A near hit counts no step, and opposites count as the first.
        ask("@26 near", Arc::clone(&world)).await;
        assert_eq!(ask::stats().semantic.below_threshold, expected);
        ask::clear().await.unwrap();
        ask("@0 one", Arc::clone(&world)).await;
        ask("@180 opposite", Arc::clone(&world)).await;
        expected[0] += 1;
        assert_eq!(ask::stats().semantic.below_threshold, expected);
    })
    .await;
}
