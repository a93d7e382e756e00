//! Guards turn a near hit into a miss, in flight and at rest, and count it. Then the next nearest is looked at.

use std::sync::Arc;

use stampede_runtime::semantic::{Guard, Guards};
use stampede_runtime::{Outcome, Settings, outcome, semantic_coalesce};

use super::help::{World, boarded};
use super::parts::{Parts, add_up, is_near, patient};
use super::process::{HOUR, process_with};

#[semantic_coalesce(namespace = "guards", skip(world))]
async fn usual(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "guards", guard = none, skip(world))]
async fn unguarded(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "guards", guard(numbers, antonyms, negation, entities, quoted), skip(world))]
async fn guarded(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "guards", guard(entities), skip(world))]
async fn of_names(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

/// Pairs that each guard tells apart, in the order of `Refusals`. All of them are at 0 degrees.
const PAIRS: [[&str; 2]; 5] = [
    ["give it back within 14 days", "give it back within 30 days"],
    ["how do I enable it", "how do I disable it"],
    ["is it safe", "is it not safe"],
    ["who leads in Paris today", "who leads in London today"],
    ["what does \"open\" mean", "what does \"green\" mean"],
];

#[tokio::test(start_paused = true)]
async fn numbers_and_opposites_are_told_apart_unless_one_says_otherwise() {
    let parts = Parts::new();
    patient(&parts, async {
        for [one, other] in PAIRS {
            let world = World::at_ease();
            assert_eq!(unguarded(one, Arc::clone(&world)).await, 1);
            assert!(is_near(outcome(unguarded(other, Arc::clone(&world))).await.1));
            unguarded::clear().await.unwrap();
        }
        let apart = async |pair: [&'static str; 2]| {
            let world = World::at_ease();
            assert_eq!(usual(pair[0], Arc::clone(&world)).await, 1);
            let is_apart = usual(pair[1], Arc::clone(&world)).await == 2;
            usual::clear().await.unwrap();
            is_apart
        };
        assert!(apart(PAIRS[0]).await && apart(PAIRS[1]).await && !apart(PAIRS[2]).await);
        let refused = usual::stats().semantic.refused;
        assert_eq!((refused.numbers, refused.antonyms, refused.all()), (1, 1, 2));
        assert_eq!(unguarded::stats().semantic.refused.all(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_configuration_switches_them_whatever_an_attribute_says() {
    let parts = Parts::new();
    let timeouts = || Settings::new().backend_timeout(24 * HOUR).embed_timeout(24 * HOUR);
    let apart = async |pair: [&'static str; 2]| {
        let world = World::at_ease();
        let mut answers = [0; 3];
        for question in pair {
            answers = [
                usual(question, Arc::clone(&world)).await,
                guarded(question, Arc::clone(&world)).await,
                unguarded(question, Arc::clone(&world)).await,
            ];
        }
        usual::clear().await.unwrap();
        guarded::clear().await.unwrap();
        unguarded::clear().await.unwrap();
        // Each of the three executes the first: what is more than that tells them apart.
        answers.map(|answer| answer > 3)
    };
    let negation = Guards::of(&[Guard::Negation]);
    let defaults = parts.config().defaults(timeouts().guard(negation));
    process_with(defaults, async {
        assert_eq!(apart(PAIRS[0]).await, [false, true, false], "only what the attribute leaves open");
        assert_eq!(apart(PAIRS[2]).await, [true, true, false]);
    })
    .await;
    let namespace = |guards| parts.config().defaults(timeouts()).namespace("guards", Settings::new().guard(guards));
    process_with(namespace(negation), async {
        assert_eq!(apart(PAIRS[0]).await, [false; 3]);
        assert_eq!(apart(PAIRS[2]).await, [true; 3]);
    })
    .await;
    process_with(namespace(Guards::NONE), async {
        for pair in PAIRS {
            assert_eq!(apart(pair).await, [false; 3]);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_guard_counts_what_it_refuses_at_rest() {
    let parts = Parts::new();
    patient(&parts, async {
        for pair in PAIRS {
            for [one, other] in [pair, [pair[1], pair[0]]] {
                let world = World::at_ease();
                assert_eq!(guarded(one, Arc::clone(&world)).await, 1);
                assert_eq!(guarded(other, Arc::clone(&world)).await, 2, "{one}, {other}");
                guarded::clear().await.unwrap();
            }
        }
        let refused = guarded::stats().semantic.refused;
        assert_eq!([refused.numbers, refused.antonyms, refused.negation, refused.entities, refused.quoted], [2; 5]);
        assert_eq!(refused.all(), 10);
        // What is refused is near enough, which is no step of the others.
        assert_eq!(guarded::stats().semantic.below_threshold, [0; 20]);
        add_up(&guarded::stats(), 20);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn and_in_flight() {
    let parts = Parts::new();
    patient(&parts, async {
        for pair in PAIRS {
            let world = World::new();
            let one = boarded(guarded(pair[0], Arc::clone(&world))).await;
            let other = boarded(guarded(pair[1], Arc::clone(&world))).await;
            assert_eq!(world.runs(), 2, "{pair:?}");
            world.open_all();
            assert_eq!((one.await.unwrap(), other.await.unwrap()), (1, 2));
            guarded::clear().await.unwrap();
        }
        let stats = guarded::stats();
        assert_eq!((stats.semantic.refused.all(), stats.semantic.joined), (5, 0), "{stats}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn behind_what_is_refused_the_next_nearest_is_looked_at() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(usual("@a within 14 days", Arc::clone(&world)).await, 1);
        assert_eq!(usual("@b within 30 days", Arc::clone(&world)).await, 2);
        let (value, became) = outcome(usual("@b in 14 days", Arc::clone(&world))).await;
        assert!(value == 1 && matches!(became, Some(Outcome::Semantic { .. })), "{became:?}");
        // In flight.
        usual::clear().await.unwrap();
        let world = World::new();
        let far = boarded(usual("@a within 14 days", Arc::clone(&world))).await;
        let near = boarded(usual("@b within 30 days", Arc::clone(&world))).await;
        let joined = boarded(usual("@b in 14 days", Arc::clone(&world))).await;
        world.open_all();
        assert_eq!((far.await.unwrap(), near.await.unwrap(), joined.await.unwrap()), (1, 2, 1));
    })
    .await;
}

/// The directions are numbers, too; the guard must not take them for the question's.
#[tokio::test(start_paused = true)]
async fn an_answer_to_exactly_the_question_is_never_refused() {
    let parts = Parts::new();
    let world = World::at_ease();
    patient(&parts, async { assert_eq!(of_names("who leads in Paris", Arc::clone(&world)).await, 1) }).await;
    patient(&parts, async {
        assert_eq!(of_names("who leads in paris", Arc::clone(&world)).await, 1, "equal in its normal form");
        // In flight, too.
        of_names::clear().await.unwrap();
        let world = World::new();
        let one = boarded(of_names("who leads in Paris", Arc::clone(&world))).await;
        let same = boarded(of_names("who leads in paris", Arc::clone(&world))).await;
        assert_eq!(world.runs(), 1);
        world.open_all();
        assert_eq!((one.await.unwrap(), same.await.unwrap()), (1, 1));
        assert_eq!(of_names::stats().semantic.refused.all(), 0);
    })
    .await;
}
