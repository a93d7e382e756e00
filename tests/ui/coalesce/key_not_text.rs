use stampede_runtime::coalesce;

#[coalesce(key = id)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
