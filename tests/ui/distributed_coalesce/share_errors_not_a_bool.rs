use stampede_runtime::distributed_coalesce;

#[distributed_coalesce(share_errors = "always")]
async fn load(path: &str) -> Result<String, String> {
    Ok(path.to_owned())
}

fn main() {}
