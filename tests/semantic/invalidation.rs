//! Invalidation wins, at whatever moment it comes: what was begun before it is given to those who wait already, and to nobody
//! else, under no question.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stampede_runtime::semantic::at_least;
use stampede_runtime::semantic_coalesce;
use stampede_runtime::testing::{Clock, Fault, isolate_with, settled};
use tokio::time::advance;

use super::help::{World, boarded, in_time, settle};
use super::parts::{Parts, Temper, add_up, patient};

#[semantic_coalesce(namespace = "invalidation", guard = none, skip(world))]
async fn ask(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

const A: &str = "@0 one";
/// Near to `A`, as `C` is. They are not near to each other.
const B: &str = "@20 two";
const C: &str = "@-20 three";

/// What takes an answer out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Invalidate(&'static str),
    Clear,
    /// With the value 100.
    Insert(&'static str),
}

impl Way {
    async fn go(self) {
        match self {
            Way::Invalidate(question) => ask::invalidate(question).await.map(drop).unwrap(),
            Way::Clear => ask::clear().await.map(drop).unwrap(),
            Way::Insert(question) => {
                ask::insert(question, 100);
                settle().await;
            }
        }
    }
}

/// What a call is answered with that comes after it all.
async fn now(question: &str, world: &Arc<World>) -> usize {
    world.open_all();
    ask(question, Arc::clone(world)).await
}

/// What begins at one moment with an invalidation may have begun after it.
async fn a_moment_later() {
    advance(Duration::from_millis(1)).await;
}

/// One test for each way.
macro_rules! in_each_way {
    ($($scenario:ident { $($name:ident($($case:tt)*),)* })*) => {$(
        mod $scenario {
            use super::*;

            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    let parts = Parts::new();
                    patient(&parts, super::$scenario($($case)*, &parts)).await;
                }
            )*
        }
    )*};
}

in_each_way! {
    of_what_is_executed {
        invalidated(Way::Invalidate(A)),
        cleared(Way::Clear),
        inserted(Way::Insert(A)),
    }
    of_what_lands_before_anybody_asks_again {
        invalidated(Way::Invalidate(A)),
        cleared(Way::Clear),
        inserted(Way::Insert(A)),
    }
    of_what_would_be_answered_by_what_is_executed {
        invalidated(Way::Invalidate(B), false),
        invalidated_and_landed(Way::Invalidate(B), true),
        inserted(Way::Insert(B), false),
        inserted_and_landed(Way::Insert(B), true),
    }
    of_what_has_joined {
        invalidated(Way::Invalidate(B)),
        invalidated_with_its_source(Way::Invalidate(A)),
        cleared(Way::Clear),
        inserted(Way::Insert(B)),
    }
    of_what_those_who_joined_wait_for {
        invalidated(Way::Invalidate(A)),
        cleared(Way::Clear),
        inserted(Way::Insert(A)),
    }
    of_what_is_being_embedded {
        invalidated(Way::Invalidate(B)),
        invalidated_with_its_source(Way::Invalidate(A)),
        cleared(Way::Clear),
        inserted(Way::Insert(B)),
    }
    of_what_the_index_is_about_to_say {
        invalidated(Way::Invalidate(B)),
        invalidated_with_its_source(Way::Invalidate(A)),
        cleared(Way::Clear),
        inserted(Way::Insert(B)),
        inserted_for_its_source(Way::Insert(A)),
    }
    of_what_is_on_its_way_to_the_index {
        not_there(Way::Invalidate(A), Fault::HoldCall),
        there(Way::Invalidate(A), Fault::HoldAnswer),
        near_and_not_there(Way::Invalidate(B), Fault::HoldCall),
        near_and_there(Way::Invalidate(B), Fault::HoldAnswer),
        cleared_and_not_there(Way::Clear, Fault::HoldCall),
        cleared_and_there(Way::Clear, Fault::HoldAnswer),
        inserted_and_not_there(Way::Insert(A), Fault::HoldCall),
        inserted_and_there(Way::Insert(A), Fault::HoldAnswer),
        inserted_near_and_not_there(Way::Insert(B), Fault::HoldCall),
        inserted_near_and_there(Way::Insert(B), Fault::HoldAnswer),
    }
}

async fn of_what_is_executed(way: Way, _: &Parts) {
    let world = World::new();
    let old = boarded(ask(A, Arc::clone(&world))).await;
    way.go().await;
    let arrives = boarded(ask(A, Arc::clone(&world))).await;
    let near = boarded(ask(B, Arc::clone(&world))).await;
    world.open_all();
    assert_eq!(old.await.unwrap(), 1);
    let new = if way == Way::Insert(A) { 100 } else { 2 };
    assert_eq!((arrives.await.unwrap(), near.await.unwrap()), (new, new));
    for question in [A, B, C] {
        assert_ne!(now(question, &world).await, 1, "{question}");
    }
    add_up(&ask::stats(), 6);
}

async fn of_what_lands_before_anybody_asks_again(way: Way, _: &Parts) {
    let world = World::new();
    let old = boarded(ask(A, Arc::clone(&world))).await;
    way.go().await;
    world.open_all();
    assert_eq!(old.await.unwrap(), 1);
    settle().await;
    let new = if way == Way::Insert(A) { 100 } else { 2 };
    for question in [A, B, C] {
        assert_eq!(now(question, &world).await, new, "{question}");
    }
}

/// `B` is taken out while `A`'s execution, which would answer it, is under way.
async fn of_what_would_be_answered_by_what_is_executed(way: Way, lands_first: bool, _: &Parts) {
    let world = World::new();
    let one = boarded(ask(A, Arc::clone(&world))).await;
    a_moment_later().await;
    way.go().await;
    if lands_first {
        world.open_all();
        settle().await;
    }
    let two = boarded(ask(B, Arc::clone(&world))).await;
    world.open_all();
    let new = if way == Way::Insert(B) { 100 } else { 2 };
    assert_eq!((one.await.unwrap(), two.await.unwrap()), (1, new));
    assert_eq!(now(B, &world).await, new);
}

/// The same, with `B` already waiting for `A`.
async fn of_what_has_joined(way: Way, _: &Parts) {
    let world = World::new();
    let one = boarded(ask(A, Arc::clone(&world))).await;
    let two = boarded(ask(B, Arc::clone(&world))).await;
    assert_eq!(world.runs(), 1);
    a_moment_later().await;
    way.go().await;
    world.open(1);
    assert_eq!((one.await.unwrap(), two.await.unwrap()), (1, 1), "those who wait get it");
    settle().await;
    let new = if way == Way::Insert(B) { 100 } else { 2 };
    assert_eq!(ask::peek(B), (way == Way::Insert(B)).then_some(100));
    assert_eq!(now(B, &world).await, new);
}

/// `A` is taken out, and the next to ask `B` finds a call of it that waits for `A`'s old execution.
async fn of_what_those_who_joined_wait_for(way: Way, _: &Parts) {
    let world = World::new();
    let one = boarded(ask(A, Arc::clone(&world))).await;
    let two = boarded(ask(B, Arc::clone(&world))).await;
    way.go().await;
    let arrives = boarded(ask(B, Arc::clone(&world))).await;
    world.open_all();
    assert_eq!((one.await.unwrap(), two.await.unwrap()), (1, 1));
    let new = if way == Way::Insert(A) { 100 } else { 2 };
    assert_eq!(arrives.await.unwrap(), new);
    assert_eq!(now(B, &world).await, new);
}

async fn of_what_is_being_embedded(way: Way, parts: &Parts) {
    let world = World::at_ease();
    assert_eq!(now(A, &world).await, 1);
    parts.compass.is(Temper::Waits);
    let old = boarded(ask(B, Arc::clone(&world))).await;
    // What takes out is embedded, too.
    let going = tokio::spawn(way.go());
    settle().await;
    parts.compass.open();
    let of_old = old.await.unwrap();
    going.await.unwrap();
    parts.compass.is(Temper::Well);
    let next = now(B, &world).await;
    match way {
        Way::Insert(_) => assert_eq!(next, 100),
        // Whether the first call was told before or after, the next one sees nothing that was made before.
        _ => assert!(next >= 2 && of_old <= next, "{of_old}, then {next}"),
    }
}

/// `B` asks the index, which has found `A` and not yet said so.
async fn of_what_the_index_is_about_to_say(way: Way, parts: &Parts) {
    let world = World::at_ease();
    assert_eq!(now(A, &world).await, 1);
    parts.index.nearest.always(Fault::HoldAnswer);
    let old = boarded(ask(B, Arc::clone(&world))).await;
    way.go().await;
    parts.index.nearest.release();
    let of_old = old.await.unwrap();
    assert!(of_old <= 2, "{of_old}");
    settle().await;
    parts.index.nearest.always(Fault::None);
    let next = now(B, &world).await;
    match way {
        Way::Insert(B) => assert_eq!(next, 100),
        // Its own, or what was put in.
        Way::Insert(_) => assert!(next == 2 || next == 100, "{of_old}, then {next}"),
        // Its own, or that was taken out, too.
        _ => assert!(next == 2 || next == 3, "{of_old}, then {next}"),
    }
}

async fn of_what_is_on_its_way_to_the_index(way: Way, fault: Fault, parts: &Parts) {
    let world = World::at_ease();
    parts.index.put.always(fault);
    assert_eq!(now(A, &world).await, 1);
    settle().await;
    a_moment_later().await;
    let going = tokio::spawn(way.go());
    settle().await;
    parts.index.put.release();
    going.await.unwrap();
    settle().await;
    let (Way::Invalidate(question) | Way::Insert(question)) = way else {
        assert_eq!((now(A, &world).await, now(B, &world).await), (2, 2));
        return;
    };
    let new = if let Way::Insert(_) = way { 100 } else { 2 };
    assert_eq!(now(question, &world).await, new);
    // Where two answers overtook one another, the index may have neither.
    assert_ne!(now(B, &world).await, 1);
}

/// Exactly `A`, which memory does not have any more.
#[tokio::test(start_paused = true)]
async fn of_what_the_index_is_about_to_say_exactly() {
    let parts = Parts::new();
    let world = World::at_ease();
    patient(&parts, async { assert_eq!(now(A, &world).await, 1) }).await;
    patient(&parts, async {
        parts.index.exact.always(Fault::HoldAnswer);
        let old = boarded(ask(A, Arc::clone(&world))).await;
        Way::Invalidate(A).go().await;
        parts.index.exact.release();
        assert_eq!(old.await.unwrap(), 1);
        settle().await;
        parts.index.exact.always(Fault::None);
        assert_eq!(now(A, &world).await, 2);
        assert_eq!(now(B, &world).await, 2);
    })
    .await;
}

/// While the index is being told, the answer that it still has is nobody's.
#[tokio::test(start_paused = true)]
async fn before_the_index_has_heard_of_it() {
    for verb in [
        |parts: &Parts| parts.index.remove.always(Fault::HoldCall),
        |parts: &Parts| parts.index.remove_near.always(Fault::HoldCall),
    ] {
        let parts = Parts::new();
        patient(&parts, async {
            let world = World::at_ease();
            assert_eq!(now(A, &world).await, 1);
            verb(&parts);
            let told = ask::invalidate(A);
            settle().await;
            assert_eq!(now(B, &world).await, 2);
            let third = now(A, &world).await;
            assert!(third == 2 || third == 3, "{third}");
            parts.index.release();
            told.await.unwrap();
            settle().await;
            assert!(now(C, &world).await >= 2);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_one_reaches_what_it_answered_and_not_what_others_did() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        let far = "@90 far";
        assert_eq!((now(A, &world).await, now(far, &world).await), (1, 2));
        assert_eq!((now(B, &world).await, now("@95 far", &world).await), (1, 2));
        ask::invalidate(A).await.unwrap();
        assert_eq!((ask::peek(A), ask::peek(B), ask::peek("@95 far")), (None, None, Some(2)));
        assert_eq!((now(far, &world).await, now("@100 far", &world).await), (2, 2));
        assert_eq!((now(B, &world).await, now(A, &world).await), (3, 3));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_newer_than_what_was_under_way() {
    for question in [A, B] {
        let parts = Parts::new();
        patient(&parts, async {
            let world = World::new();
            let old = boarded(ask(A, Arc::clone(&world))).await;
            let new = boarded(ask::refresh(question, Arc::clone(&world))).await;
            assert_eq!(world.runs(), 2, "{question}");
            world.open_all();
            assert_eq!((old.await.unwrap(), new.await.unwrap()), (1, 2));
            settle().await;
            assert_eq!(now(question, &world).await, 2, "{question}");
            // Where two answers overtook one another, the index may have neither.
            assert_ne!(now(if question == A { C } else { "@30 more" }, &world).await, 1, "{question}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_near_joins_a_refresh_and_not_what_it_is_to_replace() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let old = boarded(ask(A, Arc::clone(&world))).await;
        let new = boarded(ask::refresh(A, Arc::clone(&world))).await;
        let near = boarded(ask(B, Arc::clone(&world))).await;
        world.open_all();
        assert_eq!((old.await.unwrap(), new.await.unwrap()), (1, 2));
        assert_eq!(near.await.unwrap(), 2);
    })
    .await;
}

/// Calls that insist on more have answers of their own, which are answers to the same question.
#[tokio::test(start_paused = true)]
async fn of_a_question_is_one_of_those_who_insist_on_more_too() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(at_least(0.99, ask(A, Arc::clone(&world))).await, 1);
        assert_eq!(ask(A, Arc::clone(&world)).await, 1);
        ask::invalidate(A).await.unwrap();
        assert_eq!(at_least(0.99, ask(A, Arc::clone(&world))).await, 2);
        // In flight.
        ask::clear().await.unwrap();
        let world = World::new();
        let old = boarded(at_least(0.99, ask(A, Arc::clone(&world)))).await;
        ask::invalidate(A).await.unwrap();
        let new = boarded(at_least(0.99, ask(A, Arc::clone(&world)))).await;
        world.open_all();
        assert_eq!((old.await.unwrap(), new.await.unwrap()), (1, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_insists_on_more_takes_out_as_much() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(ask(A, Arc::clone(&world)).await, 1);
        at_least(0.99, async { ask::invalidate(A).await.unwrap() }).await;
        assert_eq!(ask(A, Arc::clone(&world)).await, 2);
        at_least(0.99, async { ask::insert(A, 100) }).await;
        settle().await;
        assert_eq!(ask(A, Arc::clone(&world)).await, 100);
        at_least(0.99, ask::refresh(A, Arc::clone(&world))).await;
        assert_eq!(ask(A, Arc::clone(&world)).await, 3);
    })
    .await;
}

/// Nobody is missed for being taken out by somebody else at the same moment. Here that moment is when the value that is replaced
/// is dropped.
#[tokio::test(start_paused = true)]
async fn while_a_refresh_takes_out_what_is_older() {
    #[derive(Clone, Serialize, Deserialize)]
    struct Answer {
        number: usize,
        #[serde(skip)]
        _last: Option<Arc<Last>>,
    }

    struct Last;

    impl Drop for Last {
        fn drop(&mut self) {
            drop(renewed::invalidate("@0   one"));
        }
    }

    #[semantic_coalesce(namespace = "invalidation", guard = none, skip(world))]
    async fn renewed(question: &str, world: Arc<World>) -> Answer {
        let _ = question;
        let number = world.body().await;
        Answer { number, _last: (number == 1).then(|| Arc::new(Last)) }
    }

    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(renewed("@0 one", Arc::clone(&world)).await.number, 1);
        settle().await;
        advance(Duration::from_millis(1)).await;
        assert_eq!(renewed::refresh("@0  one", Arc::clone(&world)).await.number, 2);
        assert_eq!(renewed("@0  one", Arc::clone(&world)).await.number, 3);
    })
    .await;
}

/// When an execution began does not depend on how long it takes to decide what becomes of its value.
#[tokio::test(start_paused = true)]
async fn of_what_is_near_to_what_is_decided_for_long() {
    static CLOCK: OnceLock<Clock> = OnceLock::new();

    fn is_decided() -> bool {
        CLOCK.get().expect("it is there").advance(Duration::from_secs(60));
        true
    }

    #[semantic_coalesce(namespace = "invalidation", guard = none, cache_if = |_| is_decided(), skip(world))]
    async fn decided(question: &str, world: Arc<World>) -> usize {
        let _ = question;
        world.body().await
    }

    let parts = Parts::new();
    let isolated = isolate_with(parts.config().build().unwrap());
    let clock = CLOCK.get_or_init(|| isolated.clock());
    in_time(async {
        let world = World::new();
        let first = boarded(decided(A, Arc::clone(&world))).await;
        world.begun(1).await;
        clock.advance(Duration::from_millis(1));
        decided::invalidate(B).await.unwrap();
        world.open_all();
        assert_eq!(first.await.unwrap(), 1);
        settled().await;
        assert_eq!(decided(B, Arc::clone(&world)).await, 2);
    })
    .await;
}
