//! One function, configured from outside: a file with mistakes, the right one, and a variable over it. Run it with
//! `cargo run --example config_file`.

use stampede_runtime::{Config, ConfigError, clear_all, coalesce, configure, reset_stats, testing};

/// As written, it shares calls in flight and keeps nothing.
#[coalesce(namespace = "forecast")]
async fn forecast(city: &str) -> String {
    format!("sunny in {city}")
}

/// Ten requests for each of two cities, one after another. Returns how often the body ran.
async fn requests() -> u64 {
    clear_all();
    reset_stats();
    for _ in 0..10 {
        forecast("Oslo").await;
        forecast("Rome").await;
    }
    forecast::stats().executions
}

/// A service has such a function, and `main` begins with `configure(config(…)?)?`. `.env()` in the place of `.variables(…)`
/// takes the process's own.
fn config<const N: usize>(file: &str, variables: [(&str, &str); N]) -> Result<Config, ConfigError> {
    Config::builder().file(format!("examples/config/{file}")).variables(variables).build()
}

#[tokio::main]
async fn main() -> Result<(), ConfigError> {
    println!("A file with mistakes is refused, with all of them:\n");
    println!("{}\n", config("wrong.toml", []).expect_err("it is wrong"));

    // A process is configured once. To show three configurations in one, two of them hold for a while only.
    let as_written = testing::isolate();
    let without = requests().await;
    drop(as_written);

    let variables = [("STAMPEDE_NAMESPACES__FORECAST__TTL", "0")];
    let with_variable = testing::isolate_with(config("right.toml", variables)?);
    let switched_off = requests().await;
    drop(with_variable);

    configure(config("right.toml", [])?)?;
    let with = requests().await;

    println!("The right one gives a function that keeps nothing a `ttl`. 20 requests, 2 cities:\n");
    println!("            without  right.toml");
    println!("executions  {without:>7}  {with:>10}\n");
    println!("And over that file, STAMPEDE_NAMESPACES__FORECAST__TTL=0: {switched_off} executions.");
    println!("A second configuration: {}.", configure(Config::default()).expect_err("one is enough"));
    Ok(())
}
