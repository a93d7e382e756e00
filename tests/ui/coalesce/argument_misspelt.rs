use stampede_runtime::coalesce;

#[coalesce(capcity = 60, ttl = 60)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
