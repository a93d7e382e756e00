use stampede_runtime::coalesce;

#[coalesce(capacity = 10)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
