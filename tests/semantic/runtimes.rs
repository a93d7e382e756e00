//! Runtimes come and go, and threads block: flights that mean the same are shared as far as they can be moved, and nobody waits
//! for what nobody moves.
//!
//! State is per runtime in an isolated test, and these tests are about calls from several: each has functions of its own, which
//! bring their embedder.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use stampede_runtime::testing::{Isolated, isolate_with};
use stampede_runtime::{Config, Outcome, Tier, outcome, semantic_coalesce};
use tokio::runtime::{Builder, Runtime};

use super::help::{World, boarded, crowd, in_time_blocking, until};
use super::parts::{Compass, add_up, direction};

fn threads(number: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(number).enable_all().build().expect("threads can be had")
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("no resources are needed")
}

async fn compass(texts: Vec<String>) -> Result<Vec<Vec<f32>>, Error> {
    Ok(texts.iter().map(|text| direction(text)).collect())
}

#[test]
fn near_flights_are_shared_between_runtimes() {
    #[semantic_coalesce(namespace = "runtimes_shared", guard = none, embed = compass, skip(world))]
    async fn ask(question: &str, world: Arc<World>) -> usize {
        let _ = question;
        world.body().await
    }

    in_time_blocking(|| {
        let (one, two) = (threads(1), threads(1));
        let world = World::new();
        let first = one.block_on(boarded(ask("@0 one", Arc::clone(&world))));
        until(|| world.runs() == 1);
        let second = two.block_on(boarded(outcome(ask("@10 other", Arc::clone(&world)))));
        until(|| ask::stats().semantic.embedding_batches == 2);
        world.open_all();
        assert_eq!(one.block_on(first).expect("no panic"), 1);
        let (value, became) = two.block_on(second).expect("no panic");
        assert!(value == 1 && world.runs() == 1, "{became:?}");
    });
}

#[test]
fn those_who_joined_go_on_together_when_the_runtime_ends() {
    #[semantic_coalesce(namespace = "runtimes_dying", guard = none, embed = compass, skip(world))]
    async fn ask(question: &str, world: Arc<World>) -> usize {
        let _ = question;
        world.body().await
    }

    in_time_blocking(|| {
        for background in [true, false] {
            let (dying, living) = (threads(1), threads(2));
            let world = World::new();
            let lost = dying.block_on(boarded(ask("@0 one", Arc::clone(&world))));
            until(|| world.runs() == 1);
            let joined = ask::stats().semantic.embedding_batches;
            let near = living.block_on(crowd(5, || ask("@10 other", Arc::clone(&world))));
            until(|| ask::stats().semantic.embedding_batches > joined);
            thread::yield_now();
            if background {
                dying.shutdown_background();
            } else {
                drop(dying);
            }
            living.block_on(async {
                world.begun(2).await;
                world.open_all();
                for call in near {
                    assert_eq!(call.await.expect("no panic"), 2);
                }
                assert!(lost.await.is_err());
                ask::clear().await.unwrap();
            });
            assert_eq!(world.runs(), 2);
        }
        assert_eq!(ask::stats().in_flight, 0);
    });
}

/// Nobody else moves what a current-thread runtime drives, so nobody else joins it.
#[test]
fn a_current_thread_runtime_that_stands_still_holds_nobody() {
    #[semantic_coalesce(namespace = "runtimes_still", guard = none, embed = compass, skip(world))]
    async fn ask(question: &str, world: Arc<World>) -> usize {
        let _ = question;
        world.body().await
    }

    in_time_blocking(|| {
        let (still, living) = (current_thread(), threads(1));
        let (one, two) = (World::new(), World::at_ease());
        let first = still.block_on(boarded(ask("@0 one", Arc::clone(&one))));
        still.block_on(one.begun(1));
        assert_eq!(living.block_on(ask("@10 other", Arc::clone(&two))), 1);
        assert_eq!(living.block_on(ask("@0 one", Arc::clone(&two))), 1);
        assert_eq!(current_thread().block_on(ask("@5 third", Arc::clone(&two))), 1);
        assert_eq!(two.runs(), 1);
        one.open_all();
        assert_eq!(still.block_on(first).unwrap(), 1);
    });
}

/// One after the other, as tests have them; each leaves something under way.
#[test]
fn runtimes_that_end_leave_nothing_behind() {
    #[semantic_coalesce(namespace = "runtimes_ending", guard = none, embed = compass, skip(world))]
    async fn ask(question: &str, world: Arc<World>) -> usize {
        let _ = question;
        world.body().await
    }

    in_time_blocking(|| {
        for round in 0..50 {
            let world = World::new();
            let runtime = if round % 2 == 0 { current_thread() } else { threads(2) };
            let question = format!("@{} of round {round}", round * 7);
            runtime.block_on(async {
                let question = question.clone();
                let world = Arc::clone(&world);
                drop(boarded(async move { ask(&question, world).await }).await);
                tokio::task::yield_now().await;
            });
            drop(runtime);
            world.open_all();
            assert_eq!(ask::stats().in_flight, 0, "round {round}");
            let next = World::at_ease();
            let became = current_thread().block_on(outcome(ask(&question, next))).1;
            assert!(became.is_some(), "round {round}");
        }
    });
}

fn blocking_world() -> (Compass, Isolated) {
    let compass = Compass::default();
    let config = Config::builder().embedder(compass.clone()).build().expect("it is right");
    (compass, isolate_with(config))
}

/// A sync body that counts, and waits until it is let go.
#[derive(Default)]
struct Gate {
    begun: AtomicUsize,
    open: AtomicUsize,
}

impl Gate {
    fn body(&self) -> usize {
        let number = self.begun.fetch_add(1, SeqCst) + 1;
        until(|| self.open.load(SeqCst) >= number);
        number
    }
}

#[test]
fn a_sync_function_finds_what_is_near() {
    #[semantic_coalesce(namespace = "runtimes_sync", guard = none, skip(gate))]
    fn ask(question: &str, gate: Arc<Gate>) -> usize {
        let _ = question;
        gate.body()
    }

    in_time_blocking(|| {
        let (compass, _isolated) = blocking_world();
        let gate = Arc::new(Gate { open: AtomicUsize::new(usize::MAX), ..Gate::default() });
        // Outside of any runtime.
        assert_eq!(ask("@0 one", Arc::clone(&gate)), 1);
        until(|| ask::stats().semantic.index_writes == 1);
        assert_eq!((ask("@10 other", Arc::clone(&gate)), ask("@0 one", Arc::clone(&gate))), (1, 1));
        assert_eq!(ask("@40 far", Arc::clone(&gate)), 2);
        let (_, became) = current_thread().block_on(outcome(async { ask("@10 other", Arc::clone(&gate)) }));
        assert!(
            matches!(became, Some(Outcome::Semantic { tier: Tier::Memory, .. } | Outcome::Executed)),
            "an isolated thread, or a runtime of its own: {became:?}"
        );
        assert!(compass.texts() >= 3);
        add_up(&ask::stats(), 4);
    });
}

#[test]
fn threads_that_ask_the_same_in_other_words_wait_for_one_execution() {
    #[semantic_coalesce(namespace = "runtimes_blocking", guard = none, embed = compass, skip(gate))]
    fn ask(question: &str, gate: Arc<Gate>) -> usize {
        let _ = question;
        gate.body()
    }

    in_time_blocking(|| {
        let gate = Arc::<Gate>::default();
        let call = |question: String| {
            let gate = Arc::clone(&gate);
            thread::spawn(move || ask(&question, gate))
        };
        let first = call("@0 one".into());
        until(|| gate.begun.load(SeqCst) == 1);
        let near: Vec<_> = (0..8).map(|at| call(format!("@{at} other"))).collect();
        until(|| ask::stats().embeddings_generated == 9);
        gate.open.store(usize::MAX, SeqCst);
        assert_eq!(first.join().unwrap(), 1);
        for call in near {
            assert_eq!(call.join().unwrap(), 1);
        }
        assert_eq!(gate.begun.load(SeqCst), 1);
        ask::invalidate("@3 other");
        ask::clear();
        assert_eq!(ask("@5 last", Arc::clone(&gate)), 2);
        add_up(&ask::stats(), 10);
    });
}

/// Its own question in other words, from inside.
#[test]
fn a_sync_body_may_ask_its_own_question_in_other_words() {
    #[semantic_coalesce(namespace = "runtimes_nested", guard = none, embed = compass, skip(depth))]
    fn ask(question: &str, depth: usize) -> usize {
        if depth == 0 { 0 } else { 1 + ask(&format!("@{depth} other"), depth - 1) }
    }

    in_time_blocking(|| {
        assert_eq!(ask("@0 one", 5), 5);
        assert_eq!(ask::stats().in_flight, 0);
    });
}
