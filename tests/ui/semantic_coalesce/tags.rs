use stampede_runtime::semantic_coalesce;

#[semantic_coalesce(tags("answers"))]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
