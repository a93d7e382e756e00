//! Functions that compare meanings, with an embedder whose texts are placed and a clock in hand.

use std::time::Duration;

use stampede_runtime::semantic::EmbedErrorKind::Unreachable;
use stampede_runtime::semantic::{Embedder, LexicalEmbedder};
use stampede_runtime::testing::{self, Isolated, PlacedEmbedder};
use stampede_runtime::{Config, Outcome, clear_all, outcome, semantic_coalesce};

#[cfg(feature = "pgvector")]
#[path = "support/postgres_server.rs"]
mod postgres_server;

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

/// Far from all and far from none of the pairs below.
const NEAR_ENOUGH: f64 = 0.8;

#[semantic_coalesce(namespace = "testing_meaning", guard = none, threshold = 0.8)]
async fn of_pair(pair: usize, question: &str) -> String {
    format!("{pair}: an answer to {question}")
}

/// Questions of eight words, and each once more with up to three others in it.
fn pairs(count: usize) -> Vec<[String; 2]> {
    let words: Vec<&str> =
        "how where when why does can must the a new old late parcel account invoice password return reset change \
        close open before after tomorrow yesterday café naïve 14 30"
            .split_whitespace()
            .collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut pair = || {
        let mut question: Vec<&str> = (0..8).map(|_| words[random.usize(..words.len())]).collect();
        let one = question.join(" ");
        for _ in 0..random.usize(..=3) {
            question[random.usize(..8)] = words[random.usize(..words.len())];
        }
        [one, question.join(" ")]
    };
    (0..count).map(|_| pair()).collect()
}

fn cosine(one: &[f32], other: &[f32]) -> f64 {
    let product = |one: &[f32], other: &[f32]| -> f64 {
        one.iter().zip(other).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum()
    };
    product(one, other) / (product(one, one) * product(other, other)).sqrt()
}

async fn hits_are_those_of_exact_cosines(config: Config, count: usize) {
    let _isolated = testing::isolate_with(config);
    let mut met = [0; 2];
    for (pair, [one, other]) in pairs(count).into_iter().enumerate() {
        let vectors = LexicalEmbedder::new().embed(&[one.clone(), other.clone()]).await.unwrap();
        let cosine = cosine(&vectors[0], &vectors[1]);
        if (cosine - NEAR_ENOUGH).abs() < 1e-5 {
            // Rounding decides.
            continue;
        }
        let first = of_pair(pair, &one).await;
        testing::settled().await;
        let (second, became) = outcome(of_pair(pair, &other)).await;
        let is_hit = cosine > NEAR_ENOUGH;
        assert_eq!(second == first, is_hit, "{one:?}, {other:?}: {cosine}, {became:?}");
        match became {
            Some(Outcome::Semantic { similarity, .. }) => assert!((f64::from(similarity) - cosine).abs() < 1e-4),
            Some(Outcome::Hit { .. }) => assert_eq!(one, other),
            _ => assert!(!is_hit, "{became:?}"),
        }
        met[usize::from(is_hit)] += 1;
    }
    assert!(met.iter().all(|met| *met > count / 5), "{met:?}");
}

#[tokio::test]
async fn without_guards_hits_in_this_process_are_those_of_exact_cosines() {
    hits_are_those_of_exact_cosines(Config::builder().embedder(LexicalEmbedder::new()).build().unwrap(), 1_000).await;
}

#[cfg(feature = "pgvector")]
#[tokio::test]
async fn without_guards_hits_in_postgres_are_those_of_exact_cosines() {
    let Some(database) = postgres_server::Database::new("exact cosines") else { return };
    let embedder = LexicalEmbedder::new();
    let index = stampede_runtime::semantic::PgvectorIndex::builder(database.url()).dimensions(embedder.dimensions());
    let index =
        index.connect_timeout(postgres_server::PATIENCE).query_timeout(postgres_server::PATIENCE).build().unwrap();
    index.ensure_schema().await.unwrap();
    let config = Config::builder().embedder(embedder).index("pgvector", index);
    hits_are_those_of_exact_cosines(config.build().unwrap(), 200).await;
}
