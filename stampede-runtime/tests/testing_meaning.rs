//! Functions that compare meanings, with an embedder whose texts are placed and a clock in hand.

use std::time::Duration;

use stampede_runtime::semantic::EmbedErrorKind::Unreachable;
use stampede_runtime::testing::{self, Isolated, PlacedEmbedder};
use stampede_runtime::{Config, clear_all, semantic_coalesce};

const SECOND: Duration = Duration::from_secs(1);
/// An embedder rests no longer.
const LONGEST_REST: Duration = Duration::from_secs(30);

#[semantic_coalesce(namespace = "testing_meaning", ttl = "60s", threshold = 0.9)]
async fn ask(question: &str) -> String {
    format!("an answer to {question}")
}

fn with(embedder: &PlacedEmbedder) -> Isolated {
    testing::isolate_with(Config::builder().embedder(embedder.clone()).build().unwrap())
}

#[tokio::test]
async fn what_is_near_enough_shares_an_answer() {
    let embedder = PlacedEmbedder::new();
    embedder.near("near", "question", 0.91);
    embedder.near("not near", "question", 0.89);
    let _isolated = with(&embedder);
    let counted = testing::count(ask::stats);
    let first = ask("Question").await;
    testing::settled().await;
    assert_eq!(ask("near").await, first);
    assert_ne!(ask("not near").await, first);
    assert_ne!(ask("another").await, first);
    counted.assert(|since| (since.executions, since.semantic_hits, since.embeddings_generated), (3, 1, 4));
    assert_eq!(embedder.texts(), ["Question", "near", "not near", "another"]);
    testing::settled().await;
}

#[tokio::test]
async fn answers_of_the_index_in_this_process_end_by_the_clock() {
    let embedder = PlacedEmbedder::new();
    embedder.near("near", "question", 0.95);
    let isolated = with(&embedder);
    let (clock, counted) = (isolated.clock(), testing::count(ask::stats));
    ask("question").await;
    testing::settled().await;
    clock.advance(59 * SECOND);
    ask("near").await;
    testing::settled().await;
    counted.assert(|since| (since.executions, since.semantic_hits), (1, 1));
    clear_all(); // in memory
    clock.advance(SECOND);
    ask("near").await;
    testing::settled().await;
    counted.assert(|since| (since.executions, since.semantic_hits), (2, 1));
}

/// Though the clock stands still, what was made after a removal is later than it.
#[tokio::test]
async fn what_is_made_after_a_removal_is_kept() {
    let embedder = PlacedEmbedder::new();
    embedder.near("near", "question", 0.95);
    let isolated = with(&embedder);
    let (_clock, counted) = (isolated.clock(), testing::count(ask::stats));
    ask("question").await;
    ask::invalidate("question").await.unwrap();
    ask("question").await;
    testing::settled().await;
    ask("near").await;
    counted.assert(|since| (since.executions, since.semantic_hits), (2, 1));
}

#[tokio::test]
async fn an_embedder_that_fails_rests_by_the_clock() {
    let embedder = PlacedEmbedder::new();
    let isolated = with(&embedder);
    let clock = isolated.clock();
    embedder.fail(Unreachable);
    for number in 0..3 {
        ask(&format!("question {number}")).await;
        testing::settled().await;
    }
    embedder.heal();
    let asked = embedder.texts().len();
    ask("while it rests").await;
    testing::settled().await;
    assert_eq!(embedder.texts().len(), asked);
    clock.advance(LONGEST_REST);
    ask("afterwards").await;
    testing::settled().await;
    assert_eq!(embedder.texts().last().unwrap(), "afterwards");
    let faults = ask::stats().semantic.embed_faults;
    assert!(faults.unreachable >= 3 && faults.resting >= 1, "{faults:?}");
}
