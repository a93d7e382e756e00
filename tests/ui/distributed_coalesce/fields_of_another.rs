use stampede_runtime::distributed_coalesce;

#[distributed_coalesce(fields(path))]
async fn load(path: &str) -> String {
    path.to_owned()
}

fn main() {}
