use stampede_runtime::semantic_coalesce;

struct Unsure;

async fn same(asked: &str, found: &str, answer: &str) -> Result<bool, Unsure> {
    if answer.is_empty() { Err(Unsure) } else { Ok(asked.len() == found.len()) }
}

#[semantic_coalesce(verify = same)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
