use stampede_runtime::semantic_coalesce;

#[semantic_coalesce]
async fn answer(id: u64) -> String {
    id.to_string()
}

fn main() {}
