use stampede_runtime::coalesce;

#[coalesce(wait = -1)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
