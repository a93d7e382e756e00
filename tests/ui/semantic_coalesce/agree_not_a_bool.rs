use stampede_runtime::semantic_coalesce;

#[semantic_coalesce(shadow = 0.01, agree = |old, new| old.len().cmp(&new.len()))]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
