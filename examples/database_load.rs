//! A slow query, 10 connections, 100 dashboards that open at once. Run it with
//! `cargo run --release --example database_load`.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use stampede_runtime::coalesce;

const CALLERS: usize = 100;
const CONNECTIONS: u32 = 10;

/// Region, number of sales, revenue in cents.
type Row = (String, i64, i64);

/// The queries that were sent.
static QUERIES: AtomicU64 = AtomicU64::new(0);

/// As most code has it: every caller takes a connection and runs the query.
async fn query(pool: &SqlitePool, year: i64) -> Result<Vec<Row>, sqlx::Error> {
    QUERIES.fetch_add(1, Relaxed);
    sqlx::query_as("SELECT region, COUNT(*), SUM(cents) FROM sales WHERE year = ? GROUP BY region ORDER BY 3 DESC")
        .bind(year)
        .fetch_all(pool)
        .await
}

/// One line more. `sqlx::Error` is not `Clone`, an `Arc` of it is.
#[coalesce(ttl = "5s", skip(pool))]
async fn revenue(pool: &SqlitePool, year: i64) -> Result<Vec<Row>, Arc<sqlx::Error>> {
    Ok(query(pool, year).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let options = SqliteConnectOptions::new().filename(folder.path().join("sales.db")).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await?;
    fill(&pool).await?;

    println!("{CALLERS} callers at once of one query, with a pool of {CONNECTIONS} connections:\n");
    let without = (0..CALLERS).map(|_| {
        let pool = pool.clone();
        async move { query(&pool, 2025).await }
    });
    let without = support::send(Duration::ZERO, without).await;
    let before = QUERIES.swap(0, Relaxed);

    let with = (0..CALLERS).map(|_| {
        let pool = pool.clone();
        async move { revenue(&pool, 2025).await }
    });
    let with = support::send(Duration::ZERO, with).await;
    let after = QUERIES.swap(0, Relaxed);
    support::report("queries", [before, after], [&without, &with], &[]);

    for (region, sales, cents) in revenue(&pool, 2025).await? {
        println!("{region:6} {sales:6} sales, ${}", cents / 100);
    }
    pool.close().await;
    Ok(())
}

/// Makes enough rows for the query to take some time. There is no index: that is why it is slow.
async fn fill(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    sqlx::query("CREATE TABLE sales (year INTEGER, region TEXT, cents INTEGER)").execute(pool).await?;
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 140000)
         INSERT INTO sales
         SELECT 2024 + i % 2, CASE i / 2 % 4 WHEN 0 THEN 'North' WHEN 1 THEN 'East' WHEN 2 THEN 'South' ELSE 'West' END,
                i * 7919 % 10000
         FROM n",
    )
    .execute(pool)
    .await?;
    Ok(())
}
