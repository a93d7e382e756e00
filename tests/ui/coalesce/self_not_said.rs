use stampede_runtime::coalesce;

#[derive(Clone)]
struct Loader;

impl Loader {
    #[coalesce]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
