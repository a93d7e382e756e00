use stampede_runtime::semantic_coalesce;

struct Model;

#[derive(Clone)]
struct Answer;

#[semantic_coalesce(query = words, tenant = model)]
async fn answer(model: Model, words: Vec<String>) -> Answer {
    let _ = (model, words);
    Answer
}

fn main() {}
