use std::io;

use stampede_runtime::semantic_coalesce;

async fn same(asked: &str, found: &str, answer: &str) -> Result<String, io::Error> {
    Ok(format!("{asked} {found} {answer}"))
}

#[semantic_coalesce(verify = same)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
