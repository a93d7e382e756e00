use super::*;
use crate::semantic::conformance;

#[tokio::test(start_paused = true)]
async fn keeps_what_every_index_promises() {
    let shared = Arc::new(EmbeddedIndex::new());
    conformance::check(384, async || Arc::clone(&shared)).await;
    assert!(format!("{shared:?}").contains("entries: 0"), "{shared:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_it_on_the_real_clock_and_two_threads_too() {
    conformance::check(16, async || Arc::new(EmbeddedIndex::new())).await;
}
