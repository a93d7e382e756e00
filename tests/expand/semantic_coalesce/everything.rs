//! All that only this attribute takes.

#[semantic_coalesce(
    query = question,
    tenant = user.organisation,
    key(model.name, history.len()),
    threshold = 0.95,
    embed = crate::embed,
    guard(numbers, negation),
    ttl = "1h",
    lease = "2s",
    share_errors,
    backend = "meanings",
    namespace = "assistant",
    version = 3,
    companion = answers
)]
pub async fn answer(user: &User, model: &Model, history: &[Turn], question: String) -> Result<Answer, Error> {
    model.answer(user, history, question).await
}
