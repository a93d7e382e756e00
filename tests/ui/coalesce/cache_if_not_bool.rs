use stampede_runtime::coalesce;

#[coalesce(ttl = 60, cache_if = |id| *id)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
