//! The only text is the question, and all other arguments have to be equal.

#[semantic_coalesce]
async fn answer(model: &Model, question: &str, temperature: f32) -> Result<String, Error> {
    ask(model, question, temperature).await
}
