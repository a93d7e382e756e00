//! A service and its tests: they do not sleep, need no server, and none sees another's values. Run them with
//! `cargo test --example testing_your_service`, and the service with `cargo run --example testing_your_service`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use stampede_runtime::store::{Backend, MemoryBackend};
use stampede_runtime::{Config, ConfigError, cached, configure, semantic_coalesce, shutdown, ttl};

/// Where prices come from.
#[derive(Debug, Default)]
struct Supplier {
    is_down: AtomicBool,
}

impl Supplier {
    async fn price(&self, article: u32) -> Result<u32, String> {
        tokio::task::yield_now().await;
        if self.is_down.load(SeqCst) { Err("the supplier is down".to_owned()) } else { Ok(article * 100) }
    }
}

#[cached(namespace = "shop", ttl = "1m", stale = "30s", stale_if_error = "1h", backend = "prices", skip(supplier))]
async fn price(article: u32, supplier: Arc<Supplier>) -> Result<u32, String> {
    supplier.price(article).await
}

/// No runtime is needed for this one.
#[cached(namespace = "shop", ttl = "1h")]
fn terms(country: &str) -> String {
    format!("terms of sale for {country}")
}

/// Stands for a language model, which is asked once for questions that mean the same.
#[semantic_coalesce(namespace = "shop", threshold = 0.92)]
async fn answer(question: &str) -> String {
    format!("an answer to: {question}")
}

/// The configuration of the service, which has one place: `main` gives it to the process, and each test to itself.
fn config(prices: impl Backend) -> Result<Config, ConfigError> {
    Config::builder().backend("prices", prices).build()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    configure(config(MemoryBackend::new(64 << 20))?)?;
    let supplier = Arc::new(Supplier::default());
    for article in [1, 2, 1, 1] {
        println!("article {article} costs {}", price(article, Arc::clone(&supplier)).await?);
    }
    println!("{}, and the model: {}", terms("Norway"), answer("do you ship to Norway?").await);
    println!("prices: {}", price::stats());
    assert_eq!(shutdown(ttl::MINUTE).await, 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stampede_runtime::BackendState;
    use stampede_runtime::store::BackendErrorKind::Unreachable;
    use stampede_runtime::testing::{self, Fault, FaultyBackend, Isolated, PlacedEmbedder, Verb};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A service of its own for one test.
    fn service() -> (Isolated, FaultyBackend, Arc<Supplier>) {
        let prices = FaultyBackend::new();
        let isolated = testing::isolate_with(config(prices.clone()).unwrap());
        (isolated, prices, Arc::default())
    }

    #[tokio::test]
    async fn a_price_is_asked_for_once() {
        let (_isolated, _, supplier) = service();
        let counted = testing::count(price::stats);
        let (one, two) = tokio::join!(price(7, Arc::clone(&supplier)), price(7, Arc::clone(&supplier)));
        assert_eq!((one, two, price(7, supplier).await), (Ok(700), Ok(700), Ok(700)));
        counted.assert_executions(1);
        counted.assert(|since| (since.coalesce_hits, since.cache_hits), (1, 1));
    }

    /// On a multi-thread runtime, whose time tokio cannot pause.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_old_price_is_renewed_behind_its_callers() {
        let (isolated, _, supplier) = service();
        let (clock, counted) = (isolated.clock(), testing::count(price::stats));
        price(7, Arc::clone(&supplier)).await.unwrap();
        clock.advance(61 * SECOND);
        price(7, Arc::clone(&supplier)).await.unwrap();
        testing::settled().await; // the refresh has ended
        counted.assert(|since| (since.stale_hits, since.refreshes), (1, 1));
        price(7, supplier).await.unwrap();
        counted.assert(|since| since.cache_hits, 1);
    }

    #[tokio::test]
    async fn while_the_supplier_is_down_there_are_old_prices_for_an_hour() {
        let (isolated, _, supplier) = service();
        let clock = isolated.clock();
        price(7, Arc::clone(&supplier)).await.unwrap();
        supplier.is_down.store(true, SeqCst);
        clock.advance(3_600 * SECOND);
        assert_eq!(price(7, Arc::clone(&supplier)).await, Ok(700));
        clock.advance(61 * SECOND);
        assert_eq!(price(7, supplier).await, Err("the supplier is down".to_owned()));
        assert_eq!(price::stats().fallbacks, 1);
    }

    #[test]
    fn terms_are_kept_for_an_hour() {
        let isolated = testing::isolate();
        let (clock, counted) = (isolated.clock(), testing::count(terms::stats));
        terms("Norway");
        clock.advance(3_599 * SECOND);
        terms("Norway");
        counted.assert_executions(1);
        clock.advance(SECOND);
        terms("Norway");
        counted.assert_executions(2);
    }

    #[tokio::test]
    async fn a_broken_store_fails_no_call_and_is_left_alone_until_it_is_well() {
        let (isolated, prices, supplier) = service();
        let clock = isolated.clock();
        prices.always(Fault::Fail(Unreachable));
        for article in 1..=3 {
            assert_eq!(price(article, Arc::clone(&supplier)).await, Ok(article * 100));
            testing::settled().await;
        }
        assert_eq!(price::stats().backend_state, BackendState::Open);
        prices.heal();
        clock.advance(2 * SECOND); // no rest is longer
        testing::settled().await; // and the trial after it has ended
        assert_eq!(price::stats().backend_state, BackendState::Closed);
        let written = prices.on(Verb::Set).asked();
        price(4, supplier).await.unwrap();
        testing::settled().await;
        assert_eq!(prices.on(Verb::Set).asked(), written + 1);
    }

    #[tokio::test]
    async fn a_price_that_was_damaged_in_the_store_is_asked_for_anew() {
        let (_isolated, prices, supplier) = service();
        prices.on(Verb::Set).next(1, Fault::FlipBit(400));
        price(7, Arc::clone(&supplier)).await.unwrap();
        testing::settled().await;
        stampede_runtime::clear_all(); // as after a restart
        let counted = testing::count(price::stats);
        assert_eq!(price(7, supplier).await, Ok(700));
        counted.assert(|since| (since.executions, since.decode_errors), (1, 1));
    }

    #[tokio::test]
    async fn questions_that_mean_the_same_are_asked_once() {
        let embedder = PlacedEmbedder::new();
        embedder.near("is Norway on your list?", "do you ship to Norway?", 0.95);
        embedder.near("do you ship to Sweden?", "do you ship to Norway?", 0.85);
        let _isolated = testing::isolate_with(Config::builder().embedder(embedder).build().unwrap());
        let first = answer("do you ship to Norway?").await;
        testing::settled().await;
        assert_eq!(answer("is Norway on your list?").await, first);
        assert_ne!(answer("do you ship to Sweden?").await, first);
        assert_eq!(answer::stats().executions, 2);
    }
}
