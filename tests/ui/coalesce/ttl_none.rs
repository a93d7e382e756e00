use stampede_runtime::coalesce;

#[coalesce(ttl = none)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
