use stampede_runtime::coalesce;

#[coalesce(cache_if = |id| *id > 0)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
