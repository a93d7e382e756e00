//! Other attributes on the same function, above and below.

use stampede_runtime::{coalesce, coalesce_by_content};

use super::help::{shares, work};

#[tracing::instrument]
#[coalesce]
async fn instrument_above(n: u32) -> u32 {
    work().await;
    n
}

#[coalesce]
#[tracing::instrument]
async fn instrument_below(n: u32) -> u32 {
    work().await;
    n
}

#[coalesce(attached)]
#[tracing::instrument(skip_all, fields(n = n), err)]
async fn instrument_below_attached(n: u32) -> Result<u32, String> {
    work().await;
    Ok(n)
}

#[tracing::instrument(skip_all, fields(name = %name), ret)]
#[coalesce]
async fn instrument_above_with_fields(name: &str) -> usize {
    work().await;
    name.len()
}

#[tokio::test(start_paused = true)]
async fn instrument() {
    shares(instrument_above(1), instrument_above(1), instrument_above(2)).await;
    shares(instrument_below(1), instrument_below(1), instrument_below(2)).await;
    let call = instrument_below_attached;
    shares(call(1), call(1), call(2)).await;
    let call = instrument_above_with_fields;
    shares(call("a"), call("a"), call("")).await;
}

/// A client.
#[derive(Clone, Debug)]
struct Client;

impl Client {
    #[tracing::instrument(skip(self))]
    #[coalesce(skip(self))]
    async fn above(&self, n: u32) -> u32 {
        work().await;
        n
    }

    #[coalesce(skip(self))]
    #[tracing::instrument(skip(self), level = "debug")]
    async fn below(&self, n: u32) -> u32 {
        work().await;
        n
    }
}

#[tokio::test(start_paused = true)]
async fn instrument_on_methods() {
    shares(Client.above(1), Client.above(1), Client.above(2)).await;
    shares(Client.below(1), Client.below(1), Client.below(2)).await;
}

/// Above.
#[allow(clippy::unused_async, clippy::many_single_char_names)]
#[must_use]
#[inline]
#[coalesce]
async fn plain_above(n: u32) -> u32 {
    work().await;
    n
}

#[coalesce]
/// Below.
#[allow(clippy::unused_async)]
#[must_use = "it took long"]
#[inline(never)]
#[doc(alias = "under")]
#[cold]
async fn plain_below(n: u32) -> u32 {
    work().await;
    n
}

#[tokio::test(start_paused = true)]
async fn allow_must_use_doc_and_inline() {
    shares(plain_above(1), plain_above(1), plain_above(2)).await;
    shares(plain_below(1), plain_below(1), plain_below(2)).await;
}

#[deprecated = "use another"]
#[coalesce]
async fn deprecated_above(n: u32) -> u32 {
    work().await;
    n
}

#[coalesce(ttl = "1h")]
#[deprecated(since = "1.0.0", note = "use another")]
async fn deprecated_below(n: u32) -> u32 {
    work().await;
    n
}

#[tokio::test(start_paused = true)]
#[allow(deprecated)]
async fn deprecated() {
    shares(deprecated_above(1), deprecated_above(1), deprecated_above(2)).await;
    shares(deprecated_below(1), deprecated_below(1), deprecated_below(2)).await;
    assert_eq!(deprecated_below::stats().executions, 0);
}

#[cfg(any())]
#[coalesce]
async fn absent_above(n: Missing) -> Missing {
    n
}

#[coalesce]
#[cfg(any())]
async fn absent_below(n: Missing) -> Missing {
    n
}

#[cfg(not(debug_assertions))]
#[coalesce]
async fn one_of_two(n: u32) -> u32 {
    work().await;
    n + 1
}

#[coalesce]
#[cfg(debug_assertions)]
async fn one_of_two(n: u32) -> u32 {
    work().await;
    n
}

#[tokio::test(start_paused = true)]
async fn cfg() {
    shares(one_of_two(1), one_of_two(1), one_of_two(2)).await;
    assert_eq!(one_of_two::stats().executions, 0);
}

#[cfg_attr(all(), coalesce(ttl = "1h"))]
async fn by_cfg_attr(n: u32) -> u32 {
    work().await;
    n
}

#[cfg_attr(any(), coalesce(ttl = "1h"))]
async fn not_by_cfg_attr(n: u32) -> u32 {
    work().await;
    n
}

#[coalesce]
#[cfg_attr(all(), tracing::instrument, must_use)]
#[cfg_attr(any(), cfg(any()))]
async fn cfg_attr_below(n: u32) -> u32 {
    work().await;
    n
}

#[tokio::test(start_paused = true)]
async fn cfg_attr() {
    shares(by_cfg_attr(1), by_cfg_attr(1), by_cfg_attr(2)).await;
    super::help::shares_nothing(not_by_cfg_attr(1), not_by_cfg_attr(1)).await;
    shares(cfg_attr_below(1), cfg_attr_below(1), cfg_attr_below(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_path_to_the_attribute() {
    #[stampede_runtime::coalesce]
    async fn by_path(n: u32) -> u32 {
        work().await;
        n
    }

    use stampede_runtime::coalesce as share;

    #[share]
    async fn renamed(n: u32) -> u32 {
        work().await;
        n
    }

    shares(by_path(1), by_path(1), by_path(2)).await;
    shares(renamed(1), renamed(1), renamed(2)).await;
}

#[coalesce_by_content(fields = [text])]
#[tracing::instrument]
#[must_use]
async fn content_below(text: &str, user: u32) -> String {
    work().await;
    text.to_lowercase()
}

#[tracing::instrument]
#[must_use]
#[coalesce_by_content(fields = [text])]
async fn content_above(text: &str, user: u32) -> String {
    work().await;
    text.to_lowercase()
}

#[tokio::test(start_paused = true)]
async fn by_content() {
    shares(content_below("a", 1), content_below(" A", 2), content_below("b", 1)).await;
    shares(content_above("a", 1), content_above(" A", 2), content_above("b", 1)).await;
}
