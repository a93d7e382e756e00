//! PostgreSQL as an index of many entries, on a real server: the nearest is found, and nothing is read from end to end.

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use stampede_runtime::semantic::index::{New, Partition, QuestionHash};
use stampede_runtime::semantic::{Embedding, Index, PgvectorIndex};

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

#[tokio::test]
async fn no_call_reads_the_whole_table() {
    let Some(database) = Database::new("no_call_reads_the_whole_table") else { return };
    let one = index(&database.url(), 3).await;
    let arguments = blake3::Hash::from_bytes([7; 32]).to_hex();
    database.ask(&format!(
        "INSERT INTO semantic_cache (namespace, partition, tenant, model, query_hash, query_normalized, embedding, \
           response, began_at, created_at, expires_at, kept_until) \
         SELECT CASE WHEN n < 1000 THEN 'f' ELSE 'g' END, '{arguments}', '', 'model', md5(n::text) || md5(n::text), '', \
           ARRAY[random() - 0.5, random() - 0.5, random() - 0.5]::vector, '1', now(), now(), now() + interval '1 hour', \
           now() + interval '1 hour' FROM generate_series(1, 20000) AS n"
    ));
    database.ask("VACUUM ANALYZE semantic_cache");
    // What a connection has counted is told when it ends.
    drop(one);
    let counted = async || {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
            AND backend_type = 'client backend'";
        while database.ask(others) != "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let read = database.ask("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'semantic_cache'");
        read.parse::<u64>().unwrap()
    };
    let before = soon(counted()).await;
    let index = PgvectorIndex::builder(database.url()).dimensions(3).connect_timeout(SLOW).query_timeout(SLOW);
    let index = index.build().unwrap();
    for number in 0..20 {
        let (name, to) = (format!("q{number}"), embedding(&noise(number, 3)));
        for of in ["f", "g"].map(partition) {
            assert!(index.put(&of, new(&name, &to)).await.unwrap());
            assert!(index.exact(&of, &hash(&name)).await.unwrap().is_some());
            assert_eq!(index.nearest(&of, &to, 5).await.unwrap().len(), 5);
            assert!(index.remove(&of, &hash(&name)).await.unwrap());
        }
    }
    drop(index);
    assert_eq!(soon(counted()).await, before);
}

/// Where an entry is found, and where an exact comparison of all finds it.
struct Recall {
    right: usize,
    empty: usize,
    asked: usize,
}

/// 20,000 entries in clusters, of which one in a hundred is in a partition of its own, three are in another, and nine of ten
/// are not fresh any more: the nearest is found as an exact comparison finds it.
#[tokio::test]
async fn the_nearest_of_a_partition_is_found_among_many_others() {
    const DIMENSIONS: usize = 64;
    const ENTRIES: usize = 20_000;
    let Some(database) = Database::new("the_nearest_of_a_partition_is_found_among_many_others") else { return };
    let index = index(&database.url(), DIMENSIONS).await;
    let mut random = fastrand::Rng::with_seed(1);
    let centres: Vec<_> = (0..200).map(|seed| noise(seed, DIMENSIONS)).collect();
    let around = |random: &mut fastrand::Rng| {
        let centre = &centres[random.usize(..centres.len())];
        let values: Vec<f32> = centre.iter().map(|value| value + (random.f32() - 0.5) * 0.8).collect();
        embedding(&values)
    };
    let place = |number: usize| match number {
        0..3 => "three",
        _ if number % 100 == 10 => "rare",
        _ if number.is_multiple_of(3) => "large",
        _ => "common",
    };
    let is_fresh = |number: usize| number < 3 || (number / 100).is_multiple_of(10) || place(number) == "large";
    let all: Vec<Embedding> = (0..ENTRIES).map(|_| around(&mut random)).collect();
    let mut copy = String::from(
        "COPY semantic_cache (namespace, partition, tenant, model, query_hash, query_normalized, embedding, response, \
         began_at, created_at, expires_at, kept_until) FROM stdin;\n",
    );
    let arguments = blake3::Hash::from_bytes([7; 32]).to_hex();
    for (number, embedding) in all.iter().enumerate() {
        let at = number;
        let hash = blake3::hash(number.to_string().as_bytes()).to_hex();
        let expires = if is_fresh(number) { "2100-01-01" } else { "2000-01-01" };
        let (number, embedding) = (number.to_string(), format!("{:?}", embedding.as_slice()));
        let columns = [place(at), &arguments, "", "model", &hash, &number, &embedding, "1"];
        copy += &columns.join("\t");
        copy += &["\t2000-01-01\t2000-01-01\t", expires, "\t2100-01-01\n"].concat();
    }
    copy += "\\.\nANALYZE semantic_cache;\n";
    database.ask("DROP INDEX semantic_cache_near_idx");
    database.ask(&copy);
    index.ensure_schema().await.unwrap();

    let mut seen: HashMap<&str, Recall> = HashMap::new();
    for namespace in ["three", "rare", "large", "common"] {
        let entries: Vec<usize> =
            (0..ENTRIES).filter(|&number| place(number) == namespace && is_fresh(number)).collect();
        let recall = seen.entry(namespace).or_insert(Recall { right: 0, empty: 0, asked: 0 });
        for _ in 0..100 {
            let to = around(&mut random);
            let similarity = |number: &usize| all[*number].similarity(&to).unwrap();
            let nearest = entries.iter().map(similarity).max_by(f32::total_cmp).unwrap();
            let found = index.nearest(&partition(namespace), &to, 3).await.unwrap();
            recall.asked += 1;
            recall.empty += usize::from(found.len() < 3);
            recall.right += usize::from(found.first().is_some_and(|near| near.similarity > nearest - 1e-5));
            for near in &found {
                let number: usize = near.entry.question.parse().unwrap();
                assert!(entries.contains(&number), "{number} is not fresh, or in another partition");
                assert!((near.similarity - similarity(&number)).abs() < 1e-4);
            }
        }
    }
    for (namespace, Recall { right, empty, asked }) in seen {
        println!("{namespace}: {right} of {asked} right, {empty} found less than asked");
        assert_eq!(empty, 0, "{namespace}");
        // Few are compared one by one.
        let expected = if ["three", "rare"].contains(&namespace) { asked } else { asked * 95 / 100 };
        assert!(right >= expected, "{namespace}: {right} of {asked}");
    }
}
