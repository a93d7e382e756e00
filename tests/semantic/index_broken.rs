//! An index that fails, hangs, panics or answers nonsense costs a call no more than its budget and never makes an answer wrong.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::semantic::index::Entry;
use stampede_runtime::store::BackendErrorKind;
use stampede_runtime::testing::Fault;
use stampede_runtime::{BackendState, Config, Outcome, Tier, outcome, semantic_coalesce};
use tokio::time::{Instant, advance, sleep};
use tracing::Level;

use super::help::{World, all, boarded, crowd, settle};
use super::parts::{FakeIndex, Parts, add_up, hasty, hasty_and_brief, patient};
use super::process::{BUDGET, DOWN, Log, SECOND, process_with};

#[semantic_coalesce(namespace = "broken", guard = none, ttl = "1h", skip(world))]
async fn ask(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "broken", guard = none, skip(world))]
async fn words(question: &str, world: Arc<World>) -> String {
    let _ = question;
    format!("answer {}", world.body().await)
}

const A: &str = "@0 one";
const B: &str = "@10 other";

/// Whatever the index does, both are answered, in flight they are one, and nobody waits longer than for two answers of it and
/// one write.
async fn all_are_answered(fault: Fault) {
    let parts = Parts::new();
    hasty(&parts, async {
        parts.index.always(fault.clone());
        let world = World::new();
        let began = Instant::now();
        let one = boarded(ask(A, Arc::clone(&world))).await;
        let equal = crowd(10, || ask(A, Arc::clone(&world))).await;
        let near = boarded(ask(B, Arc::clone(&world))).await;
        world.begun(1).await;
        // The other is about to meet it.
        sleep(4 * BUDGET).await;
        world.open_all();
        assert_eq!((one.await.unwrap(), near.await.unwrap()), (1, 1), "{fault:?}");
        assert_eq!((all(equal).await, world.runs()), (vec![1; 10], 1), "{fault:?}");
        assert!(began.elapsed() <= 6 * BUDGET, "{fault:?}");
        assert_eq!(ask(A, Arc::clone(&world)).await, 1, "{fault:?}");
        let stats = ask::stats();
        assert!(stats.semantic.index_failures > 0 && stats.semantic.index_writes == 0, "{stats}");
        assert_eq!(stats.backend_failures, 0, "it is no backend of bytes");
        add_up(&stats, 13);
        sleep(60 * SECOND).await;

        // It recovers.
        parts.index.always(Fault::None);
        sleep(10 * SECOND).await;
        assert_eq!(ask("@50 two", Arc::clone(&world)).await, 2, "{fault:?}");
        sleep(10 * SECOND).await;
        assert_eq!(ask("@80 three", Arc::clone(&world)).await, 3, "{fault:?}");
        settle().await;
        assert_eq!(ask("@81 four", Arc::clone(&world)).await, 3, "{fault:?}");
        assert_eq!(ask::stats().semantic.index_state, BackendState::Closed, "{fault:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unreachable() {
    all_are_answered(DOWN).await;
}

#[tokio::test(start_paused = true)]
async fn refusing() {
    all_are_answered(Fault::Fail(BackendErrorKind::Refused)).await;
}

#[tokio::test(start_paused = true)]
async fn full() {
    all_are_answered(Fault::Fail(BackendErrorKind::OutOfMemory)).await;
}

#[tokio::test(start_paused = true)]
async fn hanging() {
    all_are_answered(Fault::Hang).await;
}

#[tokio::test(start_paused = true)]
async fn slow() {
    all_are_answered(Fault::Delay(BUDGET + SECOND)).await;
}

#[tokio::test(start_paused = true)]
async fn panicking() {
    all_are_answered(Fault::Panic).await;
}

#[tokio::test(start_paused = true)]
async fn each_verb_may_be_broken_alone() {
    for verb in 0..6 {
        for fault in [DOWN, Fault::Hang, Fault::Panic] {
            let parts = Parts::new();
            hasty_and_brief(&parts, async {
                let index = &parts.index;
                let verbs = [&index.exact, &index.nearest, &index.put, &index.hit, &index.remove, &index.remove_near];
                verbs[verb].always(fault.clone());
                let world = World::at_ease();
                assert_eq!(ask(A, Arc::clone(&world)).await, 1);
                let near = ask(B, Arc::clone(&world)).await;
                assert!(near <= 2, "{verb} {fault:?}");
                assert_eq!(ask(A, Arc::clone(&world)).await, 1);
                assert_eq!(ask(B, Arc::clone(&world)).await, near);
                sleep(SECOND).await;
                let told = ask::invalidate(A).await;
                assert_eq!(told.is_err(), verb >= 4, "{verb} {fault:?}");
                assert!(ask(A, Arc::clone(&world)).await >= 2, "{verb} {fault:?}");
                add_up(&ask::stats(), 5);
            })
            .await;
        }
    }
}

/// After three failures in a row it is left alone, and each call that does without it is counted.
#[tokio::test(start_paused = true)]
async fn it_is_left_alone_after_three_failures() {
    let parts = Parts::new();
    let (log, _guard) = Log::install();
    hasty(&parts, async {
        parts.index.always(Fault::Hang);
        let world = World::at_ease();
        for at in 0..4 {
            ask(&format!("@{} of many", 40 * at), Arc::clone(&world)).await;
        }
        assert_eq!(ask::stats().semantic.index_state, BackendState::Open);
        let (asked, began) = (parts.index.exact.asked(), Instant::now());
        assert_eq!(ask("@-40 quick", Arc::clone(&world)).await, 5);
        assert_eq!((parts.index.exact.asked(), began.elapsed()), (asked, Duration::ZERO));
        let faults = ask::stats().semantic.index_faults;
        assert!(faults.timed_out >= 3 && faults.resting >= 1, "{faults:?}");
        assert_eq!(log.lines(Level::WARN).len(), 1, "{:?}", log.lines(Level::WARN));
        parts.index.always(Fault::None);
        sleep(5 * SECOND).await;
        assert_eq!(ask::stats().semantic.index_state, BackendState::Closed);
        assert_eq!(ask("@-80 last", Arc::clone(&world)).await, 6);
        settle().await;
        assert_eq!(ask("@-81 last", Arc::clone(&world)).await, 6);
        assert!(log.lines(Level::WARN).iter().all(|line| !line.contains("quick") && !line.contains("of many")));
    })
    .await;
}

/// What another program has put there.
#[tokio::test(start_paused = true)]
async fn what_is_not_understood_is_made_anew_and_replaced() {
    let lies: [fn(&mut Entry); 7] = [
        |entry| entry.response = String::new(),
        |entry| entry.response = "not JSON".into(),
        |entry| entry.response = "\"text\"".into(),
        |entry| entry.response = "null".into(),
        |entry| entry.response = "-1".into(),
        |entry| entry.response = "[".repeat(200_000),
        |entry| entry.response = format!("1{}", " ".repeat(2 << 20)),
    ];
    for (at, lie) in lies.into_iter().enumerate() {
        let (parts, world) = (Parts::new(), World::at_ease());
        patient(&parts, async { assert_eq!(ask(A, Arc::clone(&world)).await, 1) }).await;
        patient(&parts, async {
            parts.index.lies(Some(lie));
            assert_eq!(ask(B, Arc::clone(&world)).await, 2, "lie {at}");
            assert_eq!(ask(A, Arc::clone(&world)).await, 3, "lie {at}");
            let stats = ask::stats();
            // Of the two of the second question, one is its own.
            assert!(stats.decode_errors >= 2 && stats.cache_hits == 0, "lie {at}: {stats}");
            assert_eq!(stats.semantic.index_failures, 0, "lie {at}");
            add_up(&stats, 2);
            settle().await;
            parts.index.lies(None);
        })
        .await;
        patient(&parts, async { assert_eq!(ask(A, Arc::clone(&world)).await, 3, "lie {at}") }).await;
    }
}

/// Times that no clock can count.
#[tokio::test(start_paused = true)]
async fn the_longest_times_are_times() {
    let lies: [fn(&mut Entry); 4] = [
        |entry| entry.fresh = Duration::MAX,
        |entry| entry.age = Duration::MAX,
        |entry| entry.cost = Duration::MAX,
        |entry| {
            (entry.age, entry.fresh, entry.cost, entry.past) =
                (Duration::MAX, Duration::MAX, Duration::MAX, Duration::MAX);
        },
    ];
    for (at, lie) in lies.into_iter().enumerate() {
        let (parts, world) = (Parts::new(), World::at_ease());
        patient(&parts, async { assert_eq!(ask(A, Arc::clone(&world)).await, 1) }).await;
        patient(&parts, async {
            parts.index.lies(Some(lie));
            assert_eq!(ask(A, Arc::clone(&world)).await, 1, "lie {at}");
            assert_eq!(ask(B, Arc::clone(&world)).await, 1, "lie {at}");
            advance(SECOND).await;
            assert_eq!(ask(B, Arc::clone(&world)).await, 1, "lie {at}");
        })
        .await;
    }
    // What is long over is not served.
    let (parts, world) = (Parts::new(), World::at_ease());
    patient(&parts, async { assert_eq!(ask(A, Arc::clone(&world)).await, 1) }).await;
    patient(&parts, async {
        parts.index.lies(Some(|entry| (entry.fresh, entry.past) = (Duration::ZERO, Duration::MAX)));
        assert_eq!(ask(A, Arc::clone(&world)).await, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_similarity_is_not_near() {
    for similarity in [f32::NAN, -f32::NAN, f32::NEG_INFINITY, -1.0, 0.0] {
        let (parts, world) = (Parts::new(), World::at_ease());
        patient(&parts, async {
            assert_eq!(ask(A, Arc::clone(&world)).await, 1);
            settle().await;
            parts.index.says(Some(similarity));
            assert_eq!(ask(B, Arc::clone(&world)).await, 2, "{similarity}");
            assert_eq!(ask::stats().semantic.index_hits, 0);
        })
        .await;
    }
}

/// What could not be told is believed of nobody until something newer has been said.
#[tokio::test(start_paused = true)]
async fn a_failed_invalidation_is_said_and_wins_all_the_same() {
    for verb in [|index: &FakeIndex| index.remove.always(DOWN), |index: &FakeIndex| index.remove_near.always(DOWN)] {
        let parts = Parts::new();
        hasty_and_brief(&parts, async {
            let world = World::at_ease();
            assert_eq!((ask(A, Arc::clone(&world)).await, ask(B, Arc::clone(&world)).await), (1, 1));
            verb(&parts.index);
            ask::invalidate(A).await.unwrap_err();
            ask::invalidate(A).await.unwrap_err();
            assert_eq!((ask::peek(A), ask::peek(B)), (None, None));
            // Its entry may still be there.
            assert_eq!(ask(B, Arc::clone(&world)).await, 2);
            assert_eq!(ask(A, Arc::clone(&world)).await, 3);
            settle().await;
            // Whether what was put since has arrived or not, it is newer than what was taken out.
            assert_ne!(ask("@5 third", Arc::clone(&world)).await, 1);
            assert!(ask::stats().semantic.index_faults.unreachable >= 2);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_clear_is_said_and_wins_all_the_same() {
    for fault in [DOWN, Fault::Hang, Fault::Panic] {
        let parts = Parts::new();
        hasty_and_brief(&parts, async {
            let world = World::at_ease();
            for (at, question) in [A, "@50 two", "@100 three"].into_iter().enumerate() {
                assert_eq!(ask(question, Arc::clone(&world)).await, at + 1);
            }
            parts.index.clear.always(fault.clone());
            ask::clear().await.unwrap_err();
            for (at, question) in [B, "@55 near two", "@100 three"].into_iter().enumerate() {
                assert_eq!(ask(question, Arc::clone(&world)).await, at + 4, "{fault:?}");
            }
            for question in ["@2 again", "@57 again", "@102 again"] {
                assert!(ask(question, Arc::clone(&world)).await > 3, "{fault:?}");
            }
            sleep(10 * SECOND).await;
            parts.index.clear.always(Fault::None);
            // It is left alone for a moment, in the time of those who try it.
            while ask::clear().await.is_err() {
                sleep(SECOND).await;
            }
            assert!(ask("@3 again", Arc::clone(&world)).await > 3, "{fault:?}");
        })
        .await;
    }
}

/// Another process's, which nobody has told.
#[tokio::test(start_paused = true)]
async fn what_could_not_be_kept_is_kept_here_and_not_there() {
    for fault in [DOWN, Fault::Hang, Fault::Panic] {
        let (parts, world) = (Parts::new(), World::at_ease());
        hasty(&parts, async {
            parts.index.put.always(fault.clone());
            assert_eq!(words(A, Arc::clone(&world)).await, "answer 1");
            assert_eq!(words(A, Arc::clone(&world)).await, "answer 1");
            sleep(SECOND).await;
            let became = outcome(words(B, Arc::clone(&world))).await;
            assert_eq!(became, ("answer 2".into(), Some(Outcome::Executed)), "{fault:?}");
            assert_eq!(words::stats().semantic.index_writes, 0);
            parts.index.put.always(Fault::None);
        })
        .await;
        hasty(&parts, async { assert_eq!(words(A, Arc::clone(&world)).await, "answer 3") }).await;
    }
}

/// The index in this process needs no configuration; one of another name does, and says so.
#[tokio::test(start_paused = true)]
async fn an_index_of_another_name_is_another_one() {
    #[semantic_coalesce(namespace = "named", guard = none, backend = "main", skip(world))]
    async fn named(question: &str, world: Arc<World>) -> usize {
        let _ = question;
        world.body().await
    }

    let (parts, mine, world) = (Parts::new(), FakeIndex::new(), World::at_ease());
    process_with(parts.config().index("main", Arc::clone(&mine)), async {
        assert_eq!((named(A, Arc::clone(&world)).await, named(B, Arc::clone(&world)).await), (1, 1));
        assert_eq!((mine.put.asked(), parts.index.put.asked()), (1, 0));
        assert_eq!((ask(A, Arc::clone(&world)).await, ask(B, Arc::clone(&world)).await), (2, 2));
        assert_eq!((mine.put.asked(), parts.index.put.asked()), (1, 1));
    })
    .await;
    let (log, _guard) = Log::install();
    process_with(Config::builder().embedder(parts.compass.clone()), async {
        assert_eq!((named(A, Arc::clone(&world)).await, named(B, Arc::clone(&world)).await), (3, 3));
        let became = outcome(named("@5 third", Arc::clone(&world))).await.1;
        assert!(matches!(became, Some(Outcome::Semantic { tier: Tier::Index, .. })), "{became:?}");
        assert_eq!(log.lines(Level::ERROR).len(), 1);
    })
    .await;
}
