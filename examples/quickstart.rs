//! A hundred requests for one forecast, one call to the service. Run it with `cargo run --example quickstart`.

use std::time::{Duration, Instant};

use stampede_runtime::coalesce;

/// Plays a slow, paid service.
#[coalesce(ttl = "5m")]
async fn forecast(city: &str) -> Result<String, String> {
    println!("  asking the service about {city} …");
    tokio::time::sleep(Duration::from_millis(500)).await;
    if city == "Atlantis" { Err(format!("no such city: {city}")) } else { Ok(format!("sunny in {city}")) }
}

#[tokio::main]
async fn main() {
    println!("100 requests at once:");
    let started = Instant::now();
    let requests: Vec<_> = (0..100).map(|_| tokio::spawn(forecast("Oslo"))).collect();
    for request in requests {
        assert_eq!(request.await.expect("no panic"), Ok("sunny in Oslo".to_owned()));
    }
    println!("  all answered after {:.0?}", started.elapsed());

    println!("one more, a moment later:");
    let started = Instant::now();
    println!("  {:?} after {:.0?}", forecast("Oslo").await, started.elapsed());

    println!("an error is shared by those who wait, and not kept:");
    let (one, two) = tokio::join!(forecast("Atlantis"), forecast("Atlantis"));
    println!("  {one:?}, {two:?}");

    println!("\n{}", forecast::stats());
}
