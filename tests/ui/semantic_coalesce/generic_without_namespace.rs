use std::fmt::Display;
use std::hash::Hash;

use serde::Serialize;
use stampede_runtime::semantic_coalesce;

#[semantic_coalesce]
async fn answer<M: Display + Clone + Eq + Hash + Serialize + Send + Sync + 'static>(model: M, question: &str) -> String {
    format!("{model}: {question}")
}

fn main() {}
