//! `stampede demo`, run as a person or a script would: what it prints, and how it ends.

#[path = "../stampede-runtime/tests/support/redis_server.rs"]
mod redis_server;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Output, Stdio};

use redis_server::RedisServer;
use serde_json::{Value, json};

fn stampede(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stampede"));
    command.args(arguments).stdin(Stdio::null()).env_remove("STAMPEDE_OFF").env_remove("STAMPEDE_REDIS_URL");
    command
}

fn run(arguments: &[&str]) -> Output {
    stampede(arguments).output().expect("the binary was built for this test")
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("the output is UTF-8")
}

/// Runs `stampede demo --format json` with more arguments; it has to end well.
fn report(arguments: &[&str]) -> Value {
    let output = run(&[&["demo", "--format", "json"], arguments].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    serde_json::from_slice(&output.stdout).expect("the output is JSON")
}

/// One non-empty line that begins with `error: `.
fn sentence(output: &Output) -> &str {
    let stderr = text(&output.stderr);
    assert_eq!(stderr.lines().count(), 1, "{stderr:?}");
    stderr.strip_prefix("error: ").expect("an error begins with its label").trim_end()
}

/// A file of prompts that is gone when the test ends.
fn prompts(content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("the temporary folder can be written to");
    file.write_all(content).expect("the temporary folder can be written to");
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().expect("temporary files have plain names")
}

#[test]
fn one_call_per_city() {
    let report = report(&[]);
    assert_eq!(report["verdict"], serde_json::json!({ "one_call_per_key": true, "all_answered": true }));

    let keys = report["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 3);
    for key in keys {
        assert_eq!(key["without"]["calls"], 20, "{key}");
        assert_eq!(key["with"]["calls"], 1, "{key}");
        assert_eq!(key["with"]["requests"], 20, "{key}");
    }

    let (without, with) = (&report["without"], &report["with"]);
    assert_eq!((&without["requests"], &without["calls"], &without["calls_saved"]), (&60.into(), &60.into(), &0.into()));
    assert_eq!((&with["requests"], &with["calls"], &with["calls_saved"]), (&60.into(), &3.into(), &57.into()));
    assert_eq!(with["answered"], 60);
    assert_eq!(with["cost_usd"], 0.03);
    assert!(without["refused"].as_u64().unwrap() > 0, "the rate limit refuses a stampede");
}

#[test]
fn callers_and_stampede_count_the_same() {
    let report = report(&["-t", "20", "-c", "5"]);
    let with = &report["with"];
    let served = ["calls", "waits", "hits"].map(|field| with[field].as_u64().unwrap());
    assert_eq!(served.iter().sum::<u64>(), 200);

    let stats = report["stats"].as_object().unwrap();
    let [stats] = stats.values().collect::<Vec<_>>()[..] else { panic!("one function was used: {stats:?}") };
    assert_eq!(["led", "coalesce_hits", "cache_hits"].map(|field| stats[field].as_u64().unwrap()), served);
}

#[test]
fn flush_makes_both_rounds_cold() {
    let report = report(&["--flush"]);
    assert_eq!(report["with"]["calls"], 6);
    assert_eq!(report["with"]["calls_per_key_max"], 2);
    assert_eq!(report["workload"]["cold_rounds"], 2);
}

#[test]
fn prompts_are_shared_by_content() {
    let file = prompts("Why is the sky blue?\n\nWHY IS  THE SKY BLUE?\nWhat is Rust?\r\n".as_bytes());
    let report = report(&["--prompts", path(&file), "--requests", "40", "--threads", "10"]);
    assert_eq!(report["workload"]["keys"], 2);
    assert_eq!(report["without"]["calls"], 80);
    assert_eq!(report["with"]["calls"], 2);
    assert_eq!(report["keys"][0]["key"], "Why is the sky blue?");
}

#[test]
fn a_bad_verdict_is_a_failure() {
    let output = stampede(&["demo", "--cities", "1"]).env("STAMPEDE_OFF", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(sentence(&output), "with the attribute, the API was called 20 times instead of 1");
    assert!(text(&output.stdout).contains("20 requests became 20 calls."));
}

#[test]
fn the_table_in_a_pipe_is_plain_text() {
    let output = run(&["demo", "--verbose"]);
    assert!(output.status.success());
    assert_eq!(text(&output.stderr), "", "no bars in a pipe");
    let page = text(&output.stdout);
    assert!(!page.contains('\u{1b}'), "no escape sequences in a pipe");
    assert!(page.lines().all(|line| line.chars().count() <= 100), "{page}");
    for words in ["without", "with", "57 (95%)", "Nairobi", "60 requests became 3 calls: one per city"] {
        assert!(page.contains(words), "{words:?} is missing in\n{page}");
    }
}

#[test]
fn escape_sequences_in_a_prompt_stay_inside_it() {
    let file = prompts(b"red \x1b[31malert\n");
    let output = run(&["demo", "--verbose", "--prompts", path(&file), "--requests", "5"]);
    assert!(output.status.success());
    assert!(!output.stdout.contains(&0x1b));
}

#[test]
fn bad_options_are_refused() {
    for options in [
        &["--threads", "0"][..],
        &["--threads", "51"],
        &["--cities", "6"],
        &["--cities", "many"],
        &["--requests", "5"],
        &["--prompts", "x", "--cities", "2"],
        &["--format", "xml"],
        &["--no-such-option"],
    ] {
        let output = run(&[&["demo"], options].concat());
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        assert!(output.stdout.is_empty(), "{options:?}");
        assert!(text(&output.stderr).starts_with("error: "), "{options:?}");
    }
}

#[test]
fn nobody_can_press_enter_without_a_terminal() {
    let output = run(&["demo", "--interactive"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(sentence(&output), "--interactive waits for Enter, but standard input is not a terminal");
}

#[test]
fn a_bad_file_of_prompts_is_one_sentence() {
    let output = run(&["demo", "--prompts", "no-such-file.txt"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(sentence(&output).starts_with("no-such-file.txt cannot be read: "));

    for (content, why) in [
        (&b""[..], "has no prompts in it: every line is empty"),
        (b"\n  \n", "has no prompts in it: every line is empty"),
        (b"one\ntwo \xff\nthree\n\xfe\n", "is not UTF-8 text in lines 2 and 4"),
    ] {
        let file = prompts(content);
        let output = run(&["demo", "--prompts", path(&file)]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(sentence(&output), format!("{} {why}", path(&file)));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child =
        stampede(&["demo"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary was built");
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it() {
    let mut child =
        stampede(&["demo"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary was built");
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success() && first.contains("3 cities"));

    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(text(&output.stderr).trim(), "interrupted");
}

/// The figures of some processes, by name.
fn figures<const N: usize>(of: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| of[name].as_u64().unwrap_or_else(|| panic!("{name} is missing in {of}")))
}

#[test]
fn four_processes_share_one_call() {
    let Some(server) = RedisServer::start("four_processes_share_one_call") else { return };
    let report = report(&["--processes", "4", "--redis", &server.url()]);
    assert_eq!(report["verdict"], json!({ "one_call_per_key": true, "all_answered": true, "taken_over": null }));
    assert_eq!(report["kill"], Value::Null);

    let total = &report["total"];
    assert_eq!(figures(total, ["requests", "answered", "calls", "executions"]), [2_000, 2_000, 1, 1]);
    assert_eq!(figures(total, ["taken_over", "lost", "fenced", "redis_failures"]), [0; 4]);
    let processes = report["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 4);
    for process in processes {
        let [executions, joined, hits] = figures(process, ["executions", "joined", "hits"]);
        assert_eq!(executions + joined + hits, 500, "{process}");
        assert!(hits >= 250, "the second round is served from memory: {process}");
        assert_eq!(process["calls"], executions, "{process}");
    }
    assert_eq!(report["rounds"][1]["calls"], 0);
}

#[test]
fn each_of_many_keys_is_called_for_once() {
    let Some(server) = RedisServer::start("each_of_many_keys_is_called_for_once") else { return };
    let report = report(&["--processes", "3", "--callers", "100", "--keys", "50", "--redis", &server.url()]);
    assert_eq!(figures(&report["total"], ["requests", "calls"]), [600, 50]);
    assert!(report["keys"].as_array().unwrap().iter().all(|key| key["calls"] == 1));
}

#[test]
fn others_take_over_from_a_process_that_is_killed() {
    let Some(server) = RedisServer::start("others_take_over_from_a_process_that_is_killed") else { return };
    let report = report(&["--processes", "3", "--callers", "50", "--kill", "--redis", &server.url()]);
    assert_eq!(report["verdict"], json!({ "one_call_per_key": true, "all_answered": true, "taken_over": true }));

    let killed = &report["kill"]["process"];
    let [key] = &report["keys"].as_array().unwrap()[..] else { panic!("one place was asked for: {report}") };
    assert_eq!((&key["calls"], &key["processes"][0]), (&2.into(), killed));
    assert_ne!(&key["processes"][1], killed);
    assert!(key["takeover_ms"].as_f64().unwrap() > 0.0);
    for process in report["processes"].as_array().unwrap() {
        let expected = if process["process"] == *killed { [50, 0] } else { [100, 100] };
        assert_eq!(figures(process, ["requests", "answered"]), expected, "{process}");
        assert_eq!(process["killed"], process["process"] == *killed);
    }
    assert_eq!(report["total"]["taken_over"], 1);
}

#[test]
fn the_table_has_a_row_for_each_process() {
    let Some(server) = RedisServer::start("the_table_has_a_row_for_each_process") else { return };
    let url = server.url();
    let output = stampede(&["demo", "--processes", "2", "--callers", "10", "--kill", "--verbose"])
        .env("STAMPEDE_REDIS_URL", &url)
        .output()
        .unwrap();
    let page = text(&output.stdout);
    assert!(output.status.success(), "{}{page}", text(&output.stderr));
    assert!(page.lines().all(|line| line.chars().count() <= 100), "{page}");
    for words in ["2 processes of 10 callers", " killed", "DE/10115", "30 requests became 2 calls", "one more"] {
        assert!(page.contains(words), "{words:?} is missing in\n{page}");
    }
    assert!(!page.contains(&url) && !page.contains(&server.port().to_string()), "{page}");
}

#[test]
fn processes_that_share_nothing_are_a_failure() {
    let Some(server) = RedisServer::start("processes_that_share_nothing_are_a_failure") else { return };
    let mut command = stampede(&["demo", "--processes", "2", "--callers", "5", "--redis", &server.url()]);
    let output = command.env("STAMPEDE_OFF", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(sentence(&output), "the API was called 20 times instead of 1");
}

#[test]
fn processes_need_a_redis_and_never_show_where_it_is() {
    let output = run(&["demo", "--processes", "4"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(sentence(&output).contains("`redis-server --port 16379 --save ''`"), "{}", sentence(&output));

    for (url, code) in [
        // The port of nobody.
        ("redis://somebody:secret@127.0.0.1:1/0", 1),
        ("http://somebody:secret@127.0.0.1/", 2),
        ("secret", 2),
    ] {
        let output = run(&["demo", "--processes", "2", "--redis", url]);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let sentence = sentence(&output);
        assert!(!sentence.contains("secret") && !sentence.contains("127.0.0.1"), "{sentence}");
        assert!(output.stdout.is_empty());
    }

    for options in [&["--kill"][..], &["--redis", "x"], &["--processes", "0"], &["--processes", "2", "--cities", "2"]] {
        assert_eq!(run(&[&["demo"], options].concat()).status.code(), Some(2), "{options:?}");
    }
    for options in [&["--processes", "1", "--kill"][..], &["--processes", "2", "--callers", "1", "--keys", "2"]] {
        let output = run(&[&["demo", "--redis", "redis://127.0.0.1:1"], options].concat());
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        sentence(&output);
    }
}

#[test]
fn nobody_starts_a_worker_by_hand() {
    let output = run(&["demo-worker"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(sentence(&output), "only `stampede demo --processes` starts a worker");
    assert!(!text(&run(&["--help"]).stdout).contains("demo-worker"));
}

#[test]
fn alone_it_prints_help() {
    let output = run(&[]);
    assert!(text(&output.stderr).contains("Usage: stampede <COMMAND>"));
}
