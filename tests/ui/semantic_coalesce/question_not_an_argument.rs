use stampede_runtime::semantic_coalesce;

#[semantic_coalesce(query = question.trim())]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
