use stampede_runtime::coalesce;

struct Loader {
    base: u64,
}

impl Loader {
    #[coalesce(skip(self))]
    async fn load(&self, id: u64) -> u64 {
        self.base + id
    }
}

fn main() {}
