use stampede_runtime::semantic_coalesce;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Model(String);

#[semantic_coalesce]
async fn answer(model: &Model, question: &str) -> String {
    format!("{}: {question}", model.0)
}

fn main() {}
