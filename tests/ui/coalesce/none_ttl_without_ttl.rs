use stampede_runtime::coalesce;

#[coalesce(none_ttl = 10)]
async fn load(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
