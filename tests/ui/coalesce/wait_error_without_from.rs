use stampede_runtime::coalesce;

#[coalesce(wait = 5)]
async fn load(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
