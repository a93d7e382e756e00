use async_trait::async_trait;
use stampede_runtime::coalesce;

#[async_trait]
trait Load {
    async fn load(&self, id: u64) -> u64;
}

struct Loader;

#[async_trait]
impl Load for Loader {
    #[coalesce(skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
