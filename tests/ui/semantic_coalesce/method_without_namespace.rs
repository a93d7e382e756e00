use stampede_runtime::semantic_coalesce;

#[derive(Clone)]
struct Assistant;

impl Assistant {
    #[semantic_coalesce(skip(self))]
    async fn answer(&self, question: &str) -> String {
        question.to_owned()
    }
}

fn main() {}
