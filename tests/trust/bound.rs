//! `max_error`: near questions are served once it is known that few enough of their answers are wrong.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use stampede_runtime::{Outcome, Settings, Stats, outcome, semantic_coalesce};

use super::place::{add_up, alone, alone_with, gate, is_near, kept, turns};

/// What is asked at 0 degrees has one answer; what is further away is a question of its own.
fn answer_to(question: &str) -> String {
    let is_far = question.starts_with("@30");
    if is_far { question.to_owned() } else { "the answer".to_owned() }
}

#[semantic_coalesce(namespace = "bound", guard = none, shadow = 0.1, max_error = 0.1, capacity = 10_000)]
async fn by_shadow(question: &str) -> String {
    answer_to(question)
}

/// So many questions of other words, some degrees away from each other.
async fn ask_many(from: usize, count: usize, degrees: &str) {
    for at in from..from + count {
        by_shadow(&format!("{degrees} in other words {at}")).await;
        kept().await;
    }
}

fn bound(stats: &Stats) -> stampede_runtime::BoundStats {
    stats.semantic.bound.clone().expect("the function has a bound")
}

#[tokio::test]
async fn near_questions_are_executed_until_it_is_known_that_their_answers_are_right() {
    alone(async {
        by_shadow("@0 one").await;
        kept().await;
        let (_, became) = outcome(by_shadow("@5 two")).await;
        assert_eq!(became, Some(Outcome::Executed));
        kept().await;
        let learnt = bound(&by_shadow::stats());
        assert_eq!((learnt.labels, learnt.wrong, learnt.threshold, learnt.unproven), (1, 0, None, 1));
        ask_many(0, 320, "@5").await;
        let stats = by_shadow::stats();
        let learnt = bound(&stats);
        assert!(learnt.threshold.is_some_and(|threshold| threshold > 0.99), "{learnt:?}");
        assert!(learnt.hits > 0 && stats.semantic_hits == learnt.hits, "{stats:#?}");
        assert!(learnt.served.is_some_and(|served| served.observed == 0.0 && served.at_most < 0.1), "{learnt:?}");
        // The labels of what was executed anyway are no hits, and cost no execution more.
        let shadow = stats.semantic.shadow;
        assert_eq!(stats.executions, 1 + learnt.unproven + shadow.compared, "{stats:#?}");
        assert_eq!(learnt.labels, learnt.unproven + shadow.compared);
        add_up(&stats);
        by_shadow::clear().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_is_never_served_and_what_is_right_beside_it_is() {
    alone(async {
        by_shadow("@0 one").await;
        kept().await;
        // 30 degrees from the one, and from each other none: each of them is wrong for the other.
        for at in 0..150 {
            ask_many(at, 1, "@30").await;
            ask_many(at, 3, "@3").await;
        }
        let learnt = bound(&by_shadow::stats());
        assert_eq!(learnt.threshold, None, "{learnt:?}");
        assert!(learnt.wrong >= 100 && learnt.hits == 0, "{learnt:?}");
    })
    .await;
}

#[tokio::test]
async fn a_threshold_beside_it_is_a_floor() {
    let settings = Settings::new().max_error(0.9);
    #[semantic_coalesce(namespace = "bound", guard = none, shadow = 1, max_error = 0.1, threshold = 0.99)]
    async fn floored(question: &str) -> String {
        answer_to(question)
    }
    #[semantic_coalesce(namespace = "bound", guard = none, threshold = 0.9)]
    async fn without(question: &str) -> String {
        answer_to(question)
    }
    alone_with(settings, async {
        floored("@0 one").await;
        kept().await;
        floored("@20 two").await;
        let learnt = bound(&floored::stats());
        assert_eq!((learnt.labels, learnt.unproven), (0, 0), "{learnt:?}");
        assert_eq!(floored::stats().semantic.below_threshold.iter().sum::<u64>(), 1);
        // The attribute's own is stronger than a default.
        assert!((learnt.max_error - 0.1).abs() < 1e-9);
        // A default says nothing to a function that has nobody to learn from.
        without("@0 one").await;
        kept().await;
        assert!(is_near(outcome(without("@5 two")).await.1));
        assert_eq!(without::stats().semantic.bound, None);
    })
    .await;
}

static JUDGED: AtomicUsize = AtomicUsize::new(0);

#[expect(clippy::unused_async, reason = "`verify` takes async functions")]
async fn judge(asked: &str, _: &str, _: &String) -> bool {
    JUDGED.fetch_add(1, SeqCst);
    !asked.contains("differs")
}

#[semantic_coalesce(namespace = "bound", guard = none, verify = judge, max_error = 0.1)]
async fn by_verify(question: &str) -> String {
    answer_to(question)
}

#[tokio::test]
async fn with_verify_near_questions_are_judged_until_few_enough_are_refused_and_some_of_them_after() {
    alone(async {
        by_verify("@0 one").await;
        kept().await;
        for at in 0..2_000 {
            let (answer, became) = outcome(by_verify(&format!("@5 in other words {at}"))).await;
            assert!(answer == "the answer" && is_near(became), "{became:?}");
        }
        let stats = by_verify::stats();
        let (learnt, judged) = (bound(&stats), stats.semantic.verify.same);
        assert_eq!((stats.executions, JUDGED.load(SeqCst) as u64), (1, judged), "{stats:#?}");
        assert_eq!(learnt.labels, judged);
        // One of twenty after some two hundred and fifty.
        assert!((210..600).contains(&judged), "{judged}");
        assert_eq!(learnt.hits + judged, 2_000);
        add_up(&stats);
    })
    .await;
}

#[tokio::test]
async fn in_flight_only_what_is_near_enough_is_joined() {
    #[semantic_coalesce(namespace = "bound", guard = none, shadow = 1, max_error = 0.1)]
    async fn in_flight(question: &str) -> String {
        gate(question).pass().await;
        answer_to(question)
    }
    alone(async {
        let first = tokio::spawn(in_flight("@0 bound one"));
        let second = tokio::spawn(in_flight("@1 bound two"));
        let same = tokio::spawn(in_flight("@1  Bound two"));
        gate("@0 bound one").reached(1).await;
        gate("@1 bound two").reached(1).await;
        turns().await;
        assert_eq!(gate("@1  Bound two").come(), 0, "its own question it joins");
        gate("@0 bound one").open();
        gate("@1 bound two").open();
        for call in [first, second, same] {
            assert_eq!(call.await.unwrap(), "the answer");
        }
        let stats = in_flight::stats();
        assert_eq!((stats.executions, stats.semantic.joined), (2, 1), "{stats:#?}");
        add_up(&stats);
    })
    .await;
}
