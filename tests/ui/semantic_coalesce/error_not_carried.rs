use std::io;
use std::sync::Arc;

use stampede_runtime::semantic_coalesce;

#[semantic_coalesce(share_errors)]
async fn answer(question: &str) -> Result<String, Arc<io::Error>> {
    Ok(question.to_owned())
}

fn main() {}
