use stampede_runtime::coalesce;

#[coalesce(max_concurrent = 0)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
