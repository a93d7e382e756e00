use stampede_runtime::coalesce;

#[derive(Clone)]
struct Loader;

impl Loader {
    #[coalesce(method, skip(self))]
    async fn load(&self) -> u64 {
        7
    }
}

fn main() {}
