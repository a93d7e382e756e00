use stampede_runtime::coalesce;

#[coalesce(timeout = |value| MINUTE)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
