use stampede_runtime::semantic_coalesce;

async fn same(asked: String, found: &str, answer: &str) -> bool {
    asked.len() == found.len() && !answer.is_empty()
}

#[semantic_coalesce(verify = same)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
