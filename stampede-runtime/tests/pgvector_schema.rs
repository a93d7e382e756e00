//! The table of an index in PostgreSQL: made once, never altered, and what is said of one that will not do.

use std::error::Error as StdError;
use std::time::{Duration, Instant};

use stampede_runtime::semantic::index::{New, Partition};
use stampede_runtime::semantic::{Embedding, Index, PgvectorIndex, PgvectorSchema, SchemaError};
use stampede_runtime::store::BackendErrorKind;
use tokio::task::JoinSet;

#[path = "support/postgres_server.rs"]
mod postgres_server;

use postgres_server::{Database, PostgresServer};

/// A machine that builds something else meanwhile is slow.
const SLOW: Duration = Duration::from_secs(20);

fn index(url: &str, table: &str, dimensions: usize) -> PgvectorIndex {
    let index = PgvectorIndex::builder(url).table(table).dimensions(dimensions);
    index.connect_timeout(SLOW).query_timeout(SLOW).build().expect("the url is right")
}

/// That an index works.
async fn works(index: &PgvectorIndex) {
    let of = Partition { namespace: "f".into(), model: "m".into(), tenant: "".into(), arguments: [0; 32] };
    let to = Embedding::new(vec![1.0, 0.0, 0.0], 3).unwrap();
    let new = New {
        hash: [1; 32],
        question: "a",
        embedding: &to,
        response: "1",
        ttl: SLOW,
        retention: SLOW,
        cost: SLOW,
        began: Instant::now(),
        capacity: 10,
    };
    assert!(index.put(&of, new).await.unwrap());
    assert_eq!(index.nearest(&of, &to, 1).await.unwrap()[0].entry.response, "1");
}

/// An error with its causes.
fn whole(error: &dyn StdError) -> String {
    let cause = error.source().map_or_else(String::new, |cause| format!(": {}", whole(cause)));
    format!("{error}{cause}")
}

/// What is wrong with a table, and that all of it is told.
async fn problems(index: &PgvectorIndex) -> Vec<String> {
    match index.ensure_schema().await.unwrap_err() {
        SchemaError::Table { name, problems } => {
            let told = SchemaError::Table { name: name.clone(), problems: problems.clone() }.to_string();
            assert!(told.starts_with(&format!("the table {name} is not one that stampede can use")), "{told}");
            assert!(problems.iter().all(|problem| told.contains(problem)), "{told}");
            problems
        }
        other => panic!("{}", whole(&other)),
    }
}

#[tokio::test]
async fn any_number_of_processes_make_it_at_once() {
    let Some(database) = Database::new("any_number_of_processes_make_it_at_once") else { return };
    database.ask("CREATE SCHEMA app");
    let mut all = JoinSet::new();
    for number in 0..40 {
        let table = ["semantic_cache", "app.semantic_cache", "Other"][number % 3];
        let index = index(&database.url(), table, 3);
        all.spawn(async move { index.ensure_schema().await });
    }
    while let Some(made) = all.join_next().await {
        made.unwrap().unwrap();
    }
    for table in ["semantic_cache", "app.semantic_cache", "Other"] {
        let index = index(&database.url(), table, 3);
        works(&index).await;
        index.ensure_schema().await.unwrap();
        works(&index).await;
    }
    assert_eq!(database.ask("SELECT count(*) FROM \"Other\""), "1", "what is in it stays");
}

#[tokio::test]
async fn the_printed_sql_runs_as_it_is_and_makes_the_same() {
    let Some(database) = Database::new("the_printed_sql_runs_as_it_is_and_makes_the_same") else { return };
    let index = index(&database.url(), "semantic_cache", 3);
    let sql = index.schema_sql();
    assert_eq!(sql, PgvectorSchema::new(3).sql().unwrap());
    let shape = "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute \
        WHERE attrelid = 'semantic_cache'::regclass AND attnum > 0 ORDER BY attnum; \
        SELECT indexdef FROM pg_indexes WHERE tablename = 'semantic_cache' ORDER BY 1";
    database.ask(&sql);
    let printed = database.ask(shape);
    // As often as one likes.
    database.ask(&sql);
    index.ensure_schema().await.unwrap();
    works(&index).await;
    database.ask("DROP TABLE semantic_cache");
    index.ensure_schema().await.unwrap();
    assert_eq!(database.ask(shape), printed);
    assert!(
        printed.contains("USING hnsw (embedding vector_cosine_ops) WITH (m='16', ef_construction='64')"),
        "{printed}"
    );
}

#[tokio::test]
async fn an_index_that_was_dropped_is_made_again() {
    let Some(database) = Database::new("an_index_that_was_dropped_is_made_again") else { return };
    let index = index(&database.url(), "semantic_cache", 3);
    index.ensure_schema().await.unwrap();
    database.ask("DROP INDEX semantic_cache_near_idx, semantic_cache_fresh_idx");
    works(&index).await;
    index.ensure_schema().await.unwrap();
    let indexes = "SELECT count(*) FROM pg_indexes WHERE tablename = 'semantic_cache'";
    assert_eq!(database.ask(indexes), "7");
}

#[tokio::test]
async fn a_table_of_the_seed_is_told_apart_and_left_as_it_is() {
    let Some(database) = Database::new("a_table_of_the_seed_is_told_apart_and_left_as_it_is") else { return };
    database.ask(
        "CREATE EXTENSION vector; \
         CREATE TABLE semantic_cache (id serial PRIMARY KEY, namespace text NOT NULL, query_hash text NOT NULL, \
           query_normalized text NOT NULL, embedding vector(1536), response text NOT NULL, hits integer DEFAULT 0, \
           created_at timestamptz DEFAULT now(), expires_at timestamptz, UNIQUE (namespace, query_hash)); \
         INSERT INTO semantic_cache (namespace, query_hash, query_normalized, response) VALUES ('f', 'h', 'q', 'r')",
    );
    let before = database.ask("SELECT * FROM semantic_cache; SELECT indexdef FROM pg_indexes ORDER BY 1");
    let problems = problems(&index(&database.url(), "semantic_cache", 384)).await;
    assert_eq!(
        problems,
        [
            "its column `id` is integer and has to be bigint",
            "it has no column `partition`, which is to be text",
            "it has no column `tenant`, which is to be text",
            "it has no column `model`, which is to be text",
            "its column `embedding` is vector(1536) and has to be vector(384)",
            "its column `response` has to be without NOT NULL",
            "its column `hits` is integer and has to be bigint",
            "it has no column `cost_micros`, which is to be bigint",
            "it has no column `began_at`, which is to be timestamp with time zone",
            "it has no column `kept_until`, which is to be timestamp with time zone",
        ]
    );
    assert_eq!(database.ask("SELECT * FROM semantic_cache; SELECT indexdef FROM pg_indexes ORDER BY 1"), before);
}

#[tokio::test]
async fn what_else_differs_is_told() {
    let Some(database) = Database::new("what_else_differs_is_told") else { return };
    for (table, dimensions) in [("three", 3), ("large", 2_001), ("older", 3), ("twice", 3), ("more", 3)] {
        index(&database.url(), table, dimensions).ensure_schema().await.unwrap();
    }
    database.ask(
        "ALTER TABLE older DROP COLUMN kept_until; ALTER TABLE twice DROP CONSTRAINT twice_key; \
         ALTER TABLE more ADD COLUMN theirs text NOT NULL; ALTER TABLE more ADD COLUMN ours text; \
         CREATE VIEW seen AS SELECT * FROM three",
    );
    for (table, dimensions, problem) in [
        ("three", 4, "its column `embedding` is vector(3) and has to be vector(4)"),
        ("large", 2_000, "its column `embedding` is halfvec(2001) and has to be vector(2000)"),
        ("three", 2_001, "its column `embedding` is vector(3) and has to be halfvec(2001)"),
        ("older", 3, "it has no column `kept_until`, which is to be timestamp with time zone"),
        ("twice", 3, "there is no unique constraint on (namespace, partition, tenant, model, query_hash)"),
        ("more", 3, "its column `theirs` has to be given something that stampede does not have"),
        ("seen", 3, "it is no table but a view, an index or the like"),
    ] {
        assert_eq!(problems(&index(&database.url(), table, dimensions)).await, [problem]);
    }
    // Without a look at it first, it is the calls that are refused.
    let of = Partition { namespace: "f".into(), model: "m".into(), tenant: "".into(), arguments: [0; 32] };
    let to = Embedding::new(vec![1.0; 4], 4).unwrap();
    let other = index(&database.url(), "three", 4);
    let new = New {
        hash: [1; 32],
        question: "a",
        embedding: &to,
        response: "1",
        ttl: SLOW,
        retention: SLOW,
        cost: SLOW,
        began: Instant::now(),
        capacity: 10,
    };
    let refused = other.put(&of, new).await.unwrap_err();
    assert_eq!(refused.kind(), BackendErrorKind::Refused);
    assert!(whole(&refused).contains("22000: the table keeps embeddings of other dimensions"), "{}", whole(&refused));
    let refused = index(&database.url(), "older", 3).exact(&of, &[1; 32]).await.unwrap_err();
    assert!(whole(&refused).contains("`ensure_schema` says what differs"), "{}", whole(&refused));
}

#[tokio::test]
async fn where_there_is_no_table_the_calls_say_what_makes_it() {
    let Some(database) = Database::new("where_there_is_no_table_the_calls_say_what_makes_it") else { return };
    let index = index(&database.url(), "semantic_cache", 3);
    let of = Partition { namespace: "f".into(), model: "m".into(), tenant: "".into(), arguments: [0; 32] };
    let to = Embedding::new(vec![1.0; 3], 3).unwrap();
    for extension in ["", "CREATE EXTENSION vector"] {
        database.ask(extension);
        let refusals = [
            index.ping().await.unwrap_err(),
            index.exact(&of, &[1; 32]).await.unwrap_err(),
            index.nearest(&of, &to, 1).await.unwrap_err(),
        ];
        for refused in refusals {
            assert_eq!(refused.kind(), BackendErrorKind::Refused);
            assert!(whole(&refused).contains("`stampede schema`"), "{}", whole(&refused));
        }
    }
}

#[tokio::test]
async fn a_missing_extension_is_told_at_setup() {
    let test = "a_missing_extension_is_told_at_setup";
    let Some(database) = Database::new(test) else { return };
    let version: u32 = database.ask("SELECT current_setting('server_version_num')").parse().unwrap();
    if version < 180_000 {
        postgres_server::skipped(test, "before PostgreSQL 18 an extension cannot be hidden from a server");
        return;
    }
    let Some(server) = PostgresServer::start_with(test, &["extension_control_path=/nowhere"]) else { return };
    let missing = index(&server.url(), "semantic_cache", 3).ensure_schema().await.unwrap_err();
    assert!(matches!(missing, SchemaError::Extension { found: None }), "{}", whole(&missing));
    assert!(missing.to_string().starts_with("pgvector is not installed on the database's machine"));
}

#[tokio::test]
async fn what_a_user_may_not_do_is_told() {
    let Some(database) = Database::new("what_a_user_may_not_do_is_told") else { return };
    database.ask("CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN");
    for extension in ["", "CREATE EXTENSION vector"] {
        database.ask(extension);
        let denied = index(&database.url_of("ann"), "semantic_cache", 3).ensure_schema().await.unwrap_err();
        assert!(matches!(&denied, SchemaError::Database(error) if error.kind() == BackendErrorKind::Refused));
        assert!(whole(&denied).contains("42501: the user has no right to do this"), "{}", whole(&denied));
    }
    // Who may only use a table works with one that is there.
    index(&database.url(), "semantic_cache", 3).ensure_schema().await.unwrap();
    database
        .ask("GRANT SELECT, INSERT, UPDATE, DELETE ON semantic_cache TO ann; GRANT SELECT ON semantic_cache TO bob");
    let ann = index(&database.url_of("ann"), "semantic_cache", 3);
    ann.ensure_schema().await.unwrap();
    works(&ann).await;
    // And who may only read it reads.
    let bob = index(&database.url_of("bob"), "semantic_cache", 3);
    let of = Partition { namespace: "f".into(), model: "m".into(), tenant: "".into(), arguments: [0; 32] };
    assert!(bob.exact(&of, &[1; 32]).await.unwrap().is_some());
    assert_eq!(bob.remove(&of, &[1; 32]).await.unwrap_err().kind(), BackendErrorKind::Refused);
}
