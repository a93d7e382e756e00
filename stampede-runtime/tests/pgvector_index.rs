//! PostgreSQL as an index, on a real server: what every index promises, and what is its own.

use std::future::Future;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection, Row as _, query};
use stampede_runtime::semantic::index::{Near, New, Partition, QuestionHash};
use stampede_runtime::semantic::{Embedding, Index, PgvectorIndex, conformance};
use stampede_runtime::store::BackendErrorKind;

#[path = "support/postgres_server.rs"]
mod postgres_server;

use postgres_server::{Database, PATIENCE};

const HOUR: Duration = Duration::from_secs(3600);
/// A machine that builds something else meanwhile is slow.
const SLOW: Duration = Duration::from_secs(20);

async fn index(url: &str, dimensions: usize) -> PgvectorIndex {
    let index = PgvectorIndex::builder(url).dimensions(dimensions).connect_timeout(SLOW).query_timeout(SLOW).build();
    let index = index.expect("the url is right");
    index.ensure_schema().await.expect("the table is made");
    index
}

/// Fails where something would never end.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it ends")
}

fn partition(namespace: &str) -> Partition {
    Partition { namespace: namespace.into(), model: "model".into(), tenant: "".into(), arguments: [7; 32] }
}

fn hash(name: &str) -> QuestionHash {
    *blake3::hash(name.as_bytes()).as_bytes()
}

fn embedding(values: &[f32]) -> Embedding {
    Embedding::new(values.to_vec(), 0).unwrap()
}

/// The same numbers from -1 to 1 for the same seed.
fn noise(seed: u64, length: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.f32() * 2.0 - 1.0).collect()
}

fn new<'a>(name: &'a str, embedding: &'a Embedding) -> New<'a> {
    New {
        hash: hash(name),
        question: name,
        embedding,
        response: "\"answer\"",
        ttl: HOUR,
        retention: Duration::ZERO,
        cost: Duration::from_millis(20),
        began: Instant::now(),
        capacity: 100_000,
    }
}

fn questions(nears: &[Near]) -> Vec<&str> {
    nears.iter().map(|near| near.entry.question.as_str()).collect()
}

#[tokio::test]
async fn keeps_what_every_index_promises() {
    let Some(database) = Database::new("keeps_what_every_index_promises") else { return };
    index(&database.url(), 384).await;
    conformance::check(384, async || {
        let index = PgvectorIndex::builder(database.url()).dimensions(384);
        index.connect_timeout(SLOW).query_timeout(SLOW).build().unwrap()
    })
    .await;
    let entries = database.ask("SELECT count(*) FROM semantic_cache WHERE response IS NOT NULL");
    assert_eq!(entries, "0", "the checks leave nothing");
}

#[tokio::test]
async fn keeps_it_with_a_pool_of_ones_own_too() {
    let Some(database) = Database::new("keeps_it_with_a_pool_of_ones_own_too") else { return };
    index(&database.url(), 16).await;
    conformance::check(16, async || {
        let pool = sqlx::PgPool::connect(&database.url()).await.unwrap();
        let index = PgvectorIndex::builder_with_pool(pool).dimensions(16);
        index.connect_timeout(SLOW).query_timeout(SLOW).build().unwrap()
    })
    .await;
}

#[tokio::test]
async fn keeps_embeddings_of_any_number_of_dimensions() {
    let Some(database) = Database::new("keeps_embeddings_of_any_number_of_dimensions") else { return };
    for dimensions in [1, 3, 384, 1_536, 2_000, 2_001, 3_072, 4_000, 4_096, 16_000] {
        let table = format!("of_{dimensions}");
        let index = PgvectorIndex::builder(database.url()).dimensions(dimensions).table(&table);
        let index = index.connect_timeout(SLOW).query_timeout(SLOW).build().unwrap();
        index.ensure_schema().await.unwrap();
        let of = partition("f");
        let [one, other] = [1, 2].map(|seed| embedding(&noise(seed, dimensions)));
        index.put(&of, new("one", &one)).await.unwrap();
        index.put(&of, new("other", &other)).await.unwrap();
        let nears = index.nearest(&of, &one, 1).await.unwrap();
        assert!(nears[0].similarity > 0.999, "{nears:?}");
        if dimensions > 1 {
            assert_eq!(questions(&nears), ["one"]);
        }
        // What has other dimensions is near to nothing, and is refused by us before the server has to.
        let longer = embedding(&noise(3, dimensions + 1));
        assert_eq!(index.nearest(&of, &longer, 1).await.unwrap(), []);
        assert_eq!(index.remove_near(&of, &longer, -1.0).await.unwrap(), 0);
        let refused = index.put(&of, new("longer", &longer)).await.unwrap_err();
        assert_eq!(refused.kind(), BackendErrorKind::Refused);
        let kind = database.ask(&format!(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute \
             WHERE attrelid = '{table}'::regclass AND attname = 'embedding'"
        ));
        let expected = if dimensions > 2_000 { "halfvec" } else { "vector" };
        assert_eq!(kind, format!("{expected}({dimensions})"));
        // What pgvector does not index is found all the same.
        let indexes = database.ask(&format!("SELECT count(*) FROM pg_indexes WHERE indexname = '{table}_near_idx'"));
        assert_eq!(indexes, if dimensions > 4_000 { "0" } else { "1" });
    }
    let told = PgvectorIndex::builder(database.url()).dimensions(16_001).build().unwrap_err().to_string();
    assert!(told.contains("`dimensions`: pgvector keeps at most 16000, and these are 16001"), "{told}");
}

/// Dimensions that pgvector has no index for: what an index promises is kept without one.
#[tokio::test]
async fn keeps_it_without_an_index_for_the_dimensions_too() {
    let Some(database) = Database::new("keeps_it_without_an_index_for_the_dimensions_too") else { return };
    index(&database.url(), 4_096).await;
    conformance::check(4_096, async || {
        let index = PgvectorIndex::builder(database.url()).dimensions(4_096);
        index.connect_timeout(SLOW).query_timeout(SLOW).build().unwrap()
    })
    .await;
}

#[tokio::test]
async fn texts_are_texts() {
    let Some(database) = Database::new("texts_are_texts") else { return };
    let index = index(&database.url(), 3).await;
    let to = embedding(&[1.0, 0.0, 0.0]);
    let long = ["x".repeat(20_000), format!("{}y", "x".repeat(20_000)), "é\u{1F980}".repeat(5_000)];
    let mut texts = vec![
        "",
        "'; DROP TABLE semantic_cache; --",
        "\"",
        "\\",
        "\\0",
        "\0",
        "a\0b",
        "a\\0b",
        "$1",
        "%",
        "_",
        "\u{FEFF}",
        "\u{10FFFF}",
        "{}",
        "NULL",
        "*",
        "\u{202E}",
        "\n",
    ];
    texts.extend(long.iter().map(String::as_str));
    // Each is a tenant, a model and a function of its own.
    let places: Vec<_> = (0..3)
        .flat_map(|of| {
            texts.iter().map(move |&text| {
                let mut place = partition("f");
                let part = [&mut place.tenant, &mut place.model, &mut place.namespace].into_iter().nth(of).unwrap();
                *part = text.into();
                place
            })
        })
        .collect();
    for (number, place) in places.iter().enumerate() {
        let response = number.to_string();
        assert!(index.put(place, New { response: &response, ..new("a", &to) }).await.unwrap(), "{number}");
    }
    for (number, place) in places.iter().enumerate() {
        let exact = index.exact(place, &hash("a")).await.unwrap().expect("it is there");
        let near = index.nearest(place, &to, 10).await.unwrap();
        // The same place, where the first tenant, the last function's name, … are empty.
        let same = places.iter().rposition(|other| other == place).unwrap();
        assert_eq!(exact.response, same.to_string(), "{number}");
        assert_eq!((near.len(), &near[0].entry.response), (1, &exact.response), "{number}");
    }
    // As questions and answers they come back as they were.
    for text in texts.iter().filter(|text| !text.contains('\0')) {
        index.put(&partition("g"), New { question: text, response: text, ..new(text, &to) }).await.unwrap();
        let entry = index.exact(&partition("g"), &hash(text)).await.unwrap().unwrap();
        assert_eq!((&*entry.question, &*entry.response), (*text, *text));
    }
    for (question, response) in [("a\0b", "1"), ("a", "\0")] {
        let refused = index.put(&partition("g"), New { question, response, ..new("a", &to) }).await.unwrap_err();
        assert_eq!(refused.kind(), BackendErrorKind::Refused);
    }
    let large = "x".repeat((64 << 20) + 1);
    let refused = index.put(&partition("g"), New { response: &large, ..new("a", &to) }).await.unwrap_err();
    assert_eq!(refused.kind(), BackendErrorKind::TooLarge);
    // What the table says of what was taken out is no entry.
    index.clear("g").await.unwrap();
    let empty = Partition { namespace: "g".into(), model: "".into(), tenant: "".into(), arguments: [0; 32] };
    assert_eq!(index.nearest(&empty, &to, 10).await.unwrap(), []);
}

#[tokio::test]
async fn what_one_process_takes_out_another_does_not_put_back() {
    let Some(database) = Database::new("what_one_process_takes_out_another_does_not_put_back") else { return };
    let [one, other] = [index(&database.url(), 3).await, index(&database.url(), 3).await];
    let (of, to) = (partition("f"), embedding(&[1.0, 0.0, 0.0]));
    let began = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
    for name in ["kept", "never kept"] {
        if name == "kept" {
            assert!(one.put(&of, New { began, ..new(name, &to) }).await.unwrap());
        }
        assert_eq!(one.remove(&of, &hash(name)).await.unwrap(), name == "kept");
        assert!(!one.remove(&of, &hash(name)).await.unwrap());
        assert!(!other.put(&of, New { began, ..new(name, &to) }).await.unwrap());
        assert_eq!(other.exact(&of, &hash(name)).await.unwrap(), None);
        assert!(other.put(&of, new(name, &to)).await.unwrap());
    }
    one.clear("f").await.unwrap();
    for name in ["kept", "new"] {
        assert!(!other.put(&of, New { began, ..new(name, &to) }).await.unwrap());
        assert!(other.put(&of, new(name, &to)).await.unwrap());
    }
    // Notes of that are kept for ten minutes, and are nobody's entries.
    database.ask("UPDATE semantic_cache SET kept_until = now() - interval '1 second' WHERE response IS NULL");
    assert_eq!(questions(&one.nearest(&of, &to, 10).await.unwrap()).len(), 2);
    one.remove(&of, &hash("kept")).await.unwrap();
    let left = "SELECT extract(epoch FROM kept_until - began_at) FROM semantic_cache WHERE query_hash = ";
    let left: f64 = database.ask(&format!("{left}'{}'", blake3::hash(b"kept").to_hex())).parse().unwrap();
    assert!((left - 600.0).abs() < 1.0, "{left}");
}

/// What a process does one after the other, the database sees in that order, however long answers take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_begins_after_a_removal_is_put() {
    let Some(database) = Database::new("what_begins_after_a_removal_is_put") else { return };
    let index = index(&database.url(), 3).await;
    let (of, to) = (partition("f"), embedding(&[1.0, 0.0, 0.0]));
    let busy: Vec<_> = (0..8)
        .map(|_| {
            let (index, of, to) = (index.clone(), partition("busy"), to.clone());
            tokio::spawn(async move {
                loop {
                    index.put(&of, new("a", &to)).await.unwrap();
                }
            })
        })
        .collect();
    for round in 0..200 {
        match round % 3 {
            0 => drop(index.remove(&of, &hash("a")).await.unwrap()),
            1 => drop(index.remove_near(&of, &to, 0.9).await.unwrap()),
            _ => drop(index.clear("f").await.unwrap()),
        }
        assert!(index.put(&of, new("a", &to)).await.unwrap(), "round {round}");
    }
    for busy in busy {
        busy.abort();
    }
}

/// A `clear` that runs while many put: what began before it is never there after it.
#[tokio::test]
async fn nothing_slips_past_a_clear() {
    let Some(database) = Database::new("nothing_slips_past_a_clear") else { return };
    let index = index(&database.url(), 3).await;
    let to = embedding(&[1.0, 0.0, 0.0]);
    // Before all of this.
    let began = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
    for round in 0..30 {
        let namespace = format!("f{round}");
        let of = partition(&namespace);
        let puts = (0..20).map(|number| {
            let (index, of, to) = (index.clone(), of.clone(), to.clone());
            tokio::spawn(async move {
                let name = number.to_string();
                index.put(&of, New { began, ..new(&name, &to) }).await.unwrap();
            })
        });
        let puts: Vec<_> = puts.collect();
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        index.clear(&namespace).await.unwrap();
        for put in puts {
            put.await.unwrap();
        }
        assert_eq!(index.nearest(&of, &to, 100).await.unwrap(), [], "round {round}");
    }
}

#[tokio::test]
async fn a_partition_keeps_its_newest() {
    let Some(database) = Database::new("a_partition_keeps_its_newest") else { return };
    let index = index(&database.url(), 3).await;
    let (of, other, to) = (partition("f"), partition("g"), embedding(&[1.0, 0.0, 0.0]));
    let put = async |of: &Partition, number: u32, capacity| {
        let name = number.to_string();
        assert!(index.put(of, New { capacity, ..new(&name, &to) }).await.unwrap());
    };
    for number in 0..5 {
        put(&other, number, 100).await;
    }
    for number in 0..300 {
        put(&of, number, 1_000).await;
    }
    // Also where it was larger before. One call does not take out all of what is too much.
    for number in 300..303 {
        put(&of, number, 4).await;
    }
    let nears = index.nearest(&of, &to, 1_000).await.unwrap();
    let mut left: Vec<u32> = questions(&nears).iter().map(|name| name.parse().unwrap()).collect();
    left.sort_unstable();
    assert_eq!(left, [299, 300, 301, 302]);
    assert_eq!(index.nearest(&other, &to, 1_000).await.unwrap().len(), 5);
    assert_eq!(database.ask("SELECT count(*) FROM semantic_cache"), "9");
}

#[tokio::test]
async fn what_is_not_kept_any_more_is_swept() {
    let Some(database) = Database::new("what_is_not_kept_any_more_is_swept") else { return };
    let index = index(&database.url(), 3).await;
    // More than two statements take.
    database.ask(
        "INSERT INTO semantic_cache (namespace, partition, tenant, model, query_hash, query_normalized, embedding, \
           response, began_at, created_at, expires_at, kept_until) \
         SELECT 'f', 'p', '', 'm', n, '', '[1,0,0]', '1', now(), now(), now(), \
           CASE WHEN n < 2500 THEN now() ELSE now() + interval '1 hour' END FROM generate_series(1, 2600) AS n",
    );
    let to = embedding(&[1.0, 0.0, 0.0]);
    index.put(&partition("f"), new("a", &to)).await.unwrap();
    let kept = async {
        while database.ask("SELECT count(*) FROM semantic_cache") != "102" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(kept).await;
}

/// While somebody else sweeps, a process does not, and does not wait for its turn.
#[tokio::test]
async fn one_process_sweeps_at_a_time() {
    let Some(database) = Database::new("one_process_sweeps_at_a_time") else { return };
    let [one, other] = [index(&database.url(), 3).await, index(&database.url(), 3).await];
    database.ask(
        "INSERT INTO semantic_cache (namespace, partition, tenant, model, query_hash, query_normalized, embedding, \
           response, began_at, created_at, expires_at, kept_until) \
         SELECT 'f', 'p', '', 'm', n, '', '[1,0,0]', '1', now(), now(), now(), now() FROM generate_series(1, 10) AS n",
    );
    let left = || database.ask("SELECT count(*) FROM semantic_cache WHERE namespace = 'f' AND partition = 'p'");
    let mut sweeper = PgConnection::connect(&database.url()).await.unwrap();
    query("SELECT pg_advisory_lock($1)").bind(turn()).execute(&mut sweeper).await.unwrap();
    let to = embedding(&[1.0, 0.0, 0.0]);
    assert!(one.put(&partition("g"), new("a", &to)).await.unwrap());
    // A connection tells what it was asked last, also when that is over.
    let tried = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' \
        AND query LIKE '%pg_try_advisory_xact_lock%'";
    soon(async {
        while database.ask(tried) != "1" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(left(), "10");
    let unlocked = query("SELECT pg_advisory_unlock($1)").bind(turn()).fetch_one(&mut sweeper).await.unwrap();
    assert!(unlocked.get::<bool, _>(0));
    assert!(other.put(&partition("g"), new("b", &to)).await.unwrap());
    soon(async {
        while left() != "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// The number of the lock that whoever sweeps the table holds.
fn turn() -> i64 {
    let mut hasher = blake3::Hasher::new();
    for part in ["stampede", "sweep", "\"semantic_cache\""] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    i64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().unwrap())
}

#[tokio::test]
async fn what_others_write_into_the_table_hides_nothing() {
    let Some(database) = Database::new("what_others_write_into_the_table_hides_nothing") else { return };
    let index = index(&database.url(), 3).await;
    let (of, to) = (partition("f"), embedding(&[1.0, 0.0, 0.0]));
    index.put(&of, new("a", &to)).await.unwrap();
    let theirs = "INSERT INTO semantic_cache (namespace, partition, tenant, model, query_hash, query_normalized, embedding, \
        response, began_at, created_at, expires_at, kept_until) \
        SELECT namespace, partition, tenant, model, 'theirs', '', embedding, '', now(), now(), 'infinity', 'infinity' \
        FROM semantic_cache";
    database.ask(theirs);
    // An answer that is to stay.
    database
        .ask("UPDATE semantic_cache SET created_at = '-infinity', expires_at = 'infinity', kept_until = 'infinity'");
    let kept = index.exact(&of, &hash("a")).await.unwrap().unwrap();
    assert!(kept.fresh > HOUR * 24 * 365 * 100 && kept.age > HOUR * 24 * 365 * 100, "{kept:?}");
    assert_eq!(questions(&index.nearest(&of, &to, 10).await.unwrap()), ["a"]);
}

#[tokio::test]
async fn hits_are_counted() {
    let Some(database) = Database::new("hits_are_counted") else { return };
    let index = index(&database.url(), 3).await;
    let (of, to) = (partition("f"), embedding(&[1.0, 0.0, 0.0]));
    for name in ["a", "b"] {
        index.put(&of, new(name, &to)).await.unwrap();
    }
    for name in ["a", "b", "a", "unknown", "a"] {
        index.hit(&of, &hash(name)).await.unwrap();
    }
    let counted = async {
        while database.ask("SELECT query_normalized, hits FROM semantic_cache ORDER BY 1") != "a|3\nb|1" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(counted).await;
}
