use std::fmt::Display;
use std::hash::Hash;

use serde::Serialize;
use stampede_runtime::distributed_coalesce;

#[distributed_coalesce(backend = "redis")]
async fn load<T: Display + Clone + Eq + Hash + Serialize + Send + Sync + 'static>(path: T) -> String {
    path.to_string()
}

fn main() {}
