use stampede_runtime::coalesce;

#[coalesce(ttl = "3x", keys = id)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
