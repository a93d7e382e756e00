//! `verify` is asked about near hits and about no others; whatever it does not say is a miss.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use stampede_runtime::semantic::from_fn;
use stampede_runtime::testing::Host;
use stampede_runtime::{Config, Outcome, Settings, outcome, semantic_coalesce};

use super::place::{add_up, alone, alone_with, gate, is_near, kept, turns};

/// What was asked: the question, the question found, and its answer.
static ASKED: Mutex<Vec<[String; 3]>> = Mutex::new(Vec::new());

#[expect(clippy::unused_async, reason = "`verify` takes async functions")]
async fn noted(asked: &str, found: &str, answer: &str) -> bool {
    let noted = [asked, found, answer].map(str::to_owned);
    ASKED.lock().unwrap_or_else(PoisonError::into_inner).push(noted);
    true
}

#[semantic_coalesce(namespace = "verify", guard = none, verify = noted)]
async fn of_text(question: &str) -> String {
    format!("answer to {question}")
}

#[tokio::test]
async fn it_is_asked_with_both_questions_and_the_answer() {
    alone(async {
        of_text("@0 First  Words").await;
        kept().await;
        let (answer, became) = outcome(of_text("@10 other Words ")).await;
        assert!(answer == "answer to @0 First  Words" && is_near(became), "{answer} {became:?}");
        // The same in its normal form, and from memory.
        of_text("@0 first words").await;
        of_text("@10 other Words ").await;
        let asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(asked, [["@10 other Words", "@0 First Words", "answer to @0 First  Words"]]);
        let stats = of_text::stats();
        assert_eq!((stats.executions, stats.semantic.verify.same, stats.semantic_hits), (1, 1, 2), "{stats:#?}");
        assert_eq!(stats.semantic.verify.time.count, 1);
        add_up(&stats);
    })
    .await;
}

/// Says what the question asks it to say, of an answer that is a number.
async fn told(asked: &str, _found: &str, _answer: &usize) -> Result<bool, String> {
    match asked.split_whitespace().last() {
        Some("fails") => Err("expected".to_owned()),
        Some("panics") => panic!("expected"),
        Some("hangs") => std::future::pending().await,
        Some("differs") => Ok(false),
        _ => Ok(true),
    }
}

static RUNS: AtomicUsize = AtomicUsize::new(1);

#[semantic_coalesce(namespace = "verify", guard = none, verify = told)]
async fn numbered(question: &str) -> usize {
    let _ = question;
    RUNS.fetch_add(1, SeqCst)
}

#[tokio::test(start_paused = true)]
async fn what_it_refuses_is_executed() {
    alone(async {
        let first = numbered("@0 one").await;
        kept().await;
        let (answer, became) = outcome(numbered("@5 this differs")).await;
        assert!(answer != first && became == Some(Outcome::Executed), "{became:?}");
        kept().await;
        // It has an entry of its own now, which is nearer to the next one.
        assert_eq!(numbered("@6 same").await, answer);
        let stats = numbered::stats();
        assert_eq!((stats.semantic.verify.different, stats.semantic.verify.same), (1, 1), "{stats:#?}");
        assert_eq!((stats.executions, stats.semantic_hits), (2, 1));
        add_up(&stats);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn behind_what_it_refuses_the_next_nearest_are_looked_at_up_to_three() {
    /// The answer to accept.
    static RIGHT: AtomicUsize = AtomicUsize::new(0);
    #[expect(clippy::unused_async, reason = "`verify` takes async functions")]
    async fn is_right(_: &str, _: &str, answer: &usize) -> bool {
        *answer == RIGHT.load(SeqCst)
    }
    #[semantic_coalesce(namespace = "verify", guard = none, verify = is_right)]
    async fn by_answer(question: &str) -> usize {
        RUNS.fetch_add(1, SeqCst) + question.len() * 1_000_000
    }
    alone(async {
        // 15 degrees apart, so that none is near to another.
        let far = [by_answer("@0 a").await, by_answer("@25 b").await];
        kept().await;
        RIGHT.store(far[1], SeqCst);
        assert_eq!(by_answer("@12 between").await, far[1], "the second of the two");
        assert_eq!(by_answer::stats().semantic.verify.different, 1);
        by_answer::clear().await.unwrap();
        RIGHT.store(0, SeqCst);
        for degrees in ["@1", "@2", "@3", "@4", "@5"] {
            by_answer(&format!("{degrees} x")).await;
            kept().await;
        }
        let before = by_answer::stats().semantic.verify.different;
        let (_, became) = outcome(by_answer("@0 y")).await;
        assert_eq!(became, Some(Outcome::Executed));
        assert_eq!(by_answer::stats().semantic.verify.different - before, 3);
        add_up(&by_answer::stats());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_error_a_panic_and_too_long_a_wait_are_misses_and_then_it_rests() {
    alone(async {
        let first = numbered("@0 one").await;
        kept().await;
        let began = tokio::time::Instant::now();
        for question in ["@1 fails", "@2 panics", "@3 hangs"] {
            let (answer, became) = outcome(numbered(question)).await;
            assert!(answer != first && became == Some(Outcome::Executed), "{question}: {became:?}");
            numbered::invalidate(question).await.unwrap();
            // The invalidation went by meaning.
            numbered::insert("@0 one", first);
            kept().await;
        }
        assert_eq!(began.elapsed().as_secs(), 2, "that is the default of `verify_timeout`");
        let (_, became) = outcome(numbered("@4 same")).await;
        assert_eq!(became, Some(Outcome::Executed), "it is left alone");
        let verify = numbered::stats().semantic.verify;
        assert_eq!([verify.failed, verify.panicked, verify.timed_out, verify.resting], [1; 4], "{verify:?}");
        assert_eq!((verify.same, verify.different, verify.failures()), (0, 0, 4));
        add_up(&numbered::stats());
        numbered::clear().await.unwrap();
        numbered::insert("@0 one", first);
        kept().await;
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(numbered("@4 same").await, first, "the rest is over");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn its_time_is_what_the_configuration_says() {
    let settings = Settings::new().verify_timeout(Duration::from_secs(7)).backend_timeout(Duration::from_secs(3_600));
    alone_with(settings, async {
        numbered("@0 one").await;
        kept().await;
        let began = tokio::time::Instant::now();
        numbered("@3 hangs").await;
        assert_eq!(began.elapsed().as_secs(), 7);
    })
    .await;
}

/// The second nearest is no younger for having waited.
#[tokio::test(start_paused = true)]
async fn what_is_looked_at_next_grows_old_while_it_thinks() {
    /// Thinks of the nearest for as long as the question says, and refuses it.
    async fn thinks(asked: &str, found: &str, _: &usize) -> bool {
        if found.starts_with("@0") {
            let seconds = asked.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default();
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            return false;
        }
        true
    }
    #[semantic_coalesce(namespace = "verify", guard = none, verify = thinks, verify_timeout = "1h", ttl = "30s")]
    async fn aging(question: &str) -> usize {
        let _ = question;
        RUNS.fetch_add(1, SeqCst)
    }
    alone(async {
        let far = [aging("@0 a").await, aging("@25 b").await];
        kept().await;
        assert_eq!(aging("@12 between, after 20").await, far[1]);
        tokio::time::advance(Duration::from_secs(11)).await;
        let (answer, became) = outcome(aging("@12 between, after 20")).await;
        assert!(
            answer != far[1] && became == Some(Outcome::Executed),
            "it is kept no longer than the other: {became:?}"
        );
        aging::clear().await.unwrap();
        let far = [aging("@0 a").await, aging("@25 b").await];
        kept().await;
        let (answer, became) = outcome(aging("@12 between, after 40")).await;
        assert!(answer != far[1] && became == Some(Outcome::Executed), "it is not taken when it is over: {became:?}");
        add_up(&aging::stats());
    })
    .await;
}

/// Times that no clock can count.
#[tokio::test]
async fn one_may_wait_for_ever() {
    let settings = Settings::new().verify_timeout(Duration::MAX).backend_timeout(Duration::MAX);
    alone_with(settings.embed_timeout(Duration::MAX), async {
        let first = numbered("@0 one").await;
        kept().await;
        assert_eq!(numbered("@5 same").await, first);
        numbered::clear().await.unwrap();
        assert_ne!(numbered("@5 same").await, first);
    })
    .await;
}

#[tokio::test]
async fn while_as_many_are_verified_as_may_be_others_are_executed() {
    async fn waits(_: &str, _: &str, _: &usize) -> Result<bool, Infallible> {
        gate("saturated").pass().await;
        Ok(true)
    }
    #[semantic_coalesce(namespace = "verify", guard = none, verify = waits, verify_concurrent = 2, verify_timeout = "1h")]
    async fn busy(question: &str) -> usize {
        let _ = question;
        RUNS.fetch_add(1, SeqCst)
    }
    alone(async {
        let first = busy("@0 one").await;
        kept().await;
        let held = ["@1 a", "@2 b"].map(|question| tokio::spawn(busy(question)));
        gate("saturated").reached(2).await;
        let (answer, became) = outcome(busy("@-3 c")).await;
        assert!(answer != first && became == Some(Outcome::Executed), "{became:?}");
        gate("saturated").open();
        for held in held {
            assert_eq!(held.await.unwrap(), first);
        }
        let stats = busy::stats();
        assert_eq!((stats.semantic.verify.saturated, stats.semantic.verify.same), (1, 2), "{stats:#?}");
        add_up(&stats);
    })
    .await;
}

#[tokio::test]
async fn its_answer_is_remembered_for_the_questions_and_the_answer() {
    alone(async {
        let first = numbered("@0 one").await;
        kept().await;
        // Of one normal form, and each with a key of its own in memory.
        assert_eq!(numbered("@5 two").await, first);
        assert_eq!(numbered("@5  two").await, first);
        let verify = numbered::stats().semantic.verify;
        assert_eq!((verify.same, verify.remembered), (1, 1), "{verify:?}");
        // Another answer to the same question.
        let second = numbered::refresh("@0 one").await;
        kept().await;
        assert_eq!(numbered("@5 two").await, second);
        let verify = numbered::stats().semantic.verify;
        assert_eq!((verify.same, verify.remembered), (2, 1), "{verify:?}");
        numbered::clear().await.unwrap();
        numbered::insert("@0 one", second);
        kept().await;
        assert_eq!(numbered("@5 two").await, second);
        assert_eq!(numbered::stats().semantic.verify.same, 3, "nothing is remembered after `clear`");
    })
    .await;
}

#[tokio::test]
async fn many_concurrent_calls_of_one_question_are_one_verification_whoever_leaves() {
    async fn waits(_: &str, _: &str, _: &usize) -> bool {
        gate("crowd").pass().await;
        true
    }
    #[semantic_coalesce(namespace = "verify", guard = none, verify = waits, verify_timeout = "1h")]
    async fn crowded(question: &str) -> usize {
        let _ = question;
        RUNS.fetch_add(1, SeqCst)
    }
    alone(async {
        let first = crowded("@0 one").await;
        kept().await;
        let calls: Vec<_> = (0..50).map(|_| tokio::spawn(crowded("@5 two"))).collect();
        gate("crowd").reached(1).await;
        turns().await;
        // The first to come, and some others.
        for call in &calls[..10] {
            call.abort();
        }
        turns().await;
        gate("crowd").open();
        for (at, call) in calls.into_iter().enumerate() {
            let answer = call.await;
            if at >= 10 {
                assert_eq!(answer.unwrap(), first);
            }
        }
        let stats = crowded::stats();
        assert_eq!((gate("crowd").come(), stats.semantic.verify.same, stats.executions), (1, 1, 1), "{stats:#?}");
        assert_eq!(stats.abandoned, 0);
        add_up(&stats);
    })
    .await;
}

#[tokio::test]
async fn when_all_have_left_it_is_dropped_and_its_place_is_free() {
    async fn waits(asked: &str, _: &str, _: &usize) -> bool {
        if asked.ends_with("waits") {
            gate("left").pass().await;
        }
        true
    }
    #[semantic_coalesce(namespace = "verify", guard = none, verify = waits, verify_concurrent = 1, verify_timeout = "1h")]
    async fn left(question: &str) -> usize {
        let _ = question;
        RUNS.fetch_add(1, SeqCst)
    }
    alone(async {
        let first = left("@0 one").await;
        kept().await;
        let call = tokio::spawn(left("@5 waits"));
        gate("left").reached(1).await;
        call.abort();
        let _ = call.await;
        kept().await;
        assert_eq!(left("@6 two").await, first);
        let stats = left::stats();
        assert_eq!(
            (stats.semantic.verify.same, stats.semantic.verify.saturated, stats.abandoned),
            (1, 0, 1),
            "{stats:#?}"
        );
        add_up(&stats);
    })
    .await;
}

#[tokio::test]
async fn what_is_invalidated_meanwhile_is_not_taken() {
    async fn waits(_: &str, _: &str, _: &usize) -> bool {
        gate("invalidated").pass().await;
        true
    }
    #[semantic_coalesce(namespace = "verify", guard = none, verify = waits, verify_timeout = "1h")]
    async fn invalidated(question: &str) -> usize {
        let _ = question;
        RUNS.fetch_add(1, SeqCst)
    }
    alone(async {
        let first = invalidated("@0 one").await;
        kept().await;
        let call = tokio::spawn(outcome(invalidated("@5 two")));
        gate("invalidated").reached(1).await;
        invalidated::invalidate("@0 one").await.unwrap();
        gate("invalidated").open();
        let (answer, became) = call.await.unwrap();
        assert!(answer != first && became == Some(Outcome::Executed), "{became:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_expires_meanwhile_is_not_taken() {
    async fn sleeps(_: &str, _: &str, _: &usize) -> bool {
        tokio::time::sleep(Duration::from_secs(11)).await;
        true
    }
    #[semantic_coalesce(namespace = "verify", guard = none, verify = sleeps, verify_timeout = "1h", ttl = 10)]
    async fn expiring(question: &str) -> usize {
        let _ = question;
        RUNS.fetch_add(1, SeqCst)
    }
    alone(async {
        let first = expiring("@0 one").await;
        kept().await;
        let (answer, became) = outcome(expiring("@5 two")).await;
        assert!(answer != first && became == Some(Outcome::Executed), "{became:?}");
    })
    .await;
}

#[semantic_coalesce(namespace = "verify", guard = none, verify = told)]
async fn in_flight(question: &str) -> Result<usize, String> {
    gate(question).pass().await;
    let number = RUNS.fetch_add(1, SeqCst);
    if question.contains("broken") { Err("expected".to_owned()) } else { Ok(number) }
}

#[tokio::test]
async fn an_execution_that_is_joined_is_verified_when_it_has_an_answer() {
    alone(async {
        let first = tokio::spawn(in_flight("@0 joined one"));
        gate("@0 joined one").reached(1).await;
        let same = tokio::spawn(outcome(in_flight("@5 joined same")));
        let differs = tokio::spawn(outcome(in_flight("@-5 joined differs")));
        turns().await;
        assert_eq!(gate("@-5 joined differs").come(), 0, "it waits for the other first");
        gate("@-5 joined differs").open();
        gate("@0 joined one").open();
        let first = first.await.unwrap().unwrap();
        let (answer, became) = same.await.unwrap();
        assert!(answer == Ok(first) && is_near(became), "{became:?}");
        let (answer, became) = differs.await.unwrap();
        assert!(answer.unwrap() != first && became == Some(Outcome::Executed), "{became:?}");
        let stats = in_flight::stats();
        let verify = stats.semantic.verify;
        assert_eq!((verify.same, verify.different, stats.semantic.joined), (1, 1, 1), "{stats:#?}");
        assert_eq!((stats.executions, stats.embeddings_generated), (2, 3));
        add_up(&stats);
    })
    .await;
}

#[tokio::test]
async fn an_error_of_an_execution_that_was_joined_is_its_own() {
    alone(async {
        let first = tokio::spawn(in_flight("@0 broken"));
        gate("@0 broken").reached(1).await;
        let second = tokio::spawn(in_flight("@5 whole"));
        // Exactly the same question has it.
        let same = tokio::spawn(in_flight("@0  Broken"));
        turns().await;
        gate("@5 whole").open();
        gate("@0 broken").open();
        assert!(first.await.unwrap().is_err() && same.await.unwrap().is_err() && second.await.unwrap().is_ok());
        let stats = in_flight::stats();
        assert_eq!((stats.executions, stats.semantic.verify.failures()), (2, 0), "{stats:#?}");
        add_up(&stats);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn when_it_cannot_say_anything_of_an_execution_the_question_is_executed() {
    alone(async {
        let first = tokio::spawn(in_flight("@0 unsaid one"));
        gate("@0 unsaid one").reached(1).await;
        let second = tokio::spawn(outcome(in_flight("@5 unsaid fails")));
        turns().await;
        gate("@5 unsaid fails").open();
        gate("@0 unsaid one").open();
        let first = first.await.unwrap();
        let (answer, became) = second.await.unwrap();
        assert!(answer != first && became == Some(Outcome::Executed), "{became:?}");
        let stats = in_flight::stats();
        assert_eq!((stats.semantic.verify.failed, stats.executions), (1, 2), "asked once: {stats:#?}");
        add_up(&stats);
    })
    .await;
}

/// It runs where the helper's leases and answers of backends are not held up.
#[test]
fn a_sync_function_has_it_too() {
    async fn on_a_runtime(_: &str, _: &str, answer: &usize) -> bool {
        tokio::time::sleep(Duration::from_millis(1)).await;
        *answer > 0
    }
    #[semantic_coalesce(namespace = "verify", guard = none, verify = on_a_runtime)]
    fn blocking(question: &str) -> usize {
        let _ = question;
        RUNS.fetch_add(1, SeqCst)
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(alone(async {
        let first = blocking("@0 one");
        kept().await;
        assert_eq!(blocking("@5 two"), first);
        assert_eq!(blocking::stats().semantic.verify.same, 1);
        add_up(&blocking::stats());
    }));
}

/// A judge that asks the function itself would wait for itself.
#[tokio::test]
async fn it_may_call_shared_functions_its_own_among_them() {
    async fn asks(asked: &str, _: &str, _: &usize) -> bool {
        let own = nested(asked).await;
        own > 0
    }
    #[semantic_coalesce(namespace = "verify", guard = none, verify = asks)]
    async fn nested(question: &str) -> usize {
        let _ = question;
        RUNS.fetch_add(1, SeqCst)
    }
    alone(async {
        let first = nested("@0 one").await;
        kept().await;
        assert_eq!(nested("@5 two").await, first);
        let stats = nested::stats();
        assert_eq!((stats.bypassed, stats.semantic.verify.same), (1, 1), "{stats:#?}");
    })
    .await;
}

/// In a host of a test, embedders and judges have the test's time, as everything has.
#[tokio::test(start_paused = true)]
async fn in_a_host_it_has_the_time_of_its_test() {
    async fn slowly(_: &str, _: &str, _: &usize) -> bool {
        tokio::time::sleep(Duration::from_secs(1)).await;
        true
    }
    #[semantic_coalesce(namespace = "verify", guard = none, verify = slowly)]
    async fn hosted(question: &str) -> usize {
        question.len()
    }
    let embedder = from_fn("slow", 2, |texts: Vec<String>| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, Infallible>(texts.iter().map(|_| vec![1.0, 0.0]).collect())
    });
    let host = Host::new(Config::builder().embedder(embedder).build().expect("the configuration is right"));
    host.run(async {
        hosted("one").await;
        kept().await;
        let (answer, became) = outcome(hosted("another")).await;
        assert!(answer == 3 && is_near(became), "{answer} {became:?}");
        assert_eq!(hosted::stats().semantic.verify.same, 1);
    })
    .await;
}
