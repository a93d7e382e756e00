use stampede_runtime::semantic_coalesce;

#[semantic_coalesce(shadow = 0.01, attached)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
