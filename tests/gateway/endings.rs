//! An upstream that is down, or says nothing, and a gateway that is asked to stop.

use std::thread;
use std::time::Instant;

use super::process::Gateway;
use super::redis_server::free_port;
use super::upstream::{PATIENCE, Upstream};

const QUESTION: &str = "How do I reset my password?";

#[test]
fn an_upstream_that_is_down() {
    let down = format!("http://user:password@127.0.0.1:{}", free_port());
    let gateway =
        Gateway::start(&down, &["--embedder-model", "placed", "--embedder-url", "http://127.0.0.1:1/v1"], None);
    for headers in [&[][..], &[("x-stampede-share", "exact")], &[("x-stampede-share", "none")]] {
        let answer = gateway.ask_with("small", QUESTION, headers);
        assert_eq!(answer.error(), (502, "bad_upstream".to_owned()));
        let text = String::from_utf8_lossy(&answer.body);
        assert!(!text.contains("password") && !text.contains("127.0.0.1"), "{text}");
    }
    assert_eq!(gateway.send("GET", "/v1/models", &[], b"").error(), (502, "bad_upstream".to_owned()));
    gateway.is_alive();
}

#[test]
fn an_embedder_that_is_down_costs_nobody_an_answer() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(
        &upstream.url(),
        &["--embedder-model", "placed", "--embedder-url", "http://127.0.0.1:1/v1"],
        None,
    );
    let became = |_| gateway.ask("small", QUESTION).became().to_owned();
    assert_eq!([1, 2].map(became), ["miss", "hit"]);
}

#[test]
fn an_upstream_that_hangs() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&upstream.url(), &["--timeout", "1"], None);
    let late = (504, "upstream_timeout".to_owned());
    for headers in [&[][..], &[("x-stampede-share", "exact")], &[("x-stampede-share", "none")]] {
        assert_eq!(gateway.ask_with("hanging", QUESTION, headers).error(), late, "{headers:?}");
    }
    // Nothing of it is left behind.
    let stats = gateway.send("GET", "/stats", &[], b"").json();
    for (function, stats) in stats.as_object().expect("there are functions") {
        assert_eq!(stats["in_flight"], 0, "{function}");
    }
    // A busy machine may be slower than the second that it has.
    let end = Instant::now() + PATIENCE;
    while gateway.ask("small", QUESTION).status != 200 {
        assert!(Instant::now() < end, "it does not answer any more");
    }
}

#[test]
fn who_is_under_way_is_answered_when_the_gateway_stops() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream);
    thread::scope(|scope| {
        let asked = scope.spawn(|| gateway.ask("gated", QUESTION));
        upstream.wait_for_chats(1);
        gateway.terminate();
        upstream.open(1);
        assert_eq!(asked.join().expect("it is answered").text(), "answer 1 to How do I reset my password?");
    });
    let (status, said) = gateway.wait();
    assert!(status.success(), "{status}");
    assert_eq!(said, "stopped\n");
}

#[test]
fn wrong_options_are_one_sentence() {
    for upstream in ["ftp://127.0.0.1", "no address"] {
        let output = super::example::example("llm_gateway").args(["--upstream", upstream]).output().expect("it starts");
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    }
}
