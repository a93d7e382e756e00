//! Functions whose answers are in a real PostgreSQL: what their texts and their embedders do to it.

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stampede_runtime::semantic::{Embedder as _, Index, LexicalEmbedder, PgvectorBuilder, PgvectorIndex, from_fn};
use stampede_runtime::store::RedisBackend;
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, Outcome, Settings, outcome, semantic_coalesce, shutdown};
use tokio::sync::Semaphore;

#[path = "support/postgres_server.rs"]
mod postgres_server;
#[path = "support/redis_server.rs"]
mod redis_server;

use postgres_server::{Database, PATIENCE};
use redis_server::RedisServer;

/// A machine that builds something else meanwhile is slow.
const SLOW: Duration = Duration::from_secs(20);

fn builder(database: &Database, dimensions: usize) -> PgvectorBuilder {
    PgvectorIndex::builder(database.url()).dimensions(dimensions).connect_timeout(SLOW).query_timeout(SLOW)
}

/// Fails where something would never end.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it ends")
}

#[semantic_coalesce(namespace = "pgvector_functions", threshold = 0.9)]
async fn ask(question: &str) -> String {
    question.to_owned()
}

/// An embedder takes as long as it likes, and a connection is no place to wait for it.
#[tokio::test]
async fn an_embedding_is_made_while_no_connection_is_held() {
    static ENTERED: Semaphore = Semaphore::const_new(0);
    static GATE: Semaphore = Semaphore::const_new(0);
    let Some(database) = Database::new("an_embedding_is_made_while_no_connection_is_held") else { return };
    let index = builder(&database, 2).connections_max(1).build().unwrap();
    index.ensure_schema().await.unwrap();
    let embedder = from_fn("gated", 2, |texts: Vec<String>| async move {
        ENTERED.add_permits(1);
        GATE.acquire().await.expect("nobody closes it").forget();
        Ok::<_, Infallible>(vec![vec![1.0, 0.0]; texts.len()])
    });
    let settings = Settings::new().backend_timeout(SLOW).embed_timeout(PATIENCE);
    let config = Config::builder().embedder(embedder).index("pgvector", index.clone()).defaults(settings);
    let _isolated = isolate_with(config.build().unwrap());
    let call = tokio::spawn(outcome(ask("How do I reset it?")));
    soon(ENTERED.acquire()).await.expect("nobody closes it").forget();
    for _ in 0..3 {
        soon(index.ping()).await.unwrap();
    }
    GATE.add_permits(1);
    let (answer, became) = soon(call).await.unwrap();
    assert_eq!((answer.as_str(), became), ("How do I reset it?", Some(Outcome::Executed)));
    shutdown(SLOW).await;
    let stats = ask::stats();
    assert_eq!((stats.semantic.index_writes, stats.semantic.index_failures), (1, 0), "{stats}");
}

static EXECUTIONS: AtomicUsize = AtomicUsize::new(0);

#[semantic_coalesce(namespace = "pgvector_functions", tenant = tenant, query = question, threshold = 0.95)]
async fn answer(tenant: String, question: String) -> (String, String) {
    EXECUTIONS.fetch_add(1, Ordering::Relaxed);
    (tenant, question)
}

/// Texts that somebody might stumble over. Lexically, each is far from all others.
fn texts() -> Vec<String> {
    let mut texts = [
        "",
        " ",
        "\0",
        "a\0b",
        "'; DROP TABLE semantic_cache; --",
        "* ? [a-z] % _",
        "\u{202E}abc",
        "\u{FFFD}",
        "a\u{FFFD}b",
        "\u{4ECA}\u{65E5}\u{306F}\u{3044}\u{3044}\u{5929}\u{6C17}",
        "\u{645}\u{631}\u{62D}\u{628}\u{627}",
        "{}",
        "\r\n*3\r\n$3\r\nSET\r\n",
        "e\u{301}\u{301}",
        "\u{1F469}\u{200D}\u{1F469}",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push("word ".repeat(210_000));
    texts.push("x".repeat(1 << 20));
    // A ligature that is eighteen letters in its normal form.
    texts.push("\u{FDFA}".repeat(300_000));
    texts
}

/// As questions and as tenants, in two processes that share a Redis and a PostgreSQL.
#[tokio::test]
async fn hostile_texts_get_their_own_answers() {
    let test = "hostile_texts_get_their_own_answers";
    let (Some(redis), Some(database)) = (RedisServer::start(test), Database::new(test)) else { return };
    let dimensions = LexicalEmbedder::new().dimensions();
    builder(&database, dimensions).build().unwrap().ensure_schema().await.unwrap();
    let texts = texts();
    let as_tenants = texts.iter().flat_map(|tenant| [4, 9, 15].map(|at| (tenant.clone(), texts[at].clone())));
    let calls: Vec<_> = as_tenants.chain(texts.iter().map(|text| ("t".to_owned(), text.clone()))).collect();
    // White space around a question is not in its normal form, and no text of PostgreSQL holds NUL. Tenants are as they are.
    let normal = |question: &str| question.trim().replace('\0', "\u{FFFD}");
    let different: HashSet<_> = calls.iter().map(|(tenant, question)| (tenant, normal(question))).collect();
    for process in 0..2 {
        let config = Config::builder()
            .embedder(LexicalEmbedder::new())
            .index("pgvector", builder(&database, dimensions).build().unwrap())
            .backend("redis", RedisBackend::new(redis.url()).unwrap())
            .defaults(Settings::new().backend_timeout(SLOW).payload_bytes_max(64 << 20));
        let _isolated = isolate_with(config.build().unwrap());
        for (at, (tenant, question)) in calls.iter().enumerate() {
            let (got_tenant, got_question) = answer(tenant.clone(), question.clone()).await;
            let is_its_own = got_tenant == *tenant && normal(&got_question) == normal(question);
            assert!(is_its_own, "call {at} in process {process}");
        }
        shutdown(SLOW).await;
        let stats = answer::stats();
        let failures =
            (stats.backend_failures, stats.semantic.index_failures, stats.semantic.embed_failures(), stats.panics);
        assert_eq!(failures, (0, 0, 0, 0), "{stats}");
        assert_eq!(EXECUTIONS.load(Ordering::Relaxed), different.len(), "process {process}: {stats}");
    }
}
