use stampede_runtime::distributed_coalesce;

#[distributed_coalesce(ttl = 0)]
async fn load(path: &str) -> String {
    path.to_owned()
}

fn main() {}
