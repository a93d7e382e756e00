use stampede_runtime::semantic_coalesce;

#[semantic_coalesce(guard(number, judge))]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
