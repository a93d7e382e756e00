//! What `configure` says of the names that functions give, before any of them is called. A program of its own: what one of
//! its functions says holds for the whole of it.

use std::time::Duration;

use stampede_runtime::semantic::{EmbeddedIndex, LexicalEmbedder};
use stampede_runtime::store::MemoryBackend;
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, ConfigBuilder, Outcome, Settings, Tier, cached, configure, outcome, semantic_coalesce};

#[semantic_coalesce(namespace = "meant", backend = "meanings", threshold = 0.7)]
async fn meant(question: &str) -> String {
    question.to_owned()
}

#[cached(namespace = "kept", backend = "bytes", ttl = 60)]
async fn kept(id: u64) -> String {
    id.to_string()
}

fn bytes() -> MemoryBackend {
    MemoryBackend::new(1 << 20)
}

#[track_caller]
fn assert_refused(config: ConfigBuilder, report: &[&str]) {
    let _isolated = isolate_with(Config::default());
    let config = config.build().expect("by itself it is right");
    let error = configure(config).expect_err("a function says another name").to_string();
    assert_eq!(error.lines().skip(1).collect::<Vec<_>>(), report);
}

#[test]
fn names_that_nothing_has() {
    assert_refused(
        Config::builder(),
        &[
            "- `kept::kept`: no backend is called `bytes`; there is none",
            "- `meant::meant`: no backend is called `meanings`; there is none",
        ],
    );
    assert_refused(
        Config::builder().backend("bytes", bytes()).index("meaning", EmbeddedIndex::new()),
        &["- `meant::meant`: no backend or index is called `meanings`; there are `bytes`, `meaning`"],
    );
}

#[test]
fn an_index_is_no_backend() {
    let both = || Config::builder().index("bytes", EmbeddedIndex::new()).index("meanings", EmbeddedIndex::new());
    assert_refused(both(), &["- `kept::kept`: `bytes` is an index and no backend; there is none"]);
    let other = Settings::new().backend("meanings");
    assert_refused(
        both().backend("other", bytes()).namespace("kept", other),
        &["- `kept::kept`: `meanings` is an index and no backend; there is `other`"],
    );
}

/// What the names of `meant` may be.
async fn found_in(config: ConfigBuilder) -> Option<Outcome> {
    let _isolated = isolate_with(config.embedder(LexicalEmbedder::new()).build().expect("it is right"));
    meant("How do I reset my password?").await;
    // What is kept behind a call is there when there is nothing left to do.
    stampede_runtime::shutdown(Duration::from_secs(60)).await;
    outcome(meant("how do i reset  my password?")).await.1
}

#[tokio::test]
async fn a_function_of_meaning_takes_either() {
    let tier = async |config| found_in(config).await.and_then(Outcome::tier);
    let is_right = Config::builder().backend("bytes", bytes()).backend("meanings", bytes());
    assert_eq!(tier(is_right).await, Some(Tier::Backend));
    let is_right = Config::builder().backend("bytes", bytes()).index("meanings", EmbeddedIndex::new());
    assert_eq!(tier(is_right).await, Some(Tier::Index));
}

#[test]
fn what_is_right_is_taken() {
    let _isolated = isolate_with(Config::default());
    let config = || Config::builder().backend("bytes", bytes());
    for right in [config().backend("meanings", bytes()), config().index("meanings", EmbeddedIndex::new())] {
        let said = configure(right.build().expect("it is right")).expect_err("an isolation has one already");
        assert_eq!(said, stampede_runtime::ConfigError::Twice);
    }
}
