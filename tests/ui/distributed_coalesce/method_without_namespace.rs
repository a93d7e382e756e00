use stampede_runtime::distributed_coalesce;

#[derive(Clone)]
struct Store;

impl Store {
    #[distributed_coalesce(key(path))]
    async fn load(&self, path: &str) -> String {
        path.to_owned()
    }
}

fn main() {}
