use stampede_runtime::semantic_coalesce;

#[semantic_coalesce(threshold = 92)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
