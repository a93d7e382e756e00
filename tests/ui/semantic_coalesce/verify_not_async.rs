use stampede_runtime::semantic_coalesce;

fn same(asked: &str, found: &str, answer: &str) -> bool {
    asked.len() == found.len() && !answer.is_empty()
}

#[semantic_coalesce(verify = same)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
