//! Bodies that ask in other words what they are to answer never wait for themselves.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use stampede_runtime::semantic::at_least;
use stampede_runtime::{Outcome, outcome, semantic_coalesce};

use super::help::{Trouble, World, boarded, settle};
use super::parts::{Parts, patient};

/// Asks the first of `then`, which asks the next.
#[semantic_coalesce(namespace = "nests", guard = none, skip(then, world))]
async fn ponder(question: &str, then: &'static [&'static str], world: Arc<World>) -> String {
    let number = world.body().await;
    match then {
        [] => format!("{number}"),
        [next, then @ ..] => {
            let deeper: Pin<Box<dyn Future<Output = String> + Send>> = Box::pin(ponder(next, then, Arc::clone(&world)));
            format!("{number} of {}", deeper.await)
        }
    }
}

/// Asks `pong`, as long as it is told to.
#[semantic_coalesce(namespace = "nests", guard = none, skip(then, world))]
async fn ping(question: &str, then: &'static [&'static str], world: Arc<World>) -> String {
    let number = world.body().await;
    match then {
        [] => format!("ping {number}"),
        [next, then @ ..] => {
            let deeper: Pin<Box<dyn Future<Output = String> + Send>> = Box::pin(pong(next, then, Arc::clone(&world)));
            format!("ping {number} of {}", deeper.await)
        }
    }
}

/// The other way.
#[semantic_coalesce(namespace = "nests", guard = none, skip(then, world))]
async fn pong(question: &str, then: &'static [&'static str], world: Arc<World>) -> String {
    let number = world.body().await;
    match then {
        [] => format!("pong {number}"),
        [next, then @ ..] => {
            let deeper: Pin<Box<dyn Future<Output = String> + Send>> = Box::pin(ping(next, then, Arc::clone(&world)));
            format!("pong {number} of {}", deeper.await)
        }
    }
}

/// One at a time.
#[semantic_coalesce(namespace = "nests", guard = none, max_concurrent = 1, skip(then, world))]
async fn alone_at_it(question: &str, then: &'static [&'static str], world: Arc<World>) -> Result<String, Trouble> {
    let number = world.body().await;
    match then {
        [] => Ok(format!("{number}")),
        [next, then @ ..] => {
            let deeper: Pin<Box<dyn Future<Output = Result<String, Trouble>> + Send>> =
                Box::pin(alone_at_it(next, then, Arc::clone(&world)));
            Ok(format!("{number} of {}", deeper.await?))
        }
    }
}

/// Runs its body in the call.
#[semantic_coalesce(namespace = "nests", guard = none, attached, skip(then, world))]
async fn attached(question: &str, then: &'static [&'static str], world: Arc<World>) -> String {
    let number = world.body().await;
    match then {
        [] => format!("{number}"),
        [next, then @ ..] => {
            let deeper: Pin<Box<dyn Future<Output = String>>> = Box::pin(attached(next, then, Arc::clone(&world)));
            format!("{number} of {}", deeper.await)
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_may_ask_its_own_question_in_other_words() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        let circle: &[&str] = &["@10 other", "@0 one", "@5 third", "@10 other"];
        assert_eq!(ponder("@0 one", circle, Arc::clone(&world)).await, "1 of 2 of 3 of 4 of 5");
        assert_eq!(attached("@0 one", circle, Arc::clone(&world)).await, "6 of 7 of 8 of 9 of 10");
        let stats = ponder::stats();
        assert_eq!((stats.in_flight, stats.requests), (0, 5), "{stats}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn so_may_one_of_a_function_that_does_one_thing_at_a_time() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        let circle: &[&str] = &["@10 other", "@0 one", "@80 far", "@5 third"];
        let answer = alone_at_it("@0 one", circle, Arc::clone(&world)).await.unwrap();
        assert_eq!(answer, "1 of 2 of 3 of 4 of 5");
        assert_eq!(alone_at_it::stats().in_flight, 0);
    })
    .await;
}

/// What queues for the permit that its own body holds would never begin.
#[tokio::test(start_paused = true)]
async fn nor_does_it_join_what_waits_for_its_end() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        // The body asks in other words what another call has asked meanwhile, and what queues behind the body.
        let first = boarded(alone_at_it("@0 one", &["@80 other"], Arc::clone(&world))).await;
        let queued = boarded(alone_at_it("@90 far", &[], Arc::clone(&world))).await;
        assert_eq!(world.runs(), 1);
        world.open_all();
        assert_eq!(first.await.unwrap().unwrap(), "1 of 2");
        assert_eq!(queued.await.unwrap().unwrap(), "3");
        assert_eq!(alone_at_it::stats().in_flight, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn others_may_have_joined_before_it_asks() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        // The body asks what another call has asked meanwhile, and what waits for the body.
        let first = boarded(ponder("@0 one", &["@10 other"], Arc::clone(&world))).await;
        let joined = boarded(ponder("@10 other", &[], Arc::clone(&world))).await;
        let equal = boarded(ponder("@0 one", &[], Arc::clone(&world))).await;
        assert_eq!(world.runs(), 1);
        world.open_all();
        assert_eq!(first.await.unwrap(), "1 of 2");
        assert_eq!((joined.await.unwrap(), equal.await.unwrap()), ("1 of 2".into(), "1 of 2".into()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_functions_may_ask_each_other() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        let answer = ping("@0 one", &["@0 one", "@10 other", "@10 other", "@0 one"], Arc::clone(&world)).await;
        assert_eq!(answer, "ping 1 of pong 2 of ping 3 of pong 4 of ping 5");
        assert_eq!((ping::stats().in_flight, pong::stats().in_flight), (0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_calls_may_close_a_circle() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        // Each asks of the other function what that one is about to ask of it, in other words.
        let one = boarded(ping("@0 one", &["@10 other"], Arc::clone(&world))).await;
        let two = boarded(pong("@5 one", &["@10 other"], Arc::clone(&world))).await;
        assert_eq!(world.runs(), 2);
        world.open_all();
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        // One of them joined, and the other did not wait for it.
        assert!(world.runs() == 3 && one.matches(" of ").count() <= 2, "{one}; {two}; {}", world.runs());
        assert_eq!((ping::stats().in_flight, pong::stats().in_flight), (0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_body_asks_says_nothing_of_its_call() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        ponder("@80 known", &[], Arc::clone(&world)).await;
        // Its own question is near to nothing, and what it asks is.
        let (answer, outcome) = outcome(at_least(0.99, ponder("@0 one", &["@90 other"], Arc::clone(&world)))).await;
        assert_eq!((&*answer, outcome), ("2 of 1", Some(Outcome::Executed)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_waits_for_what_waits_for_it_elsewhere_is_ended_by_nobody_and_others_go_on() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let one = boarded(ponder("@0 one", &["@50 two"], Arc::clone(&world))).await;
        let two = boarded(ponder("@50 two", &["@0 one"], Arc::clone(&world))).await;
        let near_one = boarded(ponder("@10 one", &[], Arc::clone(&world))).await;
        let near_two = boarded(ponder("@60 two", &[], Arc::clone(&world))).await;
        settle().await;
        assert_eq!(world.runs(), 2);
        world.open_all();
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        assert_eq!((near_one.await.unwrap(), near_two.await.unwrap()), (one, two));
        assert_eq!(ponder::stats().in_flight, 0);
    })
    .await;
}
