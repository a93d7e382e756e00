use stampede_runtime::semantic_coalesce;

const NEAR: &str = "near";

#[semantic_coalesce(threshold = NEAR)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
