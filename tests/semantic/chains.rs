//! Near is not handed on: what a question was given for being near to a second one is never given to a third.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::{Outcome, Tier, outcome, semantic_coalesce};
use tokio::time::advance;

use super::help::{World, boarded, settle};
use super::parts::{Parts, add_up, cosine, patient};

#[semantic_coalesce(namespace = "chains", guard = none, skip(world))]
async fn ask(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "chains", guard = none, ttl = "1m", stale = "1m", skip(world))]
async fn renewed(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "chains", guard = none, attached, skip(world))]
async fn attached(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

/// Each is near to the next.
const CHAIN: [&str; 3] = ["@0 one", "@20 two", "@40 three"];

#[tokio::test(start_paused = true)]
async fn in_flight() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let mut calls = Vec::new();
        for question in CHAIN {
            calls.push(boarded(outcome(ask(question, Arc::clone(&world)))).await);
        }
        assert_eq!(world.runs(), 2, "the third is executed");
        world.open_all();
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.unwrap());
        }
        assert_eq!((answers[0], answers[2]), ((1, Some(Outcome::Executed)), (2, Some(Outcome::Executed))));
        assert!(matches!(answers[1], (1, Some(Outcome::Joined { .. }))), "{:?}", answers[1]);
        add_up(&ask::stats(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn at_rest() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        for _ in 0..2 {
            let mut answers = Vec::new();
            for question in CHAIN {
                answers.push(ask(question, Arc::clone(&world)).await);
            }
            assert_eq!(answers, [1, 1, 2]);
        }
        // The second has no entry of its own that a fourth could be near to.
        assert_eq!(ask("@-20 before", Arc::clone(&world)).await, 1);
        assert_eq!(ask("@60 four", Arc::clone(&world)).await, 2);
        assert_eq!(ask("@80 five", Arc::clone(&world)).await, 3);
        assert_eq!(ask::stats().semantic.index_writes, 3);
        add_up(&ask::stats(), 9);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn from_flight_to_rest() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let one = boarded(ask(CHAIN[0], Arc::clone(&world))).await;
        let two = boarded(ask(CHAIN[1], Arc::clone(&world))).await;
        world.open(1);
        assert_eq!((one.await.unwrap(), two.await.unwrap()), (1, 1));
        let three = boarded(ask(CHAIN[2], Arc::clone(&world))).await;
        assert_eq!(world.runs(), 2);
        // The second is in memory with the first's answer, and nearer to the third's.
        world.open_all();
        assert_eq!(three.await.unwrap(), 2);
        assert_eq!(ask("@21 two again", Arc::clone(&world)).await, 2);
        assert_eq!(ask(CHAIN[1], Arc::clone(&world)).await, 1);
        add_up(&ask::stats(), 5);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_nearest_is_taken_in_flight_and_at_rest() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let far = boarded(ask("@0 one", Arc::clone(&world))).await;
        let near = boarded(ask("@30 two", Arc::clone(&world))).await;
        let joined = boarded(outcome(ask("@18 between", Arc::clone(&world)))).await;
        world.open_all();
        assert_eq!((far.await.unwrap(), near.await.unwrap()), (1, 2));
        let is_as_near = |similarity: f32, degrees| (similarity - cosine(degrees)).abs() < 1e-6;
        let (value, outcome_of_joined) = joined.await.unwrap();
        let Some(Outcome::Joined { similarity }) = outcome_of_joined else { panic!("it joined") };
        assert!(value == 2 && is_as_near(similarity, 12.0));
        let (value, outcome) = outcome(ask("@12 between", Arc::clone(&world))).await;
        let Some(Outcome::Semantic { tier: Tier::Index, similarity, .. }) = outcome else { panic!("a near hit") };
        assert!(value == 1 && is_as_near(similarity, 12.0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_on_for_others_goes_on_with_its_own_question() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let one = boarded(attached(CHAIN[0], Arc::clone(&world))).await;
        let two = boarded(outcome(attached(CHAIN[1], Arc::clone(&world)))).await;
        one.abort();
        settle().await;
        assert_eq!(world.runs(), 2);
        // Now the second is executed, so the third is near to that.
        let three = boarded(outcome(attached(CHAIN[2], Arc::clone(&world)))).await;
        let before = boarded(attached("@-20 before", Arc::clone(&world))).await;
        world.open_all();
        assert_eq!(two.await.unwrap(), (2, Some(Outcome::Executed)));
        assert!(matches!(three.await.unwrap(), (2, Some(Outcome::Joined { .. }))));
        assert_eq!(before.await.unwrap(), 3);
        add_up(&attached::stats(), 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_near_answer_in_memory_is_never_old_and_the_next_one_is_its_questions_own() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(renewed(CHAIN[0], Arc::clone(&world)).await, 1);
        assert_eq!(renewed(CHAIN[1], Arc::clone(&world)).await, 1);
        advance(Duration::from_secs(70)).await;
        assert_eq!(outcome(renewed(CHAIN[1], Arc::clone(&world))).await, (2, Some(Outcome::Executed)));
        assert_eq!(renewed(CHAIN[1], Arc::clone(&world)).await, 2);
        assert_eq!(renewed(CHAIN[2], Arc::clone(&world)).await, 2);
    })
    .await;
}
