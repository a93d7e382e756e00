use stampede_runtime::semantic_coalesce;

async fn same(asked: &str, found: &str, answer: &u64) -> bool {
    asked.len() == found.len() && *answer > 0
}

#[semantic_coalesce(verify = same)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
