use stampede_runtime::distributed_coalesce;

#[distributed_coalesce(share_errors)]
async fn load(path: &str) -> Option<String> {
    Some(path.to_owned())
}

fn main() {}
