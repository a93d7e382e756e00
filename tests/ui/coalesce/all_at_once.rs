use stampede_runtime::coalesce;

#[coalesce(ttl = "3x", keys = id, capacity = 0)]
async fn load(id: &mut u64) -> &str {
    ""
}

fn main() {}
