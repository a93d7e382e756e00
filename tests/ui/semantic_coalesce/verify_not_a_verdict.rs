use stampede_runtime::semantic_coalesce;

async fn same(asked: &str, found: &str, answer: &str) -> f64 {
    (asked.len() + found.len() + answer.len()) as f64
}

#[semantic_coalesce(verify = same)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
