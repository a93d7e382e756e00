use serde::Serialize;
use stampede_runtime::semantic_coalesce;

#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
struct Request {
    text: String,
    model: u8,
}

#[semantic_coalesce(query = request.text)]
async fn answer(request: Request) -> String {
    format!("{}: {}", request.model, request.text)
}

fn main() {}
