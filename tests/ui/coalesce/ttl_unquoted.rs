use stampede_runtime::coalesce;

#[coalesce(ttl = 5m)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
