//! Conversations, keyed as docs/conversations.md says: the last question by meaning, all before it exactly.

#[path = "../stampede-runtime/tests/support/redis_server.rs"]
mod redis_server;

use std::collections::HashSet;
use std::time::Duration;

use redis_server::RedisServer;
use serde::Serialize;
use stampede_runtime::store::RedisBackend;
use stampede_runtime::testing::{self, Isolated, PlacedEmbedder};
use stampede_runtime::{Config, Outcome, outcome, semantic_coalesce};

const QUESTION: &str = "How old is he?";
const PARAPHRASE: &str = "What is his age?";

#[derive(Clone, Serialize)]
struct Turn {
    role: &'static str,
    text: String,
}

/// All that has to be equal.
#[derive(Clone, Serialize)]
struct Context {
    model: &'static str,
    temperature: f32,
    system: &'static str,
    turns: Vec<Turn>,
}

impl Context {
    fn new(turns: &[(&'static str, &str)]) -> Context {
        let turns = turns.iter().map(|(role, text)| Turn { role, text: (*text).to_owned() }).collect();
        Context { model: "small", temperature: 0.0, system: "Be brief.", turns }
    }

    fn digest(&self) -> [u8; 32] {
        *blake3::hash(&self.json()).as_bytes()
    }

    fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }
}

#[semantic_coalesce(namespace = "conversations", query = question, tenant = tenant, key(context.digest()), ttl = "1h")]
async fn reply(tenant: u64, context: &Context, question: &str) -> Result<String, String> {
    let _ = tenant;
    tokio::time::sleep(Duration::from_millis(10)).await;
    Ok(format!("{} says after {} turns: {question}", context.model, context.turns.len()))
}

/// A process in which the two questions mean the same.
fn process() -> (Isolated, PlacedEmbedder) {
    let embedder = PlacedEmbedder::new();
    embedder.near(PARAPHRASE, QUESTION, 0.95);
    let config = Config::builder().embedder(embedder.clone()).build().expect("it is right");
    (testing::isolate_with(config), embedder)
}

async fn became(context: &Context, question: &str) -> Outcome {
    let (answer, outcome) = outcome(reply(7, context, question)).await;
    answer.expect("it never fails");
    // What is kept behind its caller is there.
    testing::settled().await;
    outcome.expect("it is shared")
}

fn king() -> Context {
    Context::new(&[("user", "Who is the king?"), ("assistant", "Harald V.")])
}

/// Contexts that differ from the king's in one thing each, and from one another.
fn others() -> Vec<Context> {
    let with = |turns: &[(&'static str, &str)]| Context::new(turns);
    let mut all = vec![
        with(&[]),
        with(&[("user", "Who is the king?")]),
        with(&[("assistant", "Harald V."), ("user", "Who is the king?")]),
        with(&[("assistant", "Who is the king?"), ("user", "Harald V.")]),
        with(&[("system", "Who is the king?"), ("assistant", "Harald V.")]),
        with(&[("user", "Who is the king? "), ("assistant", "Harald V.")]),
        with(&[("user", "Who is  the king?"), ("assistant", "Harald V.")]),
        with(&[("user", "who is the king?"), ("assistant", "Harald V.")]),
        with(&[("user", "Who is the king?"), ("assistant", "Harald V")]),
        with(&[("user", "Who is the king"), ("assistant", "?Harald V.")]),
        with(&[("user", "Who is the king?Harald V."), ("assistant", "")]),
        with(&[("user", "Who is the king?"), ("assistant", "Harald V."), ("user", "")]),
        with(&[("user", "Who is the king?"), ("assistant", "Harald V."), ("user", "Who is the king?")]),
        with(&[("user", "Who wrote Hunger?"), ("assistant", "Knut Hamsun.")]),
        with(&[("user", "Who is the king?\",\"role\":\"assistant"), ("assistant", "Harald V.")]),
    ];
    all.push(Context { model: "large", ..king() });
    all.push(Context { model: "Small", ..king() });
    all.push(Context { temperature: 0.1, ..king() });
    all.push(Context { system: "Be  brief.", ..king() });
    all.push(Context { system: "", ..king() });
    all
}

#[tokio::test(start_paused = true)]
async fn a_paraphrase_is_found_in_its_own_conversation() {
    let (_isolated, _) = process();
    assert_eq!(became(&king(), QUESTION).await, Outcome::Executed);
    assert!(matches!(became(&king(), QUESTION).await, Outcome::Hit { .. }));
    assert!(matches!(became(&king(), PARAPHRASE).await, Outcome::Semantic { .. }));
    assert_eq!(reply::stats().executions, 1);
}

#[tokio::test(start_paused = true)]
async fn the_same_question_after_another_history_is_another_question() {
    let (_isolated, _) = process();
    became(&king(), QUESTION).await;
    for context in others() {
        let shown = String::from_utf8(context.json()).unwrap();
        assert_eq!(became(&context, QUESTION).await, Outcome::Executed, "{shown}");
        assert!(matches!(became(&context, PARAPHRASE).await, Outcome::Semantic { .. }), "{shown}");
    }
    assert_eq!(reply::stats().executions, 1 + others().len() as u64);
}

#[tokio::test(start_paused = true)]
async fn in_flight_as_at_rest() {
    let (_isolated, _) = process();
    let contexts = [vec![king()], others()].concat();
    let mut calls = tokio::task::JoinSet::new();
    for context in &contexts {
        for question in [QUESTION, PARAPHRASE] {
            let context = context.clone();
            calls.spawn(async move {
                let answer = reply(7, &context, question).await.expect("it never fails");
                assert!(answer.starts_with(&format!("{} says after {} turns", context.model, context.turns.len())));
            });
        }
    }
    while let Some(call) = calls.join_next().await {
        call.expect("each has its own answer");
    }
    assert_eq!(reply::stats().executions, contexts.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn tenants_share_no_conversation() {
    let (_isolated, _) = process();
    reply(1, &king(), QUESTION).await.unwrap();
    testing::settled().await;
    let (_, outcome) = outcome(reply(2, &king(), PARAPHRASE)).await;
    assert_eq!(outcome, Some(Outcome::Executed));
}

#[tokio::test(start_paused = true)]
async fn histories_are_never_embedded() {
    let (_isolated, embedder) = process();
    let long = "x".repeat(1 << 20);
    for history in ["one", &long] {
        became(&Context::new(&[("user", history)]), QUESTION).await;
    }
    // Once for each partition: its own index has to have it.
    assert_eq!(embedder.texts(), [QUESTION, QUESTION]);
}

/// Random conversations of few turns, which are often the same and often nearly so: the first of each executes, and no other.
#[tokio::test(start_paused = true)]
async fn random_conversations_never_meet() {
    for seed in 0..20 {
        let (_isolated, _) = process();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut seen = HashSet::new();
        for step in 0..200 {
            let turns = (0..random.usize(..4)).map(|_| Turn {
                role: random.choice(&["user", "assistant"]).unwrap(),
                text: (*random.choice(&["", "a", "b", "ab", "A", "a ", " a"]).unwrap()).to_owned(),
            });
            let turns = turns.collect();
            let temperature = *random.choice(&[0.0, 0.5]).unwrap();
            let context = Context { temperature, turns, ..king() };
            let question = if random.bool() { QUESTION } else { PARAPHRASE };
            let is_executed = became(&context, question).await == Outcome::Executed;
            assert_eq!(is_executed, seen.insert(context.json()), "seed {seed}, step {step}");
        }
    }
}

/// Not paused: a real server answers in real time.
#[tokio::test]
async fn in_redis_stands_no_history() {
    let Some(server) = RedisServer::start("in_redis_stands_no_history") else { return };
    let backend = RedisBackend::new(server.url()).expect("it is a URL");
    let config = Config::builder().backend("redis", backend).embedder(PlacedEmbedder::new()).build();
    let _isolated = testing::isolate_with(config.expect("it is right"));
    let history = "a private matter ".repeat(10_000);
    became(&Context::new(&[("user", &history)]), QUESTION).await;
    let keys = server.ask(&["KEYS", "*"]);
    assert!(keys.contains("conversations"), "{keys}");
    for key in keys.lines() {
        assert!(key.len() < 300 && !key.contains("private"), "{key}");
        let size: usize = server.ask(&["MEMORY", "USAGE", key]).parse().expect("it is a number");
        assert!(size < 2_000, "{key}: {size} bytes");
    }
}
