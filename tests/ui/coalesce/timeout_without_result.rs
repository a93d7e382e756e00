use stampede_runtime::coalesce;

#[coalesce(timeout = "10s", wait = 5)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
