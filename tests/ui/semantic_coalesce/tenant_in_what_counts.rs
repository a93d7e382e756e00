use serde::Serialize;
use stampede_runtime::semantic_coalesce;

#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
struct User {
    id: u64,
    organisation: u64,
}

#[semantic_coalesce(tenant = user.organisation)]
async fn answer(user: &User, question: &str) -> String {
    format!("{}: {question}", user.id)
}

fn main() {}
