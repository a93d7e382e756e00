use stampede_runtime::coalesce;

struct Loader;

impl Loader {
    #[coalesce(skip(self))]
    async fn load(&mut self) -> u64 {
        7
    }
}

fn main() {}
