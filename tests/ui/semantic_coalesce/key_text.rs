use stampede_runtime::semantic_coalesce;

#[semantic_coalesce(key = "{model}")]
async fn answer(model: u8, question: &str) -> String {
    format!("{model}: {question}")
}

fn main() {}
