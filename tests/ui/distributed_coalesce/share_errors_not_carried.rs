use std::io;
use std::sync::Arc;

use stampede_runtime::distributed_coalesce;

#[distributed_coalesce(share_errors = true)]
async fn load(path: &str) -> Result<String, Arc<io::Error>> {
    Ok(path.to_owned())
}

fn main() {}
