use stampede_runtime::semantic_coalesce;

#[semantic_coalesce(query = question, key(model, question))]
async fn answer(model: u8, question: &str) -> String {
    format!("{model}: {question}")
}

fn main() {}
