/// A quote, with every word of the policy.
#[cached(
    ttl = "10m",
    stale = "1m",
    stale_if_error = "1h",
    early,
    jitter = "10%",
    none_ttl = 0,
    cache_err = |error| error.ttl(),
    capacity = 10_000,
    weigh = |quote| quote.len(),
    soft_timeout = "200ms",
    timeout = LIMIT,
    backend = "redis",
    version = 2
)]
pub async fn quote(symbol: &str) -> Result<Option<Quote>, Error> {
    fetch(symbol).await
}

/// Generic, and kept outside of the process.
#[cached(ttl = 60, backend = "redis", namespace = "lists", companion = none)]
async fn list<T: Item, const N: usize>(items: [T; N]) -> Vec<T> {
    items.into()
}
