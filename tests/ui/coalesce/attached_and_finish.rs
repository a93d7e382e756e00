use stampede_runtime::coalesce;

#[coalesce(attached, on_abandon = "finish")]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
