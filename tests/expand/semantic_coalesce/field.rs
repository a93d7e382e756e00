//! The question is a field of an argument.

#[semantic_coalesce(query = request.messages.0, key(request.model), companion = none)]
fn answer(request: &Request) -> Answer {
    answer_now(request)
}
