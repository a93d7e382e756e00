use stampede_runtime::semantic_coalesce;

async fn same(asked: &str, found: &str) -> bool {
    asked.len() == found.len()
}

#[semantic_coalesce(verify = same)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
