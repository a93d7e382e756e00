use stampede_runtime::coalesce;

#[derive(Clone)]
struct Loader(u64);

impl Loader {
    #[coalesce]
    async fn load(id: u64) -> Self {
        Loader(id)
    }
}

fn main() {}
