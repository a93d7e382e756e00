use stampede_runtime::semantic_coalesce;

#[semantic_coalesce(agree = |answer| answer.is_empty(), verify_concurrent = 2)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
