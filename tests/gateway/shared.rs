//! What is shared, with whom, and what is not.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::process::Gateway;
use super::redis_server::RedisServer;
use super::upstream::{PATIENCE, Upstream};

const QUESTION: &str = "How do I reset my password?";
const NEAR: &str = "How can I reset my password?";

#[test]
fn two_gateways_meet_in_redis() {
    let Some(server) = RedisServer::start("two_gateways_meet_in_redis") else { return };
    let upstream = Upstream::start();
    let gateway = || Gateway::start(&upstream.url(), &["--embedder-model", "placed"], Some(&server.url()));
    let [one, other] = [gateway(), gateway()];
    assert_eq!(one.ask("small", QUESTION).became(), "miss");
    // An answer goes to Redis behind its caller.
    let wait_for = |words: &str, count: usize| {
        let end = Instant::now() + PATIENCE;
        loop {
            let keys = server.ask(&["KEYS", "*"]);
            let kept = keys.lines().filter(|key| key.contains(words) && key.ends_with('}'));
            if kept.count() >= count {
                return;
            }
            assert!(Instant::now() < end, "{count} of {words} are not kept: {keys}");
            thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for("by_meaning", 1);
    let answer = other.ask("small", QUESTION);
    assert_eq!((answer.became(), answer.header("x-stampede-tier")), ("hit", Some("redis")), "{answer:?}");
    let exactly = [("x-stampede-share", "exact")];
    assert_eq!(one.ask_with("small", QUESTION, &exactly).became(), "miss");
    wait_for("exactly", 1);
    assert_eq!(other.ask_with("small", QUESTION, &exactly).header("x-stampede-tier"), Some("redis"));

    // One call for both while it is under way.
    let before = upstream.chats();
    thread::scope(|scope| {
        let asked = [&one, &other].map(|gateway| scope.spawn(|| gateway.ask("gated", QUESTION)));
        upstream.wait_for_chats(before + 1);
        upstream.open(1);
        let texts = asked.map(|asked| asked.join().expect("it is answered").text());
        assert_eq!(texts[0], texts[1]);
    });
    assert_eq!(upstream.chats(), before + 1);

    // An error goes to both, and to nobody later.
    assert_eq!(one.ask("busy", QUESTION).error(), (429, "rate_limit_exceeded".to_owned()));
    assert_eq!(other.ask("busy", QUESTION).header("retry-after"), Some("7"));

    let body = json!({ "model": "placed", "input": ["red", "green"] });
    assert_eq!(one.post("/v1/embeddings", "sk-secret", &[], &body).header("x-stampede-sent"), Some("2"));
    wait_for("embeddings", 2);
    let answer = other.post("/v1/embeddings", "sk-secret", &[], &body);
    assert_eq!((answer.became(), answer.header("x-stampede-sent")), ("hit", Some("0")), "{answer:?}");

    // What is secret or said stands in no key.
    let keys = server.ask(&["KEYS", "*"]).to_lowercase();
    assert!(!keys.is_empty() && ["sk-secret", "password", "green"].iter().all(|word| !keys.contains(word)), "{keys}");
}

#[test]
fn a_text_that_is_refused_fails_no_other_request() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream);
    let ask = |model: &str, texts: &[&str]| {
        gateway.post("/v1/embeddings", "sk-secret", &[], &json!({ "model": model, "input": texts }))
    };
    // Many at once, of which one half has a text that the upstream refuses.
    thread::scope(|scope| {
        let bad: Vec<_> = (0..8).map(|_| scope.spawn(|| ask("placed", &["shared", "refused"]))).collect();
        let good: Vec<_> = (0..8).map(|_| scope.spawn(|| ask("placed", &["shared"]))).collect();
        for answer in good {
            let answer = answer.join().expect("it is answered");
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        for answer in bad {
            assert_eq!(answer.join().expect("it is answered").error(), (400, "bad_text".to_owned()));
        }
    });
}

#[test]
fn a_client_that_gives_up_and_comes_again_finds_its_call() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream);
    let body = json!({ "model": "gated", "messages": [{ "role": "user", "content": QUESTION }] }).to_string();
    let open = gateway.begin("POST", "/v1/chat/completions", &[("authorization", "Bearer sk-secret")], body.as_bytes());
    upstream.wait_for_chats(1);
    open.leave();
    let again = thread::scope(|scope| {
        let again = scope.spawn(|| gateway.ask("gated", QUESTION));
        upstream.open(1);
        again.join().expect("it is answered")
    });
    assert_eq!((again.text().as_str(), upstream.chats()), ("answer 1 to How do I reset my password?", 1));
}

#[test]
fn a_stream_passes_through_as_it_comes() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream);
    let body = json!({
        "model": "small", "messages": [{ "role": "user", "content": QUESTION }], "stream": true,
    });
    // Even where something could answer it.
    gateway.ask("small", QUESTION);
    for _ in 0..2 {
        let mut open = gateway.begin("POST", "/v1/chat/completions", &[], body.to_string().as_bytes());
        open.until("chat.completion.chunk");
        upstream.open(1);
        let answer = open.rest();
        assert_eq!((answer.became(), answer.header("content-type")), ("bypass", Some("text/event-stream")));
        assert!(String::from_utf8_lossy(&answer.body).contains("data: [DONE]"));
    }
    assert_eq!(upstream.chats(), 3);
}

#[test]
fn without_an_embedder_only_what_is_equal_is_shared() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&upstream.url(), &[], None);
    let became = |question| gateway.ask("small", question).became().to_owned();
    assert_eq!([QUESTION, QUESTION, NEAR].map(became), ["miss", "hit", "miss"]);
}

#[test]
fn what_is_no_answer_is_passed_on_and_not_kept() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream);
    for count in 1..=2 {
        let answer = gateway.ask("polite", QUESTION);
        assert_eq!((answer.status, upstream.chats()), (200, count), "{answer:?}");
        assert_eq!(answer.json()["error"]["message"], "not today");
    }
    for (model, count) in [("nonsense", 4), ("cut", 6), ("moved", 8)] {
        for _ in 0..2 {
            assert_eq!(gateway.ask(model, QUESTION).error(), (502, "bad_upstream".to_owned()), "{model}");
        }
        assert_eq!(upstream.chats(), count, "{model}");
    }
    // Nor is it what another question is near to.
    assert_eq!(gateway.ask("polite", NEAR).became(), "miss");
}

#[test]
fn tokens_are_counted() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream);
    for question in [QUESTION, QUESTION, NEAR] {
        gateway.ask("small", question);
    }
    let stats = gateway.send("GET", "/stats", &[], b"").json();
    let chat = &stats["gateway::by_meaning"];
    assert_eq!((&chat["requests"], &chat["executions"]), (&3.into(), &1.into()), "{chat}");
    assert_eq!((&chat["cost_spent"], &chat["cost_saved"]), (&30.0.into(), &60.0.into()));
}
