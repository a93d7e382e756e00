use stampede_runtime::semantic_coalesce;

#[derive(Clone)]
struct Answer {
    text: String,
}

#[semantic_coalesce]
async fn answer(question: &str) -> Answer {
    Answer { text: question.to_owned() }
}

fn main() {}
