//! `shadow` executes a share of the semantic hits all the same, behind the callers, and says how many were wrong.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use stampede_runtime::{Outcome, Settings, bypass, outcome, refresh, semantic_coalesce, shutdown};

use super::place::{add_up, alone, alone_where, gate, is_near, kept, turns};

/// Some questions have one answer whatever their words, and some do not.
fn answer_to(question: &str) -> String {
    if question.contains("differs") { question.to_owned() } else { "the answer".to_owned() }
}

#[semantic_coalesce(namespace = "shadow", guard = none, shadow = "100%")]
async fn all(question: &str) -> String {
    answer_to(question)
}

#[tokio::test]
async fn what_was_served_is_compared_with_what_is_executed_behind_it() {
    alone(async {
        all("@0 one").await;
        kept().await;
        let (answer, became) = outcome(all("@5 two")).await;
        assert!(answer == "the answer" && is_near(became), "{became:?}");
        kept().await;
        let (answer, became) = outcome(all("@-5 three differs")).await;
        assert!(answer == "the answer" && is_near(became), "the caller has the hit: {became:?}");
        kept().await;
        let stats = all::stats();
        let shadow = stats.semantic.shadow;
        assert_eq!((shadow.compared, shadow.disagreed, shadow.failed, shadow.skipped), (2, 1, 0, 0), "{stats:#?}");
        assert_eq!((stats.executions, stats.led, stats.refreshes, stats.semantic_hits), (3, 1, 2, 2));
        let error = shadow.error.unwrap();
        // R: binom.test(1, 2)
        let close = |found: f64, known: f64| assert!((found - known).abs() < 1e-4, "{found} is not {known}");
        close(error.observed, 0.5);
        close(error.low, 0.012_58);
        close(error.high, 0.987_42);
        close(error.at_most, 0.974_68);
        // What was executed is kept, as any answer.
        let (answer, became) = outcome(all("@-5 three differs")).await;
        assert!(answer == "@-5 three differs" && !is_near(became), "{became:?}");
        add_up(&all::stats());
    })
    .await;
}

#[tokio::test]
async fn what_agrees_is_what_the_function_says() {
    #[derive(Clone, serde::Serialize, serde::Deserialize)]
    struct Answer {
        text: String,
        /// Another one each time.
        number: usize,
    }
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    #[semantic_coalesce(namespace = "shadow", guard = none, shadow = 1, agree = |old, new| old.text == new.text)]
    async fn by_text(question: &str) -> Answer {
        Answer { text: answer_to(question), number: RUNS.fetch_add(1, SeqCst) }
    }
    alone(async {
        let first = by_text("@0 one").await;
        kept().await;
        assert_eq!(by_text("@5 two").await.number, first.number);
        kept().await;
        let shadow = by_text::stats().semantic.shadow;
        assert_eq!((shadow.compared, shadow.disagreed), (1, 0), "{shadow:?}");
    })
    .await;
}

#[tokio::test]
async fn a_share_of_the_hits_is_executed_and_the_configuration_may_say_another() {
    #[semantic_coalesce(namespace = "shadow", guard = none, shadow = 0.2, capacity = 10_000)]
    async fn some(question: &str) -> String {
        answer_to(question)
    }
    let ask = async || {
        some("@0 one").await;
        kept().await;
        for at in 0..200 {
            some(&format!("@5 words {at}")).await;
        }
        kept().await;
        let stats = some::stats();
        add_up(&stats);
        stats.semantic.shadow.compared + stats.semantic.shadow.skipped
    };
    // 40 are expected; fewer than 11 or more than 80 have a probability below one in a million.
    let compared = alone(ask()).await;
    assert!((11..=80).contains(&compared), "{compared}");
    let none = Settings::new().shadow(0.0);
    assert_eq!(alone_where("shadow", none, ask()).await, 0);
}

#[tokio::test]
async fn eight_are_executed_at_once_and_shutdown_waits_for_them() {
    #[semantic_coalesce(namespace = "shadow", guard = none, shadow = 1)]
    async fn slow(question: &str) -> String {
        if question != "@0 one" {
            gate("shadows").pass().await;
        }
        answer_to(question)
    }
    alone(async {
        slow("@0 one").await;
        kept().await;
        for at in 0..20 {
            assert_eq!(slow(&format!("@5 words {at}")).await, "the answer");
        }
        gate("shadows").reached(8).await;
        turns().await;
        let stats = slow::stats();
        assert_eq!((gate("shadows").come(), stats.in_flight, stats.semantic.shadow.skipped), (8, 8, 12), "{stats:#?}");
        let ending = tokio::spawn(shutdown(Duration::from_secs(3_600)));
        turns().await;
        assert!(!ending.is_finished());
        gate("shadows").open();
        assert_eq!(ending.await.unwrap(), 0);
        let shadow = slow::stats().semantic.shadow;
        assert_eq!((shadow.compared, shadow.failed), (8, 0), "{shadow:?}");
        add_up(&slow::stats());
    })
    .await;
}

#[tokio::test]
async fn nothing_is_executed_behind_calls_that_are_no_hits() {
    alone(async {
        all("@0 one").await;
        kept().await;
        all("@0  One").await;
        bypass(all("@5 two")).await;
        refresh(all("@5 two")).await;
        kept().await;
        let stats = all::stats();
        let shadow = stats.semantic.shadow;
        assert_eq!((shadow.compared, shadow.failed, shadow.skipped, shadow.error), (0, 0, 0, None), "{stats:#?}");
        assert_eq!((stats.executions, stats.bypassed, stats.refreshes), (2, 1, 1));
    })
    .await;
}

#[tokio::test]
async fn what_does_not_end_with_a_value_is_not_compared_and_the_hit_stays() {
    #[semantic_coalesce(namespace = "shadow", guard = none, shadow = 1, agree = picky)]
    async fn failing(question: &str) -> Result<String, String> {
        match question {
            _ if question.contains("fails") => Err("expected".to_owned()),
            _ if question.contains("panics") => panic!("expected"),
            _ => Ok(question.to_owned()),
        }
    }
    #[expect(clippy::ptr_arg, reason = "`agree` is given answers as they are")]
    fn picky(_: &String, new: &String) -> bool {
        assert!(!new.contains("picky"), "expected");
        true
    }
    alone(async {
        let first = failing("@0 one").await;
        kept().await;
        for question in ["@2 fails", "@3 panics", "@4 picky"] {
            assert_eq!(failing(question).await, first);
            kept().await;
        }
        let (answer, became) = outcome(failing("@2 fails")).await;
        assert!(answer == first && matches!(became, Some(Outcome::Semantic { .. })), "{became:?}");
        let stats = failing::stats();
        assert_eq!((stats.semantic.shadow.compared, stats.semantic.shadow.failed), (0, 3), "{stats:#?}");
        assert_eq!((stats.errors, stats.panics, stats.executions), (1, 1, 4));
        // What nobody could compare has been executed all the same.
        assert_eq!(failing("@4 picky").await.unwrap(), "@4 picky");
        add_up(&failing::stats());
    })
    .await;
}

#[tokio::test]
async fn an_execution_that_was_joined_is_a_hit_too() {
    #[semantic_coalesce(namespace = "shadow", guard = none, shadow = 1)]
    async fn joined(question: &str) -> String {
        if question == "@0 one" {
            gate("shadow joined").pass().await;
        }
        answer_to(question)
    }
    alone(async {
        let first = tokio::spawn(joined("@0 one"));
        gate("shadow joined").reached(1).await;
        let second = tokio::spawn(outcome(joined("@5 differs")));
        turns().await;
        gate("shadow joined").open();
        let (answer, became) = second.await.unwrap();
        assert!(answer == first.await.unwrap() && is_near(became), "{became:?}");
        kept().await;
        let shadow = joined::stats().semantic.shadow;
        assert_eq!((shadow.compared, shadow.disagreed), (1, 1), "{shadow:?}");
        add_up(&joined::stats());
    })
    .await;
}

#[tokio::test]
async fn the_caller_may_be_gone_by_then() {
    #[semantic_coalesce(namespace = "shadow", guard = none, shadow = 1)]
    async fn left(question: &str) -> String {
        if question != "@0 one" {
            gate("shadow left").pass().await;
        }
        answer_to(question)
    }
    alone(async {
        left("@0 one").await;
        kept().await;
        drop(tokio::spawn(left("@5 two")).await);
        left::invalidate("@0 one").await.unwrap();
        gate("shadow left").open();
        kept().await;
        let shadow = left::stats().semantic.shadow;
        assert_eq!(shadow.compared + shadow.failed, 1, "{shadow:?}");
    })
    .await;
}

#[test]
fn a_sync_function_is_executed_on_a_thread_of_its_own() {
    #[semantic_coalesce(namespace = "shadow", guard = none, shadow = 1)]
    fn blocking(question: &str) -> String {
        answer_to(question)
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(alone(async {
        blocking("@0 one");
        kept().await;
        assert_eq!(blocking("@5 differs"), "the answer");
        kept().await;
        let shadow = blocking::stats().semantic.shadow;
        assert_eq!((shadow.compared, shadow.disagreed), (1, 1), "{shadow:?}");
        add_up(&blocking::stats());
    }));
}

/// Only what `verify` has accepted is a hit.
#[tokio::test]
async fn what_verify_has_refused_is_not_compared() {
    #[expect(clippy::unused_async, reason = "`verify` takes async functions")]
    async fn never(_: &str, _: &str, _: &String) -> bool {
        false
    }
    #[semantic_coalesce(namespace = "shadow", guard = none, verify = never, shadow = 1)]
    async fn refused(question: &str) -> String {
        answer_to(question)
    }
    alone(async {
        refused("@0 one").await;
        kept().await;
        refused("@5 two").await;
        kept().await;
        let stats = refused::stats();
        assert_eq!((stats.semantic.shadow.compared, stats.executions), (0, 2), "{stats:#?}");
    })
    .await;
}
