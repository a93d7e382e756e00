//! A help desk whose customers ask the same few things, each in a spelling of their own. No server, no model, no key: questions
//! are compared letter by letter, in this process. Run it with `cargo run --release --example semantic_embedded`.

mod support;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use stampede_runtime::semantic::LexicalEmbedder;
use stampede_runtime::{Config, configure, outcome, semantic_coalesce};

/// Whoever asks, it is one of these.
const QUESTIONS: [[&str; 5]; 4] = [
    [
        "How do I reset my password?",
        "how do i reset my pasword",
        "How do I reset my password please?",
        "How  do I RESET my password ?",
        "how do I reset my passwort?",
    ],
    [
        "Can I return an item within 14 days?",
        "can i return an item within 14 days",
        "Can I return items within 14 days?",
        "Can I return an item, within 14 days?",
        "Can I retrun an item within 14 days?",
    ],
    ["Where is my order?", "where is my order", "Where is my  order ?", "where's my order?", "Where is my oder?"],
    [
        "Do you deliver to Norway?",
        "do you deliver to norway",
        "Do you deliver to Norway ?",
        "Do you delivr to Norway?",
        "do you deliver to Norway??",
    ],
];

static CALLS: AtomicU64 = AtomicU64::new(0);

/// Plays a language model: slow, and paid by the call.
async fn complete(shop: &str, question: &str) -> Result<String, String> {
    CALLS.fetch_add(1, Relaxed);
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(format!("{shop} answers: {question}"))
}

/// Two shops never see each other's answers, however near their questions are.
#[semantic_coalesce(threshold = 0.7, tenant = shop, query = question)]
async fn answer(shop: &str, question: &str) -> Result<String, String> {
    complete(shop, question).await
}

// One thread, so that of each thing the same spelling comes first in every run.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Once, before the first call. Letters are not meanings: for those there is `OpenAiEmbedder`, or your own `Embedder`.
    configure(Config::builder().embedder(LexicalEmbedder::new()).build()?)?;

    let asked = || {
        let each = |shop| QUESTIONS.into_iter().flatten().map(move |question| (shop, question));
        ["north", "south"].into_iter().flat_map(each)
    };
    println!("Customers of two shops ask {} things in {} spellings, all at once.\n", 4, 20);
    let without = support::send(Duration::ZERO, asked().map(|(shop, question)| complete(shop, question))).await;
    let calls_without = CALLS.swap(0, Relaxed);
    let with = support::send(Duration::ZERO, asked().map(|(shop, question)| answer(shop, question))).await;
    support::report("calls to the model", [calls_without, CALLS.swap(0, Relaxed)], [&without, &with], &[]);

    println!("What became of single questions, later:");
    for (shop, question) in [
        ("north", "How do I reset my password?"),
        ("north", "How do I rest my password?"),
        ("north", "Can I return an item within 30 days?"),
        ("north", "Is there a job for me?"),
        ("west", "How do I reset my password?"),
    ] {
        let (_, outcome) = outcome(answer(shop, question)).await;
        let outcome = outcome.map(|outcome| outcome.to_string()).unwrap_or_default();
        println!("  {shop}: {question:<40} {outcome}");
    }
    let stats = answer::stats();
    println!("\n{stats}");
    println!("refused because their numbers differ: {}", stats.semantic.refused.numbers);
    Ok(())
}
