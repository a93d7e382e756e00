use stampede_runtime::coalesce;

#[coalesce(timeout = "0s")]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
