//! A shop's stock, read through a cache and written through it. Run it with
//! `cargo run --release --example write_through`.

mod support;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use stampede_runtime::{Cache, Loader, Writer};

const ITEMS: u64 = 10;
const READS: u64 = 1_000;

/// What was asked of the database.
static QUERIES: AtomicU64 = AtomicU64::new(0);

async fn read(pool: &SqlitePool, item: &str) -> Result<i64, sqlx::Error> {
    QUERIES.fetch_add(1, Relaxed);
    let row = sqlx::query_as("SELECT count FROM stock WHERE item = ?").bind(item).fetch_one(pool).await;
    row.map(|(count,): (i64,)| count)
}

async fn write(pool: &SqlitePool, item: &str, count: i64) -> Result<(), sqlx::Error> {
    QUERIES.fetch_add(1, Relaxed);
    let statement = sqlx::query("UPDATE stock SET count = ? WHERE item = ?").bind(count).bind(item);
    statement.execute(pool).await.map(drop)
}

type Stock = Cache<i64, Loader<i64>, Writer<i64>>;

/// A cache that knows where its values belong.
fn stock(pool: &SqlitePool) -> Stock {
    let (reads, writes) = (pool.clone(), pool.clone());
    Cache::builder("stock")
        .ttl(Duration::from_secs(60))
        .loader(move |item: String| {
            let pool = reads.clone();
            async move { read(&pool, &item).await }
        })
        .writer(move |item: String, count| {
            let pool = writes.clone();
            async move { write(&pool, &item, count).await }
        })
        .build()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let options = SqliteConnectOptions::new().filename(folder.path().join("shop.db")).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(10).connect_with(options).await?;
    sqlx::query("CREATE TABLE stock (item TEXT PRIMARY KEY, count INTEGER)").execute(&pool).await?;
    for item in 0..ITEMS {
        sqlx::query("INSERT INTO stock VALUES (?, 100)").bind(item.to_string()).execute(&pool).await?;
    }
    let stock = stock(&pool);

    println!("{READS} reads of {ITEMS} items:\n");
    let without = (0..READS).map(|number| {
        let pool = pool.clone();
        async move { read(&pool, &(number % ITEMS).to_string()).await }
    });
    let without = support::send(Duration::ZERO, without).await;
    let before = QUERIES.swap(0, Relaxed);
    let with = (0..READS).map(|number| {
        let stock = stock.clone();
        async move { stock.load(&(number % ITEMS).to_string()).await }
    });
    let with = support::send(Duration::ZERO, with).await;
    let after = QUERIES.swap(0, Relaxed);
    support::report("queries", [before, after], [&without, &with], &[]);

    // Written to the database first, and then to the cache: the next read asks nobody.
    stock.write("7", 99).await?;
    println!("after a write: {} queries, the cache says {:?}.", QUERIES.swap(0, Relaxed), stock.get("7").await);

    // A write that fails leaves nothing behind that may be wrong.
    sqlx::query("ALTER TABLE stock RENAME TO closed").execute(&pool).await?;
    let error = stock.write("7", 98).await.expect_err("there is no such table");
    let is_ours = error.downcast_ref::<sqlx::Error>().is_some();
    println!("after one that failed (an error of the database: {is_ours}), the cache says {:?}.", stock.get("7").await);

    // And a warm-up fills what is missing, some at a time.
    sqlx::query("ALTER TABLE closed RENAME TO stock").execute(&pool).await?;
    let items = (0..ITEMS).map(|item| item.to_string());
    let ended = stock.warm(items, 4, |_| ()).await;
    println!("warmed up: {} of {:?}, {} of them loaded.", ended.done, ended.total, ended.executed);
    println!("\n{}", stock.stats());
    pool.close().await;
    Ok(())
}
