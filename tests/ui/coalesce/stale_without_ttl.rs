use stampede_runtime::coalesce;

#[coalesce(stale = "1m")]
async fn load(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
