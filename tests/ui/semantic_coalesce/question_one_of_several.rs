use stampede_runtime::semantic_coalesce;

#[semantic_coalesce]
async fn answer(system: &str, question: &str) -> String {
    format!("{system}: {question}")
}

fn main() {}
