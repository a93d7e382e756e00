use stampede_runtime::coalesce;

#[coalesce]
async fn load(text: &str) -> Result<u64, std::fmt::Error> {
    Ok(text.parse::<u64>()?)
}

fn main() {}
