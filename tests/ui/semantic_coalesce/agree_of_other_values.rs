use stampede_runtime::semantic_coalesce;

fn close(old: &u64, new: &u64) -> bool {
    old.abs_diff(*new) < 2
}

#[semantic_coalesce(shadow = 0.01, agree = close)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
