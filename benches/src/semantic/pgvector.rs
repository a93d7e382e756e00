//! PostgreSQL with pgvector: what a look-up costs beside the same SQL by hand, and whether it finds the nearest.
//!
//! By hand means a pool of `sqlx` in the callers' own runtime, with the settings of pgvector made once for each connection,
//! and none of what an index has to take care of: no time limit, nothing that outlives a runtime, one fixed plan. The server is
//! the bench's own, on this machine, unless `STAMPEDE_BENCH_POSTGRES` is the url of another, whose tables
//! `stampede_bench` and `stampede_bench_crowd` are dropped and made anew.

use std::cell::RefCell;
use std::future::Future;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use pgvector::Vector;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolCopyExt, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Row as _, SqlSafeStr as _, SqlStr, query, raw_sql};
use stampede_runtime::semantic::index::{Partition, QuestionHash};
use stampede_runtime::semantic::{Embedding, Index, PgvectorIndex};
use tokio::runtime::Runtime;

#[path = "../../../stampede-runtime/tests/support/postgres_server.rs"]
mod postgres_server;

use postgres_server::PostgresServer;

use crate::measure::{Effort, Runner, interleave, median, quantile};
use crate::report::{Row, Section};

const DIMENSIONS: usize = 384;
/// How many near ones are asked for: as many as the attribute does.
const CANDIDATES: u8 = 8;
/// The model, and nothing else that tells partitions apart but the namespace.
const MODEL: &str = "bench";

/// Parts of the table, with how many of a thousand entries they have. They know nothing of clusters: an entry is of a part by
/// chance, as an answer is of a tenant, and what is near to it is of others.
const PARTS: [(&str, usize); 4] = [("large", 938), ("a twentieth", 50), ("a hundredth", 10), ("few", 2)];
/// Parts of another table, of one cluster, where all entries of the larger part are nearer to what is asked than any of the
/// smaller one: their entries, and how far they are from the middle of the cluster.
const CROWD: [(&str, usize, f32); 2] = [("crowd", 30_000, 0.2), ("behind", 3_000, 0.33)];

const RAW: &str = "sqlx by hand";
const OURS: &str = "stampede PgvectorIndex";

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let named = std::env::var("STAMPEDE_BENCH_POSTGRES").ok();
    let server = match &named {
        Some(_) => None,
        // Says so where there is none.
        None => match PostgresServer::start_with("pgvector", &["maintenance_work_mem=512MB", "shared_buffers=512MB"]) {
            Some(server) => Some(server),
            None => return Vec::new(),
        },
    };
    let url = named.unwrap_or_else(|| server.as_ref().expect("one of both").url());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = Rc::new(runtime.expect("a runtime can be made"));
    let mut random = fastrand::Rng::with_seed(7);
    let entries = clusters(&mut random, effort.of(100_000, 10_000));
    let table = Rc::new(Table::fill(&runtime, &url, "stampede_bench", entries));
    let rounds = effort.of(40, 4);
    let mut sections = vec![exact(&runtime, &table, rounds)];
    for (part, _) in PARTS {
        let of_part = table.of(part).count();
        let title = format!("nearest of {of_part} in PostgreSQL, {} entries", table.entries.len());
        let ask = table.near_its_own(part);
        sections.push(nearest(&runtime, &table, title, part, ask, rounds));
    }
    table.remove(&runtime);
    let (middle, entries) = crowd(&mut random);
    let table = Rc::new(Table::fill(&runtime, &url, "stampede_bench_crowd", entries));
    let [(_, nearer, _), (part, of_part, _)] = CROWD;
    let title = format!("nearest of {of_part} in PostgreSQL behind {nearer} nearer");
    let random = RefCell::new(random);
    let ask = Rc::new(move || around(&mut random.borrow_mut(), &middle, 0.05));
    // By hand each takes a tenth of a second.
    sections.push(nearest(&runtime, &table, title, part, ask, rounds.div_ceil(10)));
    table.remove(&runtime);
    sections
}

/// What is kept, in the database and here.
struct Table {
    name: &'static str,
    pool: PgPool,
    index: PgvectorIndex,
    entries: Vec<(&'static str, Embedding)>,
    random: RefCell<fastrand::Rng>,
}

/// How many calls a round has.
const CALLS: usize = 50;

impl Table {
    fn fill(runtime: &Runtime, url: &str, name: &'static str, entries: Vec<(&'static str, Embedding)>) -> Table {
        let options: PgConnectOptions = url.parse().expect("the url is right");
        let settings = [("hnsw.iterative_scan", "relaxed_order"), ("jit", "off"), ("statement_timeout", "600000")];
        let options = sqlx::ConnectOptions::disable_statement_logging(options.options(settings));
        let pool = PgPoolOptions::new().test_before_acquire(false).max_connections(10);
        let pool = runtime.block_on(async { pool.connect_lazy_with(options) });
        let index =
            PgvectorIndex::builder(url).table(name).dimensions(DIMENSIONS).query_timeout(Duration::from_secs(5));
        let index = index.build().expect("the url is right");
        let table = Table { name, pool, index, entries, random: RefCell::new(fastrand::Rng::with_seed(8)) };
        runtime.block_on(async {
            table.sql("DROP TABLE IF EXISTS ENTRIES").await;
            table.index.ensure_schema().await.expect("the table can be made");
            table.sql("DROP INDEX ENTRIES_near_idx").await;
            copy(&table.pool, name, &table.entries).await;
            table.index.ensure_schema().await.expect("the index can be made");
            table.sql("VACUUM ANALYZE ENTRIES").await;
        });
        table
    }

    /// Runs SQL, in which `ENTRIES` is the table.
    async fn sql(&self, sql: &str) {
        raw_sql(self.named(sql)).execute(&self.pool).await.expect("it is the bench's");
    }

    fn named(&self, sql: &str) -> SqlStr {
        AssertSqlSafe(sql.replace("ENTRIES", self.name)).into_sql_str()
    }

    fn remove(&self, runtime: &Runtime) {
        runtime.block_on(self.sql("DROP TABLE ENTRIES"));
    }

    fn of<'a>(&'a self, part: &'a str) -> impl Iterator<Item = &'a Embedding> {
        self.entries.iter().filter(move |(other, _)| *other == part).map(|(_, entry)| entry)
    }

    /// Asks for what is near to an entry of a part.
    fn near_its_own(self: &Rc<Self>, part: &'static str) -> Ask<Embedding> {
        let table = Rc::clone(self);
        Rc::new(move || table.asked(part, 0.5).1)
    }

    /// Something like an entry of a part, which is in the table, or not quite.
    fn asked(&self, part: &str, aside: f32) -> (usize, Embedding) {
        let mut random = self.random.borrow_mut();
        loop {
            let number = random.usize(..self.entries.len());
            if self.entries[number].0 == part {
                return (number, around(&mut random, self.entries[number].1.as_slice(), aside / 30.0));
            }
        }
    }

    /// How near the nearest of a part is.
    fn nearest(&self, part: &str, to: &Embedding) -> f32 {
        self.of(part).map(|entry| entry.similarity(to).expect("of one model")).fold(-1.0, f32::max)
    }
}

/// What makes one thing to ask for after the other.
type Ask<A> = Rc<dyn Fn() -> A>;

/// Entries in a thousand clusters.
fn clusters(random: &mut fastrand::Rng, count: usize) -> Vec<(&'static str, Embedding)> {
    let centres: Vec<Vec<f32>> = (0..1_000).map(|_| noise(random, 1.0)).collect();
    let entries = (0..count).map(|number| {
        let entry = around(random, &centres[number % centres.len()], 0.5);
        (part(random.usize(..1_000)), entry)
    });
    entries.collect()
}

/// Entries in one cluster, and its middle.
fn crowd(random: &mut fastrand::Rng) -> (Vec<f32>, Vec<(&'static str, Embedding)>) {
    let middle = noise(random, 1.0);
    let mut entries = Vec::new();
    for (part, count, width) in CROWD {
        entries.extend((0..count).map(|_| (part, around(random, &middle, width))));
    }
    random.shuffle(&mut entries);
    (middle, entries)
}

/// The part that one of a thousand is of.
fn part(mut at: usize) -> &'static str {
    PARTS.into_iter().find(|(_, share)| at.checked_sub(*share).map(|less| at = less).is_none()).expect("a thousand").0
}

fn noise(random: &mut fastrand::Rng, width: f32) -> Vec<f32> {
    (0..DIMENSIONS).map(|_| (random.f32() - 0.5) * width).collect()
}

fn around(random: &mut fastrand::Rng, centre: &[f32], width: f32) -> Embedding {
    let values = centre.iter().zip(noise(random, width)).map(|(centre, aside)| centre + aside).collect();
    Embedding::new(values, DIMENSIONS).expect("noise has a direction")
}

fn hash(number: usize) -> QuestionHash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_le_bytes());
    hash
}

fn hex(hash: &QuestionHash) -> String {
    hash.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|half| char::from(b"0123456789abcdef"[usize::from(half)]))
        .collect()
}

fn partition(part: &str) -> Partition {
    Partition { namespace: part.into(), model: MODEL.into(), tenant: "".into(), arguments: [0; 32] }
}

async fn copy(pool: &PgPool, table: &str, entries: &[(&'static str, Embedding)]) {
    let into = format!(
        "COPY {table} (namespace, partition, tenant, model, query_hash, query_normalized, embedding, response, \
           began_at, created_at, expires_at, kept_until) FROM stdin"
    );
    let mut copy = pool.copy_in_raw(&into).await.expect("the table is there");
    let (arguments, answer) = (hex(&[0; 32]), "an answer of some length, ".repeat(12));
    for (at, some) in entries.chunks(500).enumerate() {
        let mut lines = String::new();
        for (number, (part, embedding)) in some.iter().enumerate() {
            let (number, embedding) = (at * 500 + number, embedding.as_slice());
            let hash = hex(&hash(number));
            let (question, embedding) = (format!("question number {number}"), format!("{embedding:?}"));
            let columns = [part, &*arguments, "", MODEL, &hash, &question, &embedding, &answer];
            lines += &columns.join("\t");
            lines += "\t2025-01-01\t2025-01-01\t2100-01-01\t2100-01-01\n";
        }
        copy.send(lines.into_bytes()).await.expect("the server takes it");
    }
    copy.finish().await.expect("the server takes it");
}

/// The microseconds of each call of a round.
type Times = Vec<f64>;

/// Calls, one after the other, each of which asks for another thing.
fn peer<A: 'static, F: Future<Output = ()>>(
    name: &'static str,
    runtime: &Rc<Runtime>,
    ask: Ask<A>,
    call: impl Fn(A) -> F + 'static,
) -> Runner<Times> {
    let runtime = Rc::clone(runtime);
    Runner::new(name, move || {
        let asked: Vec<A> = (0..CALLS).map(|_| ask()).collect();
        runtime.block_on(async {
            let mut times = Vec::with_capacity(CALLS);
            for asked in asked {
                let begun = Instant::now();
                call(asked).await;
                times.push(begun.elapsed().as_nanos() as f64 / 1e3);
            }
            times
        })
    })
}

fn section(title: String, mut peers: Vec<Runner<Times>>, rounds: usize, right: &[f64]) -> Section {
    let names: Vec<_> = peers.iter().map(|peer| peer.name).collect();
    let times: Vec<Times> = interleave(&mut peers, rounds).into_iter().map(|rounds| rounds.concat()).collect();
    let middle = |times: &Times| median(times, |time| *time);
    let raw = middle(&times[0]);
    let rows = names.into_iter().zip(&times).zip(right).map(|((name, times), right)| {
        let mut row = Row::new(name, [middle(times), quantile(times, |time| *time, 0.99), middle(times) / raw, *right]);
        if name == OURS {
            row.goal("≥ 0.95 right", *right >= 0.95);
        }
        row
    });
    let columns = vec!["us p50", "us p99", "of raw", "right"];
    Section { name: "semantic", title, columns, rows: rows.collect() }
}

/// An entry by the hash of its question.
fn exact(runtime: &Rc<Runtime>, table: &Rc<Table>, rounds: usize) -> Section {
    let of_table = Rc::clone(table);
    let ask: Ask<QuestionHash> = Rc::new(move || hash(of_table.asked(PARTS[0].0, 0.0).0));
    let (pool, index) = (table.pool.clone(), table.index.clone());
    let raw = move |hash: QuestionHash| {
        let pool = pool.clone();
        async move {
            let row = query(RAW_EXACT).bind(PARTS[0].0).bind(hex(&[0; 32])).bind("").bind(MODEL).bind(hex(&hash));
            let row = row.fetch_one(&pool).await.expect("it is there");
            black_box((row.get::<String, _>(0), row.get::<String, _>(1)));
        }
    };
    let ours = move |hash: QuestionHash| {
        let index = index.clone();
        async move {
            assert!(index.exact(&partition(PARTS[0].0), &hash).await.expect("the server answers").is_some());
        }
    };
    let peers = vec![peer(RAW, runtime, Rc::clone(&ask), raw), peer(OURS, runtime, ask, ours)];
    let title = format!("exact question in PostgreSQL, {} entries", table.entries.len());
    section(title, peers, rounds, &[1.0; 2])
}

const RAW_EXACT: &str = "SELECT query_normalized, response FROM stampede_bench \
    WHERE namespace = $1 AND partition = $2 AND tenant = $3 AND model = $4 AND query_hash = $5 AND kept_until > now()";

const RAW_NEAREST: &str = "SELECT query_normalized, response, 1 - (embedding <=> $5) FROM ENTRIES \
    WHERE namespace = $1 AND partition = $2 AND tenant = $3 AND model = $4 AND expires_at > now() \
    ORDER BY embedding <=> $5 LIMIT $6";

/// The nearest of a part, several of them.
fn nearest(
    runtime: &Rc<Runtime>,
    table: &Rc<Table>,
    title: String,
    part: &'static str,
    ask: Ask<Embedding>,
    rounds: usize,
) -> Section {
    let (pool, index, sql) = (table.pool.clone(), table.index.clone(), table.named(RAW_NEAREST));
    let by_hand = move |to: Embedding| {
        let (pool, sql) = (pool.clone(), sql.clone());
        async move {
            let rows = query(sql).bind(part).bind(hex(&[0; 32])).bind("").bind(MODEL);
            let rows = rows.bind(Vector::from(to.as_slice().to_vec())).bind(i64::from(CANDIDATES));
            let rows = rows.fetch_all(&pool).await.expect("the server answers");
            let nearest = |row: &PgRow| (row.get::<String, _>(0), row.get::<String, _>(1), row.get::<f64, _>(2));
            black_box(rows.iter().map(nearest).collect::<Vec<_>>()).first().map_or(-1.0, |(.., similarity)| *similarity)
        }
    };
    let ours = move |to: Embedding| {
        let index = index.clone();
        async move {
            let nears = index.nearest(&partition(part), &to, CANDIDATES.into()).await.expect("the server answers");
            nears.first().map_or(-1.0, |near| f64::from(near.similarity))
        }
    };
    let asked: Vec<(Embedding, f32)> =
        (0..300).map(|_| ask()).map(|to| (to.clone(), table.nearest(part, &to))).collect();
    let right = runtime.block_on(async {
        let mut right = [0.0; 2];
        for (to, nearest) in &asked {
            let found = [by_hand(to.clone()).await, ours(to.clone()).await];
            for (right, found) in right.iter_mut().zip(found) {
                *right += f64::from(u8::from(found > f64::from(*nearest) - 1e-5)) / asked.len() as f64;
            }
        }
        right
    });
    let peers = vec![
        peer(RAW, runtime, Rc::clone(&ask), move |to| drop_of(by_hand(to))),
        peer(OURS, runtime, ask, move |to| drop_of(ours(to))),
    ];
    section(title, peers, rounds, &right)
}

async fn drop_of(found: impl Future<Output = f64>) {
    black_box(found.await);
}
