//! The examples, run as a person would run them: they end well, and say what they save.

#[path = "../stampede-runtime/tests/support/embeddings_api.rs"]
mod embeddings_api;
#[path = "support/example.rs"]
mod example;
#[path = "../stampede-runtime/tests/support/postgres_server.rs"]
mod postgres_server;
#[path = "../stampede-runtime/tests/support/redis_server.rs"]
mod redis_server;
/// An example with tests, which run here, too.
#[path = "../examples/testing_your_service.rs"]
#[expect(dead_code, reason = "it runs as an example")]
mod testing_your_service;

use std::io::Write as _;
use std::process::Command;

use embeddings_api::EmbeddingsApi;
use example::example;
use postgres_server::PostgresServer;
use redis_server::RedisServer;
use tempfile::NamedTempFile;

/// What an example prints. It has to end well, and in silence on standard error.
fn page(command: &mut Command) -> String {
    let output = command.output().expect("the example starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{:?}: {stderr}", output.status);
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

/// The figures of one row, in each table of the page: mostly two, without and with the attribute.
fn rows<'a, const N: usize>(page: &'a str, label: &str) -> Vec<[&'a str; N]> {
    let figures = page.lines().filter_map(|line| line.strip_prefix(label)?.strip_prefix("  "));
    figures
        .map(|figures| {
            let figures: Vec<_> = figures.split("  ").map(str::trim).filter(|figure| !figure.is_empty()).collect();
            figures.try_into().unwrap_or_else(|figures| panic!("{label}: {figures:?} are not {N}"))
        })
        .collect()
}

fn has(page: &str, words: &str) {
    assert!(page.contains(words), "{words:?} is missing in\n{page}");
}

#[test]
fn quickstart() {
    has(&page(&mut example("quickstart")), "103 requests, 2 executions");
}

#[test]
fn a_service_with_tests() {
    has(&page(&mut example("testing_your_service")), "prices: 4 requests, 2 executions");
}

#[test]
fn tags_and_invalidation() {
    let page = page(&mut example("tags_and_invalidation"));
    has(&page, "one key taken out:  11 answers are wrong");
    has(&page, "tags and patterns:  0 answers are wrong");
    has(&page, "after another write 12 of 313 answers are made anew");
    has(&page, "everything of books: 1 taken out");
}

#[test]
fn llm_call() {
    let page = page(&mut example("llm_call"));
    assert_eq!(rows(&page, "answered"), [["50", "50"]]);
    assert_eq!(rows(&page, "tokens"), [["1350", "135"]]);
    has(&page, "calls to the model: 50 -> 5, 45 saved (90%)");
    has(&page, "A model that does not exist: 1 call, 3 errors.");
    has(&page, "The next caller made 1 call: the model answered 404 Not Found.");
}

#[test]
fn axum_service() {
    let page = page(&mut example("axum_service"));
    assert_eq!(rows(&page, "answered"), [["100", "100"]]);
    has(&page, "calls to the supplier: 100 -> 4, 96 saved (96%)");
    has(&page, "savings_rate: 0.96");
    has(&page, "after shutdown: 0.");
    has(&page, "still 1 call, the answer was kept.");
}

#[test]
fn database_load() {
    let page = page(&mut example("database_load"));
    assert_eq!(rows(&page, "answered"), [["100", "100"]]);
    has(&page, "queries: 100 -> 1, 99 saved (99%)");
}

#[test]
fn rate_limit() {
    let page = page(&mut example("rate_limit"));
    // How many of the unshared calls fall into one second is the machine's affair.
    for [without, with] in rows(&page, "answered") {
        assert!(without.parse::<u32>().unwrap() < 100, "{page}");
        assert_eq!(with, "100");
    }
    for [_, with] in rows(&page, "429 answers") {
        assert_eq!(with, "0");
    }
    has(&page, "calls to the API: 100 -> 1, 99 saved (99%)");
    has(&page, "calls to the API: 100 -> 5, 95 saved (95%)");
}

#[test]
fn stampede_after_expiry() {
    let page = page(&mut example("stampede_after_expiry"));
    assert_eq!(rows(&page, "answered"), [["1200", "1200"]]);
    let [[without, with]] = rows(&page, "most for one expiry")[..] else { panic!("one table:\n{page}") };
    assert!(without.parse::<u32>().unwrap() > 1, "{page}");
    assert_eq!(with, "1");
}

#[test]
fn cached_sync() {
    let page = page(&mut example("cached_sync"));
    assert_eq!(rows(&page, "answered"), [["128", "128"]]);
    assert_eq!(rows(&page, "most for one report"), [["32", "1"]]);
    has(&page, "computations: 128 -> 4, 124 saved (97%)");
}

#[test]
fn stale_while_revalidate() {
    let page = page(&mut example("stale_while_revalidate"));
    let [answered] = rows(&page, "answered")[..] else { panic!("one table:\n{page}") };
    let [plain, ttl, stale, stale_if_error] = answered.map(|figure| figure.parse::<u32>().unwrap());
    // How many fail is the clock's affair.
    assert!(plain.max(ttl).max(stale) < 1_200, "{page}");
    assert_eq!(stale_if_error, 1_200, "{page}");
}

#[test]
fn config_file() {
    let page = page(example("config_file").current_dir(env!("CARGO_MANIFEST_DIR")));
    has(&page, "the configuration has 4 problems:");
    has(&page, "did you mean `ttl`?");
    assert_eq!(rows(&page, "executions"), [["20", "2"]]);
    has(&page, "STAMPEDE_NAMESPACES__FORECAST__TTL=0: 20 executions");
}

#[test]
fn write_through() {
    let page = page(&mut example("write_through"));
    assert_eq!(rows(&page, "answered"), [["1000", "1000"]]);
    has(&page, "queries: 1000 -> 10, 990 saved (99%)");
    has(&page, "after a write: 1 queries, the cache says Some(99).");
    has(&page, "(an error of the database: true), the cache says None.");
    has(&page, "warmed up: 10 of Some(10), 1 of them loaded.");
}

#[test]
fn distributed_workers() {
    let Some(server) = RedisServer::start("distributed_workers") else { return };
    let page = page(example("distributed_workers").env("STAMPEDE_REDIS_URL", server.url()));
    let count = |words: &str| page.lines().filter(|line| line.contains(words)).count();
    assert_eq!((count(" executed: 100 callers"), count(" waited for process ")), (1, 2), "{page}");
    assert_eq!((count("100 requests, 1 executions"), count("100 requests, 0 executions")), (1, 2), "{page}");
    has(&page, "300 callers in 3 processes");
}

#[test]
fn semantic_embedded() {
    let page = page(&mut example("semantic_embedded"));
    assert_eq!(rows(&page, "answered"), [["40", "40"]]);
    let [[without, with]] = rows(&page, "calls to the model")[..] else { panic!("one table:\n{page}") };
    // Of each shop, once for each thing and for a spelling that is too far off.
    assert!(without == "40" && (8..=12).contains(&with.parse::<u32>().unwrap()), "{page}");
    has(&page, "semantic hit in the index, similarity 0.8");
    has(&page, "refused because their numbers differ: 1");
}

#[test]
fn semantic_pgvector() {
    let Some(server) = PostgresServer::start("semantic_pgvector") else { return };
    let run =
        || page(example("semantic_pgvector").env("STAMPEDE_POSTGRES_URL", server.url()).env_remove("OPENAI_API_KEY"));
    let [first, second] = [run(), run()];
    has(&first, "4 requests, 2 executions");
    has(&second, "4 requests, 0 executions");
    has(&second, "  hit in the index, ");
}

/// The vectors of the API tell how long a text is: questions in nearly the same words are near, and a word is less near to a
/// sentence about it.
#[test]
fn bounded_error() {
    let api = EmbeddingsApi::start([]);
    let mut pairs = NamedTempFile::new().expect("the temporary folder can be written to");
    for [one, other] in ('a'..='z').flat_map(|one| ('a'..='z').map(move |other| [one, other])) {
        let word = format!("{one}{other}");
        let (a, b, label) = match (one, other) {
            (_, 'a'..='h') => (word.clone(), format!("what is it that {word} means to those who speak of it"), 0),
            _ => (format!("how does one open the box of {word}"), format!("how does one open a box of {word}"), 1),
        };
        writeln!(pairs, r#"{{"a": "{a}", "b": "{b}", "label": {label}}}"#)
            .expect("the temporary folder can be written to");
    }
    let page = page(example("bounded_error").arg(pairs.path()).args([&api.url(), "m"]));
    for max_error in ["0.10", "0.15", "0.20"] {
        let [by_shadow, by_verify] = ["shadow", "verify"].map(|by| {
            let rows = rows::<7>(&page, &format!("{max_error:>7}  {by}"));
            let [[hits, wrong, _rate, in_hindsight, threshold, _executions, _verified]] = rows[..] else {
                panic!("one row of {by} for {max_error}:\n{page}");
            };
            let [hits, wrong, in_hindsight] = [hits, wrong, in_hindsight].map(|figure| figure.parse::<u32>().unwrap());
            // Words are less near to the sentences about them.
            assert!(threshold.parse::<f32>().unwrap() > 0.95, "{page}");
            assert_eq!(wrong, 0, "{page}");
            assert!((1..=in_hindsight).contains(&hits), "{page}");
            hits
        });
        // What is not served yet for being near is served for being verified.
        assert!(by_shadow <= by_verify, "{page}");
    }
    let output = example("bounded_error").output().expect("the example starts");
    assert_eq!(output.status.code(), Some(2));
    has(str::from_utf8(&output.stderr).unwrap(), "error: it takes the file of pairs, the address of an embedder");
}

/// The figures are the attribute's doing, and not the example's.
#[test]
fn switched_off_nothing_is_saved() {
    has(&page(example("axum_service").env("STAMPEDE_OFF", "1")), "calls to the supplier: 100 -> 100, 0 saved (0%)");
}
