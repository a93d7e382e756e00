use stampede_runtime::coalesce;

#[coalesce(ttl = std::time::Duration::from_secs(id))]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
