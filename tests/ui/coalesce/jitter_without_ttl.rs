use stampede_runtime::coalesce;

#[coalesce(jitter = 0.1)]
async fn load(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
