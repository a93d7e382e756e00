use serde::Serialize;
use stampede_runtime::semantic_coalesce;

#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
struct Organisation(u64);

#[semantic_coalesce(tenant = organisation)]
async fn answer(organisation: &Organisation, question: &str) -> String {
    format!("{}: {question}", organisation.0)
}

fn main() {}
