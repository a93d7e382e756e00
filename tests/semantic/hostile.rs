//! Questions are anybody's: of any length, in any script, with any character, and made to look like another's.

use std::fmt::Write as _;
use std::sync::Arc;

use stampede_runtime::semantic::{LexicalEmbedder, QUESTION_BYTES_MAX};
use stampede_runtime::testing::{Fault, FaultyBackend};
use stampede_runtime::{Config, Outcome, outcome, semantic_coalesce};
use tracing::Level;

use super::help::{World, boarded, settle};
use super::parts::{Parts, Temper, add_up, patient};
use super::process::{Log, process_with};

#[semantic_coalesce(namespace = "hostile", query = question, tenant = tenant, skip(world))]
async fn ask(tenant: String, question: &str, world: Arc<World>) -> String {
    let number = world.body().await;
    format!("{number}: {question}")
}

fn call(question: &str, world: &Arc<World>) -> impl Future<Output = String> + Send + 'static {
    let (question, world) = (question.to_owned(), Arc::clone(world));
    async move { ask("tenant".to_owned(), &question, world).await }
}

/// Texts that somebody might stumble over. Lexically, each is far from all others.
fn texts() -> Vec<String> {
    let mut texts = [
        "\0",
        "nul \0 within",
        "\u{1}\u{2}\u{7F}\u{9B} controls",
        "'; DROP TABLE semantic_cache; --",
        "$1 $2 ::text \\x00 \\' E'\\\\",
        "* ? [a-z] {x} % _ glob",
        "stampede:{hostile::ask}:1:00",
        "tenant\u{1F}question\u{1E}other",
        "{\"tenant\":\"other\",\"question\":\"q\"}",
        "\u{202E}edir ot tfel morf\u{202C}",
        "\u{5E9}\u{5DC}\u{5D5}\u{5DD} \u{645}\u{631}\u{62D}\u{628}\u{627}",
        "\u{4ECA}\u{5929}\u{306F}\u{3044}\u{3044}\u{5929}\u{6C17}",
        "\u{1F469}\u{200D}\u{1F469}\u{200D}\u{1F467} \u{1F3F3}\u{FE0F}\u{200D}\u{1F308}",
        "e\u{301}\u{301}\u{301}\u{301}\u{301} zalgo",
        "\u{FEFF}\u{200B}\u{2060}",
        "\u{FFFD}\u{FFFF}\u{10FFFF}",
        "{{template}} {0} {} %s %n",
        "-1e999 NaN inf 0x7fffffff \u{663}\u{664}",
        "\r\n\r\nHTTP/1.1 200 OK\r\n",
        "*3\r\n$3\r\nSET\r\n",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push(String::new());
    texts.push("word ".repeat(200_000));
    texts.push("\u{1F600}".repeat(QUESTION_BYTES_MAX));
    texts.push("a".repeat(QUESTION_BYTES_MAX));
    texts.push("b".repeat(QUESTION_BYTES_MAX + 1));
    // A ligature that is eighteen letters in its normal form.
    texts.push("\u{FDFA}".repeat(QUESTION_BYTES_MAX / 3));
    texts.push("\"'\u{201C}\u{201D}\u{AB}\u{BB}`".repeat(1_000));
    texts.push("(".repeat(10_000));
    texts
}

/// Each is answered with its own answer, at once, again, and in another process.
#[tokio::test(start_paused = true)]
async fn each_gets_its_own_answer() {
    let (parts, fake, world) = (Parts::new(), FaultyBackend::new(), World::at_ease());
    let config = || {
        Config::builder()
            .embedder(LexicalEmbedder::new())
            .index("pgvector", Arc::clone(&parts.index))
            .backend("redis", fake.clone())
    };
    let texts = texts();
    for process in 0..2 {
        process_with(config(), async {
            for _ in 0..2 {
                for (at, text) in texts.iter().enumerate() {
                    let answer = call(text, &world).await;
                    let asked = answer.split_once(": ").expect("a number").1;
                    assert!(
                        asked == text,
                        "text {at} in process {process} got {:?}",
                        asked.chars().take(40).collect::<String>()
                    );
                }
            }
            let stats = ask::stats();
            add_up(&stats, 2 * texts.len() as u64);
            assert_eq!(
                (stats.semantic.index_failures, stats.semantic.embed_faults.other, stats.panics),
                (0, 0, 0),
                "{stats}"
            );
            assert_eq!(stats.executions, if process == 0 { texts.len() as u64 } else { 0 }, "{stats}");
            for text in &texts {
                ask::invalidate("other".to_owned(), text).await.unwrap();
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_long_or_empty_is_found_exactly_or_not_at_all() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        let long = |word: &str| format!("{} {word}", "x".repeat(QUESTION_BYTES_MAX));
        for (at, question) in [long("one"), long("two"), String::new()].iter().enumerate() {
            assert!(call(question, &world).await.starts_with(&format!("{}: ", at + 1)), "question {at}");
            assert!(call(question, &world).await.starts_with(&format!("{}: ", at + 1)), "question {at}");
        }
        let stats = ask::stats();
        assert_eq!((parts.compass.texts(), stats.semantic.index_writes, stats.semantic.embed_failures()), (0, 0, 0));
        assert!(stats.semantic.not_embedded >= 3);
        add_up(&stats, 6);
        for question in [long("one"), String::new()] {
            ask::invalidate("tenant".to_owned(), &question).await.unwrap();
        }
        assert!(call("", &world).await.starts_with("4: "));
    })
    .await;
}

/// The longest that is compared, to the byte.
#[tokio::test(start_paused = true)]
async fn the_limit_is_one_of_the_normal_form() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        let fits = "y".repeat(QUESTION_BYTES_MAX);
        // White space around it is not in its normal form.
        call(&format!("  {fits}\n"), &world).await;
        assert_eq!(parts.compass.texts(), 1);
        call(&format!("{fits}z"), &world).await;
        assert_eq!(parts.compass.texts(), 1);
        // It is the embedder's that is limited, and this is short until it is in its normal form.
        call(&"\u{FDFA}".repeat(QUESTION_BYTES_MAX / 4), &world).await;
        assert_eq!(parts.compass.texts(), 1);
    })
    .await;
}

/// All of these are one question to whoever compares carelessly.
#[tokio::test(start_paused = true)]
async fn nobody_gets_what_is_another_tenants() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        let pairs = [
            ("a", "b c"),
            ("a b", "c"),
            ("", "a b c"),
            ("a b c", ""),
            ("a\0b", "c"),
            ("a", "\0b c"),
            ("a'", "b c"),
            ("A", "b c"),
            ("a ", "b c"),
            ("a\u{200B}", "b c"),
            ("\u{430}", "b c"),
            ("%", "b c"),
            ("a", "tenant = 'a ' b c"),
        ];
        let mut calls = Vec::new();
        for (tenant, question) in pairs {
            let world = Arc::clone(&world);
            let call = async move { outcome(ask(tenant.to_owned(), question, world)).await };
            calls.push((tenant, boarded(call).await));
        }
        world.open_all();
        let mut number_of = std::collections::HashMap::new();
        for (tenant, call) in calls {
            let (answer, became) = call.await.unwrap();
            let number = answer.split_once(':').unwrap().0.to_owned();
            // All are at 0 degrees, so a tenant's own share one answer; nobody else's is in it.
            let first = number_of.entry(number).or_insert(tenant);
            assert_eq!(*first, tenant, "{became:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_question_is_said_where_things_go_wrong() {
    let parts = Parts::new();
    let (log, _guard) = Log::install();
    patient(&parts, async {
        parts.index.always(Fault::Panic);
        let world = World::at_ease();
        call("@0 my secret", &world).await;
        parts.compass.is(Temper::Vectors(3));
        call("@90 my secret", &world).await;
        ask::invalidate("secret tenant".to_owned(), "my secret").await.unwrap_err();
        let mut said = format!("{:?}", ask::stats());
        for level in [Level::ERROR, Level::WARN, Level::INFO] {
            log.lines(level).iter().for_each(|line| write!(said, "{line}").unwrap());
        }
        assert!(said.contains("hostile::ask") && !said.contains("secret"), "{said}");
    })
    .await;
}

/// What is asked in many spellings is one question.
#[tokio::test(start_paused = true)]
async fn spellings_of_one_text_are_one_question() {
    let (parts, world) = (Parts::new(), World::at_ease());
    let spellings =
        ["What is caf\u{E9}?", "what is cafe\u{301}?", "  WHAT\u{A0}IS\tCAF\u{C9}? ", "\u{FF57}hat is caf\u{E9}?"];
    let answer = patient(&parts, call(spellings[0], &world)).await;
    for spelling in spellings {
        patient(&parts, async {
            let (value, became) = outcome(call(spelling, &world)).await;
            assert_eq!(value, answer, "{spelling}");
            assert!(matches!(became, Some(Outcome::Hit { .. })), "{spelling}: {became:?}");
        })
        .await;
    }
    assert_eq!((world.runs(), parts.compass.texts()), (1, 1));
}

/// What NFKC makes one of, although it is another number, is not one question.
#[tokio::test(start_paused = true)]
async fn powers_and_fractions_are_other_numbers() {
    let pairs = [
        ("What is 2\u{B3}?", "What is 23?"),
        ("Is 10\u{207B}\u{B2} m much?", "Is 10\u{2212}2 m much?"),
        ("Is 1\u{BD} m much?", "Is 11\u{2044}2 m much?"),
        ("What is 101\u{2082}?", "What is 1012?"),
    ];
    for (one, other) in pairs {
        let (parts, world) = (Parts::new(), World::at_ease());
        patient(&parts, async {
            call(one, &world).await;
            settle().await;
            let (answer, became) = outcome(call(other, &world)).await;
            assert!(answer.ends_with(other) && became == Some(Outcome::Executed), "{one} / {other}: {became:?}");
        })
        .await;
    }
}
