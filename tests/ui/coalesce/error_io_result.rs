use stampede_runtime::coalesce;

#[coalesce]
async fn load(id: u64) -> std::io::Result<u64> {
    Ok(id)
}

fn main() {}
