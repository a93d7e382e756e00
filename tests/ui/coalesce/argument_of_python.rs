use stampede_runtime::coalesce;

#[coalesce(maxsize = 100, ttl_seconds = 60, key_fn = key, sync_writes = true)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
