use serde::{Deserialize, Serialize};
use stampede_runtime::semantic_coalesce;

#[derive(Clone, Serialize, Deserialize)]
struct Answer(String);

#[semantic_coalesce(shadow = 0.01)]
async fn answer(question: &str) -> Answer {
    Answer(question.to_owned())
}

fn main() {}
