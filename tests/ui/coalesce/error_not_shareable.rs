use stampede_runtime::coalesce;

#[coalesce]
async fn load(id: u64) -> Result<u64, std::io::Error> {
    Ok(id)
}

fn main() {}
