use stampede_runtime::semantic_coalesce;

struct Model;

#[semantic_coalesce(embed = Model)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
