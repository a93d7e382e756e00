//! PostgreSQL as an index of many entries, on a real server: the nearest is found, and nothing is read from end to end.

use std::collections::HashMap;
use std::fmt::Write as _;
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
    // Long ones are kept beside the table, which looks small then.
    for (dimensions, entries) in [(3, 20_000), (500, 2_000)] {
        let Some(database) = Database::new("no_call_reads_the_whole_table") else { return };
        let one = index(&database.url(), dimensions).await;
        let arguments = blake3::Hash::from_bytes([7; 32]).to_hex();
        database.ask(&format!(
            "INSERT INTO semantic_cache (namespace, partition, tenant, model, query_hash, query_normalized, embedding, \
               response, began_at, created_at, expires_at, kept_until) \
             SELECT CASE WHEN n < 500 THEN 'f' ELSE 'g' END, '{arguments}', '', 'model', md5(n::text) || md5(n::text), '', \
               (SELECT array_agg(random() - 0.5) FROM generate_series(1, {dimensions} + 0 * n))::vector, '1', now(), now(), \
               now() + interval '1 hour', now() + interval '1 hour' FROM generate_series(1, {entries}) AS n"
        ));
        database.ask("VACUUM ANALYZE semantic_cache");
        // What a connection has counted is told when it ends.
        drop(one);
        let counted = async || {
            let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
            while database.ask(others) != "0" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let read = database.ask("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'semantic_cache'");
            read.parse::<u64>().unwrap()
        };
        let before = soon(counted()).await;
        let index = PgvectorIndex::builder(database.url()).dimensions(dimensions);
        let index = index.connect_timeout(SLOW).query_timeout(SLOW).build().unwrap();
        for number in 0..20 {
            let (name, to) = (format!("q{number}"), embedding(&noise(number, dimensions)));
            for of in ["f", "g"].map(partition) {
                assert!(index.put(&of, new(&name, &to)).await.unwrap());
                assert!(index.exact(&of, &hash(&name)).await.unwrap().is_some());
                assert_eq!(index.nearest(&of, &to, 5).await.unwrap().len(), 5);
                assert!(index.remove(&of, &hash(&name)).await.unwrap());
            }
        }
        drop(index);
        assert_eq!(soon(counted()).await, before, "{dimensions} dimensions");
    }
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

/// Where 24,000 entries of another partition are nearer than all of one's own, a walk through the index comes to none of them.
#[tokio::test]
async fn the_nearest_is_found_behind_any_number_of_nearer_ones_of_others() {
    const DIMENSIONS: usize = 16;
    let Some(database) = Database::new("the_nearest_is_found_behind_any_number_of_nearer_ones_of_others") else {
        return;
    };
    let index = index(&database.url(), DIMENSIONS).await;
    let mut random = fastrand::Rng::with_seed(5);
    let mut beside = |width: f32| {
        let mut values = vec![0.0; DIMENSIONS];
        values[0] = 1.0;
        // Aside in one direction more than in any other, so that nothing is nearer than it should be.
        values[random.usize(1..DIMENSIONS)] = width;
        values.iter_mut().skip(1).for_each(|value| *value += (random.f32() - 0.5) * 0.1);
        embedding(&values)
    };
    let of_each = [("crowd", 24_000, 0.1), ("hundreds", 600, 0.7), ("thousands", 2_500, 0.7)];
    let mut all: Vec<(&str, Embedding)> = of_each
        .iter()
        .flat_map(|&(name, count, width)| (0..count).map(move |_| (name, width)))
        .map(|(name, width)| (name, beside(width)))
        .collect();
    fastrand::Rng::with_seed(6).shuffle(&mut all);
    let arguments = blake3::Hash::from_bytes([7; 32]).to_hex();
    let mut copy = String::from(
        "DROP INDEX semantic_cache_near_idx; COPY semantic_cache (namespace, partition, tenant, model, query_hash, \
           query_normalized, embedding, response, began_at, created_at, expires_at, kept_until) FROM stdin;\n",
    );
    for (number, (name, embedding)) in all.iter().enumerate() {
        let (hash, embedding) = (blake3::hash(&number.to_le_bytes()).to_hex(), embedding.as_slice());
        write!(copy, "{name}\t{arguments}\t\tmodel\t{hash}\t{number}\t{embedding:?}\t1").expect("text grows");
        copy += "\t2025-01-01\t2025-01-01\t2100-01-01\t2100-01-01\n";
    }
    database.ask(&format!("{copy}\\.\n"));
    index.ensure_schema().await.unwrap();
    database.ask("VACUUM ANALYZE semantic_cache");
    for name in ["hundreds", "thousands"] {
        for _ in 0..20 {
            let to = beside(0.0);
            let mut expected: Vec<(f32, String)> = all
                .iter()
                .enumerate()
                .filter(|(_, (other, _))| *other == name)
                .map(|(number, (_, entry))| (entry.similarity(&to).unwrap(), number.to_string()))
                .collect();
            expected.sort_by(|(one, _), (other, _)| other.total_cmp(one));
            let found = index.nearest(&partition(name), &to, 8).await.unwrap();
            assert_eq!(found.len(), 8, "{name}");
            for (near, (similarity, _)) in found.iter().zip(&expected) {
                assert!((near.similarity - similarity).abs() < 1e-5, "{name}: {found:?}, {:?}", &expected[..8]);
            }
        }
    }
    // Whoever they are of still finds them through the index.
    let to = beside(0.0);
    assert!(index.nearest(&partition("crowd"), &to, 8).await.unwrap()[0].similarity > 0.98);
}
