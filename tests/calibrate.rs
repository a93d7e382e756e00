//! `stampede calibrate`, run as a person or a script would: what it prints, and how it ends.

#[path = "../stampede-runtime/tests/support/embeddings_api.rs"]
mod embeddings_api;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use embeddings_api::{EmbeddingsApi, no};
use serde_json::Value;
use tempfile::NamedTempFile;

const PAIRS: &str = r#"
{"a": "How do I reset my password?", "b": "how do i reset my  password ?", "label": 1}
{"a": "How do I reset my password?", "b": "Why is the sky blue?", "label": 0}
{"a": "Is it fine to drive 5 km over the limit?", "b": "Is it fine to drive 50 km over the limit?", "label": 0}
"#;

fn file(content: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("the temporary folder can be written to");
    file.write_all(content.as_bytes()).expect("the temporary folder can be written to");
    file
}

fn calibrate(pairs: &NamedTempFile, arguments: &[&str], key: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stampede"));
    command.arg("calibrate").arg("--pairs").arg(pairs.path()).args(arguments).env("OPENAI_API_KEY", key);
    command.stdin(Stdio::null()).output().expect("the binary was built for this test")
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("the output is UTF-8")
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    serde_json::from_slice(&output.stdout).expect("the output is JSON")
}

/// The one sentence of a command that does not end well.
fn sentence(output: &Output, exit_code: i32) -> &str {
    assert_eq!(output.status.code(), Some(exit_code));
    assert_eq!(text(&output.stdout), "");
    let stderr = text(&output.stderr);
    assert_eq!(stderr.lines().count(), 1, "{stderr:?}");
    stderr.strip_prefix("error: ").expect("an error begins with its label").trim_end()
}

/// Right and wrong hits with a set of guards, at the first threshold.
fn hits(report: &Value, set: &str) -> [u64; 2] {
    let guards = report["thresholds"][0]["guards"].as_array().expect("there are sets of guards");
    let hits = guards.iter().find(|hits| hits["set"] == set).expect("the set is there");
    ["right_hits", "wrong_hits"].map(|field| hits[field].as_u64().expect("it is a count"))
}

#[test]
fn spelling_is_compared_without_any_server() {
    let report = report(&calibrate(&file(PAIRS), &["--thresholds", "0.8,-1", "--format", "json"], ""));
    assert_eq!(report["pairs"], serde_json::json!({ "same": 1, "different": 2 }));
    assert_eq!((&report["questions"], &report["not_embedded"]), (&5.into(), &0.into()));
    assert_eq!(hits(&report, "none"), [1, 1]);
    assert_eq!(hits(&report, "numbers"), [1, 0]);
    assert_eq!(hits(&report, "default"), [1, 0]);
    let everything = &report["thresholds"][1]["guards"][0];
    assert_eq!((&everything["right_rate"], &everything["wrong_rate"]), (&1.0.into(), &1.0.into()));
}

#[test]
fn an_embedder_is_asked_once_for_each_question() {
    let api = EmbeddingsApi::start([]);
    let arguments = ["--embedder-url", &api.url(), "--model", "m", "--thresholds", "0.999", "--format", "json"];
    let report = report(&calibrate(&file(PAIRS), &arguments, "a-key"));
    assert_eq!(report["model"], "m");
    let asked = api.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("authorization"), "Bearer a-key");
    assert_eq!(asked[0].question["input"].as_array().expect("a list").len(), 5);
    assert_eq!(asked[0].question["input"][2], "how do i reset my password ?");
    // Its vectors tell how long a text is, so all are near.
    assert_eq!(hits(&report, "none"), [1, 2]);
}

#[test]
fn a_table_for_people() {
    let output = calibrate(&file(PAIRS), &["--thresholds", "0.8"], "");
    assert!(output.status.success());
    let page = text(&output.stdout);
    assert!(page.starts_with("1 pair with one meaning and 2 with two, of 5 questions; compared by "), "{page}");
    let rows: Vec<_> = page.lines().filter(|line| line.contains('%')).collect();
    assert_eq!(rows.len(), 8, "{page}");
    assert!(rows[0].starts_with("0.80") && rows[0].contains("none"), "{page}");
}

#[test]
fn a_bad_line_is_named() {
    let pairs = file(&format!("{}\n{{\"a\": \"secret\"}}\n", PAIRS.trim()));
    let output = calibrate(&pairs, &[], "");
    let name = pairs.path().display();
    let expected = format!(r#"{name} has line 4 that is no pair, such as {{"a": "…", "b": "…", "label": 1}}"#);
    assert_eq!(sentence(&output, 1), expected);
    pairs.close().expect("it is ours");
    let gone = NamedTempFile::new().expect("the temporary folder can be written to");
    std::fs::remove_file(gone.path()).expect("it is ours");
    assert!(sentence(&calibrate(&gone, &[], ""), 1).contains("cannot be read"));
}

#[test]
fn an_embedder_that_refuses_is_one_sentence_without_the_key() {
    let api = EmbeddingsApi::start([no(401, &[], r#"{"error": {"message": "a-key", "code": "invalid_api_key"}}"#)]);
    let output = calibrate(&file(PAIRS), &["--embedder-url", &api.url(), "--model", "m"], "a-key");
    assert_eq!(sentence(&output, 1), "the embedder refuses: the server says 401 invalid_api_key");
    let output = calibrate(&file(PAIRS), &["--embedder-url", "ftp://a:secret@b", "--model", "m"], "a\nkey");
    assert_eq!(
        sentence(&output, 2),
        "the embedder cannot be made: `api_key`: it has characters that no header has; \
         `base_url`: it begins with `https://` or `http://`; \
         `base_url`: a user and a password have no place in it; there are `api_key` and `header`"
    );
}

#[test]
fn options_that_need_one_another() {
    for arguments in [&["--model", "m"][..], &["--embedder-url", "http://127.0.0.1:1"], &["--thresholds", "1.5"]] {
        assert_eq!(calibrate(&file(PAIRS), arguments, "").status.code(), Some(2), "{arguments:?}");
    }
}

/// 300 pairs that mean the same and are spelt alike, and one that is near and does not.
fn many() -> String {
    let same =
        |n| format!("{{\"a\": \"How do I open box {n}?\", \"b\": \"how do i open  box {n} ?\", \"label\": 1}}\n");
    let lines: String = (0..300).map(same).collect();
    lines + r#"{"a": "May I drive 5 km over it?", "b": "May I drive 50 km over it?", "label": 0}"#
}

#[test]
fn a_threshold_is_recommended_or_not() {
    let pairs = file(&many());
    let found = report(&calibrate(&pairs, &["--json", "--max-error", "0.02"], ""));
    let choice = |report: &Value, set: &str| {
        let guards = report["recommended"]["guards"].as_array().expect("there are sets of guards");
        guards.iter().find(|choice| choice["set"] == set).expect("the set is there").clone()
    };
    let default = choice(&found, "default");
    assert_eq!((&default["right_hits"], &default["wrong_hits"]), (&300.into(), &0.into()));
    assert_eq!(default["threshold"], 0.0);
    // With nothing wrong among 300 hits, one can be sure of 1 %.
    let bound = default["wrong_share_upper"].as_f64().expect("it is a share");
    assert!((0.009..0.011).contains(&bound), "{bound}");
    let none = report(&calibrate(&pairs, &["--json", "--max-error", "0.005"], ""));
    let default = choice(&none, "default");
    assert_eq!((&default["threshold"], &default["nearest_threshold"]), (&Value::Null, &0.0.into()));
    assert!(default["wrong_share_interval"][1].as_f64() > default["wrong_share_upper"].as_f64());

    let page = text(&calibrate(&pairs, &["--max-error", "0.005"], "").stdout).to_owned();
    assert!(page.contains("at most 0.5% of all hits wrong"), "{page}");
    assert!(page.contains("with these pairs no threshold does"), "{page}");
    assert!(page.lines().filter(|line| line.contains('%')).all(|line| line.chars().count() <= 80), "{page}");
    let page = text(&calibrate(&pairs, &[], "").stdout).to_owned();
    assert!(!page.contains("lowest threshold"), "{page}");
}

#[test]
fn a_plot_is_a_picture() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written to");
    let path = folder.path().join("plot.svg");
    let name = path.to_str().expect("it is UTF-8");
    let api = EmbeddingsApi::start([]);
    let model = ["--embedder-url", &api.url(), "--model", "<&\">"];
    let output = calibrate(&file(&many()), &[&["--plot", name, "--max-error", "0.02"][..], &model[..]].concat(), "");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let svg = std::fs::read_to_string(&path).expect("it was written");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    assert!(svg.contains("&lt;&amp;\"&gt;: 300 pairs") && !svg.contains("NaN"), "{svg}");
    assert_eq!((svg.matches("<polyline").count(), svg.matches("<polygon").count()), (4, 2));

    let output = calibrate(&file(PAIRS), &["--plot", folder.path().to_str().expect("it is UTF-8")], "");
    assert!(sentence(&output, 1).contains("cannot be written"));
}

#[test]
fn figures_beyond_their_range_are_refused() {
    for wrong in ["-0.1", "1.1", "NaN", "2%"] {
        assert_eq!(calibrate(&file(PAIRS), &[&format!("--max-error={wrong}")], "").status.code(), Some(2), "{wrong}");
    }
}
