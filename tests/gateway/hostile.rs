//! What no client sends.

use serde_json::{Value, json};

use super::process::Gateway;
use super::upstream::Upstream;

const CHAT: &str = "/v1/chat/completions";

fn pair(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn requests_that_are_none() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream);
    let send = |path: &str, body: &str| gateway.send("POST", path, &[], body.as_bytes()).error();
    let deep = format!(r#"{{"model": "m", "messages": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for body in ["", "{", "[]", "null", "7", "\"text\"", "{\"model\": \"m\"", "\u{feff}{}", &deep, "{}{}"] {
        let shown = &body[..body.len().min(20)];
        assert_eq!(send(CHAT, body), pair(400, "bad_json"), "{shown}");
        assert_eq!(send("/v1/embeddings", body), pair(400, "bad_json"), "{shown}");
    }
    assert_eq!(gateway.send("POST", CHAT, &[], b"\xff\xfe{").error(), pair(400, "bad_json"));
    for body in ["{}", r#"{"model": ""}"#, r#"{"model": 7}"#, r#"{"model": null, "messages": []}"#] {
        assert_eq!(send(CHAT, body), pair(400, "missing_model"), "{body}");
    }
    for messages in [json!([]), json!({}), json!("text"), Value::Null] {
        let body = json!({ "model": "m", "messages": messages }).to_string();
        assert_eq!(send(CHAT, &body), pair(400, "missing_messages"), "{body}");
    }
    for input in [json!([]), json!({}), json!(7), json!([{}]), json!(["a", 7]), json!([["a"]]), Value::Null] {
        let body = json!({ "model": "m", "input": input }).to_string();
        assert_eq!(send("/v1/embeddings", &body), pair(400, "bad_input"), "{body}");
    }
    let many = json!({ "model": "m", "input": vec!["a"; 2_049] }).to_string();
    assert_eq!(send("/v1/embeddings", &many), pair(400, "too_many_texts"));
    assert_eq!(gateway.ask_with("m", "q", &[("x-stampede-share", "all")]).error(), pair(400, "unknown_share"));
    assert_eq!(upstream.calls().len(), 0, "none of it is the upstream's affair");
    gateway.is_alive();
}

#[test]
fn paths_and_methods_that_there_are_not() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream);
    for path in ["/", "/v1", "/v1/files", "/v1/chat/completions/", "/v1/../stats", "/v1/models/%2e%2e", "//v1/models"] {
        assert_eq!(gateway.send("GET", path, &[], b"").error(), pair(404, "unknown_path"), "{path}");
    }
    assert_eq!(gateway.send("DELETE", CHAT, &[], b"").error(), pair(405, "unknown_method"));
    assert_eq!(gateway.send("POST", "/stats", &[], b"").error(), pair(405, "unknown_method"));
    assert_eq!(upstream.calls().len(), 0);
}

#[test]
fn messages_of_odd_shapes_are_asked_and_kept_exactly() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream);
    let picture =
        json!([{ "type": "image_url", "image_url": { "url": "data:," } }, { "type": "text", "text": "what?" }]);
    let odd = [
        json!([7]),
        json!([null]),
        json!([{}]),
        json!([{ "role": "user" }]),
        json!([{ "role": "user", "content": null }]),
        json!([{ "role": "user", "content": "" }]),
        json!([{ "role": "user", "content": [] }]),
        json!([{ "role": "user", "content": [{ "type": "text" }] }]),
        json!([{ "role": "user", "content": picture }]),
        json!([{ "role": "assistant", "content": "How do I reset my password?" }]),
        json!([{ "role": "user", "content": "q".repeat(1 << 20) }]),
    ];
    for (at, messages) in odd.iter().enumerate() {
        for became in ["miss", "hit"] {
            let body = json!({ "model": "small", "messages": messages });
            let answer = gateway.post(CHAT, "sk-secret", &[], &body);
            assert_eq!((answer.status, answer.became(), upstream.chats()), (200, became, at + 1), "{answer:?}");
        }
    }
    // A part and a text of one wording are two requests, and their answers may differ.
    for content in [json!("same words"), json!([{ "type": "text", "text": "same words" }])] {
        let body = json!({ "model": "small", "messages": [{ "role": "user", "content": content }] });
        assert_eq!(gateway.post(CHAT, "sk-secret", &[], &body).became(), "miss");
    }
}

#[test]
fn what_is_digested_is_what_is_sent() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream);
    let body = br#"{"model": "small", "seed": 1, "messages": [{"role": "user", "content": "one"}], "seed": 2}"#;
    gateway.send("POST", CHAT, &[], body);
    let sent = &upstream.calls()[0].body;
    assert_eq!(sent["seed"], 2);
    let body = json!({ "messages": [{ "content": "one", "role": "user" }], "seed": 2, "model": "small" });
    assert_eq!(gateway.send("POST", CHAT, &[], body.to_string().as_bytes()).became(), "hit");
}

#[test]
fn bodies_that_are_too_large() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream);
    let large = vec![b' '; (32 << 20) + 1];
    let answer = gateway.send("POST", CHAT, &[], &large);
    assert_eq!(answer.error(), pair(413, "too_large"));
    let mut chunked = format!("{:x}\r\n", large.len()).into_bytes();
    chunked.extend_from_slice(&large);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    let answer = gateway.send("POST", CHAT, &[("transfer-encoding", "chunked")], &chunked);
    assert_eq!(answer.error(), pair(413, "too_large"));
    // More than there is of anything, said and not sent.
    let answer = gateway.send("POST", CHAT, &[("content-length", "18446744073709551615")], b"{");
    assert!((400..500).contains(&answer.status), "{answer:?}");
    gateway.is_alive();
}

#[test]
fn bytes_that_are_no_http() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream);
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n"] {
        assert_eq!(gateway.write(bytes).rest().status, 400, "{bytes:?}");
    }
    let heads = [
        format!("GET /health HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(1 << 20)),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)),
        format!("GET /health HTTP/1.1\r\n{}\r\n", "x: x\r\n".repeat(10_000)),
        "POST /v1/models HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}".to_owned(),
    ];
    for head in heads {
        let status = gateway.write(head.as_bytes()).rest().status;
        assert!((400..500).contains(&status), "{status}");
    }
    // Those who say nothing, or leave in the middle, hold up nobody.
    let silent: Vec<_> = (0..50).map(|_| gateway.write(b"POST /v1/chat/completions HTTP/1.1\r\n")).collect();
    gateway.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{").leave();
    gateway.is_alive();
    drop(silent);
}

#[test]
fn secrets_stay_secret() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream);
    for model in ["small", "busy", "nonsense"] {
        gateway.ask(model, "a private question");
    }
    let stats = String::from_utf8(gateway.send("GET", "/stats", &[], b"").body).expect("it is text");
    gateway.terminate();
    let (_, said) = gateway.wait();
    for secret in ["sk-secret", "sk-of", "private"] {
        assert!(!stats.contains(secret) && !said.contains(secret), "{stats} {said}");
    }
}
