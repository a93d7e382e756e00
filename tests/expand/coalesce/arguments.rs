/// Loads a page.
#[coalesce(ttl = "1m", cache_if = |page| page.complete, timeout = "10s")]
pub async fn load(topic: &str, mut n: u32) -> Result<Page, Error> {
    n += 1;
    fetch(topic, n).await
}
