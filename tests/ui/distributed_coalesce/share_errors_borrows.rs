use serde::{Deserialize, Serialize};
use stampede_runtime::distributed_coalesce;

#[derive(Clone, Serialize, Deserialize)]
struct Code {
    text: &'static str,
}

#[distributed_coalesce(share_errors)]
async fn load(path: &str) -> Result<String, Code> {
    Ok(path.to_owned())
}

fn main() {}
