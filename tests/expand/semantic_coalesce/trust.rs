//! Who is asked about near hits, which of them are executed all the same, and how many may be wrong.

#[semantic_coalesce(
    verify = judges::means_the_same,
    verify_timeout = "1s",
    verify_concurrent = 4,
    shadow = "1%",
    agree = |old, new| old.text == new.text,
    max_error = 0.02
)]
async fn answer(question: &str) -> Answer {
    ask(question).await
}
