use stampede_runtime::coalesce_by_content;

#[derive(Clone)]
struct Loader;

impl Loader {
    #[coalesce_by_content]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
