//! Any number of concurrent calls that mean the same are one execution, whoever leaves, and whenever the others come.

use std::pin::pin;
use std::sync::Arc;

use stampede_runtime::testing::Fault;
use stampede_runtime::{Outcome, Stats, outcome, semantic_coalesce};
use tokio::task::JoinHandle;

use super::help::{Bell, Trouble, World, all, boarded, crowd, ending, settle};
use super::parts::{Parts, Temper, add_up, patient};

#[semantic_coalesce(namespace = "one", guard = none, skip(world))]
async fn ask(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "one", guard = none, on_abandon = "finish", skip(world))]
async fn stubborn(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "one", guard = none, attached, skip(world))]
async fn attached(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "one", guard = none, attached, wait = "2s", skip(world))]
async fn impatient(question: &str, world: Arc<World>) -> Result<usize, Trouble> {
    let _ = question;
    Ok(world.body().await)
}

/// A hundred other words for what is asked at 0 degrees.
fn in_other_words(at: usize) -> String {
    format!("@{} in other words {at}", at % 20)
}

async fn crowd_of_paraphrases(world: &Arc<World>) -> Vec<JoinHandle<usize>> {
    let mut calls = Vec::new();
    for at in 0..100 {
        let world = Arc::clone(world);
        calls.push(boarded(async move { ask(&in_other_words(at), world).await }).await);
    }
    calls
}

fn executions(stats: &Stats) -> (u64, u64, u64) {
    (stats.executions, stats.coalesce_hits, stats.semantic.joined)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_equal_questions_are_embedded_and_executed_once() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let calls = crowd(100, || ask("@0 one", Arc::clone(&world))).await;
        world.open_all();
        assert_eq!(all(calls).await, [1; 100]);
        assert_eq!((parts.compass.texts(), parts.compass.batches()), (1, 1));
        add_up(&ask::stats(), 100);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn questions_that_are_equal_in_their_normal_form_are_one() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let first = boarded(ask("@0 What  is it?", Arc::clone(&world))).await;
        let second = boarded(outcome(ask(" @0 what is IT?\n", Arc::clone(&world)))).await;
        world.open_all();
        assert_eq!(first.await.unwrap(), 1);
        let (value, outcome) = second.await.unwrap();
        assert_eq!((value, world.runs()), (1, 1));
        let Some(Outcome::Joined { similarity }) = outcome else { panic!("{outcome:?}") };
        assert!(similarity > 0.999_999, "{similarity}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_paraphrases_are_one_execution() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let first = boarded(ask("@0 one", Arc::clone(&world))).await;
        let calls = crowd_of_paraphrases(&world).await;
        assert_eq!((world.runs(), parts.compass.texts()), (1, 101));
        world.open_all();
        assert_eq!((first.await.unwrap(), all(calls).await), (1, vec![1; 100]));
        assert_eq!(executions(&ask::stats()), (1, 100, 100));
        add_up(&ask::stats(), 101);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_caller_may_leave() {
    let parts = Parts::new();
    patient(&parts, async {
        for aborted in [true, false] {
            let world = World::new();
            let mut first = Box::pin(ask("@0 one", Arc::clone(&world)));
            let bell = Bell::new();
            assert!(bell.poll(first.as_mut()).is_pending());
            let calls = crowd_of_paraphrases(&world).await;
            // The other way it is polled no more.
            let parked = if aborted { None } else { Some(first) };
            settle().await;
            world.open_all();
            assert_eq!(all(calls).await, vec![1; 100]);
            assert_eq!((world.runs(), world.ended()), (1, 1));
            drop(parked);
            ask::clear().await.unwrap();
        }
        let stats = ask::stats();
        assert_eq!((stats.executions, stats.abandoned), (2, 0));
        add_up(&stats, 202);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_caller_may_leave_while_its_question_is_embedded() {
    let parts = Parts::new();
    patient(&parts, async {
        parts.compass.is(Temper::Waits);
        let world = World::new();
        let first = boarded(ask("@0 one", Arc::clone(&world))).await;
        let second = boarded(ask("@0 one", Arc::clone(&world))).await;
        let near = boarded(ask("@10 other", Arc::clone(&world))).await;
        first.abort();
        settle().await;
        parts.compass.open();
        settle().await;
        assert_eq!(world.runs(), 1);
        world.open_all();
        assert_eq!((second.await.unwrap(), near.await.unwrap()), (1, 1));
        assert_eq!(parts.compass.texts(), 2);
        add_up(&ask::stats(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_joined_keeps_the_execution_going_and_the_last_to_leave_ends_it() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let first = boarded(ask("@0 one", Arc::clone(&world))).await;
        let near = boarded(ask("@10 other", Arc::clone(&world))).await;
        let third = boarded(ask("@5 third", Arc::clone(&world))).await;
        first.abort();
        third.abort();
        settle().await;
        assert_eq!((world.runs(), ask::stats().abandoned), (1, 1), "only the third's own flight is over");
        near.abort();
        world.gone(1).await;
        settle().await;
        assert_eq!((world.runs(), world.ended(), ask::stats().in_flight), (1, 0, 0));
        // Nothing is left of it.
        world.open_all();
        assert_eq!(ask("@10 other", Arc::clone(&world)).await, 2);
        add_up(&ask::stats(), 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_may_go_on_and_answers_what_is_near() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let first = boarded(stubborn("@0 one", Arc::clone(&world))).await;
        let near = boarded(stubborn("@10 other", Arc::clone(&world))).await;
        first.abort();
        near.abort();
        settle().await;
        let late = boarded(stubborn("@5 third", Arc::clone(&world))).await;
        world.open_all();
        world.gone(1).await;
        assert_eq!(late.await.unwrap(), 1);
        for question in ["@0 one", "@10 other", "@15 last"] {
            assert_eq!(stubborn(question, Arc::clone(&world)).await, 1);
        }
        assert_eq!((world.runs(), world.ended()), (1, 1));
        add_up(&stubborn::stats(), 6);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_of_those_who_joined_an_attached_call_goes_on_for_all() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let first = boarded(attached("@0 one", Arc::clone(&world))).await;
        let mut near = Vec::new();
        for at in 0..10 {
            let world = Arc::clone(&world);
            near.push(boarded(async move { attached(&in_other_words(at), world).await }).await);
        }
        assert_eq!(world.runs(), 1);
        first.abort();
        settle().await;
        assert_eq!(world.runs(), 2, "exactly one of them begins anew");
        world.open_all();
        assert_eq!(all(near).await, vec![2; 10]);
        assert_eq!(world.runs(), 2);
        add_up(&attached::stats(), 11);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_parked_attached_call_holds_the_others_for_as_long_as_they_wait() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        parts.compass.is(Temper::Waits);
        let mut first = pin!(impatient("@0 one", Arc::clone(&world)));
        assert!(Bell::new().poll(first.as_mut()).is_pending());
        parts.compass.open();
        let equal = boarded(impatient("@0 one", Arc::clone(&world))).await;
        assert_eq!(ending(equal).await, "wait");
        assert_eq!(first.await.unwrap(), 1);
        add_up(&impatient::stats(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_on_its_way_to_the_index_is_found() {
    let parts = Parts::new();
    patient(&parts, async {
        parts.index.put.always(Fault::HoldCall);
        let world = World::at_ease();
        assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1);
        assert_eq!(ask("@10 other", Arc::clone(&world)).await, 1);
        assert_eq!(ask("@-10 other", Arc::clone(&world)).await, 1);
        assert_eq!(parts.index.put.asked(), 1);
        parts.index.put.release();
        settle().await;
        assert_eq!(ask("@5 other", Arc::clone(&world)).await, 1);
        add_up(&ask::stats(), 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_began_and_ended_during_a_look_up_is_met_at_its_end() {
    let parts = Parts::new();
    patient(&parts, async {
        // Looked before there was anything, and hears of it afterwards.
        parts.index.nearest.always(Fault::HoldAnswer);
        let world = World::at_ease();
        let slow = boarded(outcome(ask("@10 other", Arc::clone(&world)))).await;
        parts.index.nearest.always(Fault::None);
        assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1);
        settle().await;
        parts.index.nearest.release();
        let (value, outcome) = slow.await.unwrap();
        assert_eq!((value, world.runs()), (1, 1));
        assert!(matches!(outcome, Some(Outcome::Joined { .. })), "{outcome:?}");
        add_up(&ask::stats(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn near_questions_that_are_embedded_at_one_moment_are_one_execution() {
    let parts = Parts::new();
    patient(&parts, async {
        parts.compass.is(Temper::Waits);
        let world = World::new();
        let calls = crowd_of_paraphrases(&world).await;
        assert_eq!(world.runs(), 0);
        parts.compass.open();
        settle().await;
        world.open_all();
        let answers = all(calls).await;
        assert_eq!((answers, world.runs()), (vec![1; 100], 1));
        assert_eq!(parts.compass.texts(), 100);
        assert!(parts.compass.batches() < 10, "they are embedded together: {}", parts.compass.batches());
        add_up(&ask::stats(), 100);
    })
    .await;
}

/// A question that was taken out is executed anew at once, and others do not wait for the index to hear of it.
#[tokio::test(start_paused = true)]
async fn what_is_executed_while_the_index_is_told_is_joined() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        assert_eq!(ask("@90 far", World::at_ease()).await, 1);
        parts.index.remove.always(Fault::HoldCall);
        let told = ask::invalidate("@0 one");
        settle().await;
        let one = boarded(ask("@0 one", Arc::clone(&world))).await;
        let near = boarded(ask("@10 other", Arc::clone(&world))).await;
        assert_eq!(world.runs(), 1);
        parts.index.release();
        told.await.unwrap();
        settle().await;
        assert_eq!(world.runs(), 1);
        world.open_all();
        assert_eq!((one.await.unwrap(), near.await.unwrap()), (1, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_meet_too() {
    let parts = Parts::new();
    patient(&parts, async {
        for round in 0..50 {
            let world = World::at_ease();
            let mut calls = Vec::new();
            for at in 0..40 {
                let world = Arc::clone(&world);
                calls.push(tokio::spawn(async move { ask(&in_other_words(at), world).await }));
            }
            for call in calls {
                assert_eq!(call.await.unwrap(), 1, "round {round}");
            }
            assert_eq!(world.runs(), 1, "round {round}");
            ask::clear().await.unwrap();
        }
        add_up(&ask::stats(), 50 * 40);
    })
    .await;
}
