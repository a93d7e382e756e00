use stampede_runtime::semantic_coalesce;

#[semantic_coalesce(verify = |asked, found, _| asked == found)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
