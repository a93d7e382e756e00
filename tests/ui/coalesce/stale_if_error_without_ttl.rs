use stampede_runtime::coalesce;

#[coalesce(stale_if_error = "1h")]
async fn load(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
