use stampede_runtime::distributed_coalesce;

#[distributed_coalesce(ttl = none, stale = "1m")]
async fn load(path: &str) -> String {
    path.to_owned()
}

fn main() {}
