use std::io;

use stampede_runtime::distributed_coalesce;

#[distributed_coalesce(share_errors)]
async fn load(path: &str) -> Result<String, io::Error> {
    Ok(path.to_owned())
}

fn main() {}
