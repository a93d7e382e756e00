use std::cell::Cell;
use std::future::Future;

use stampede_runtime::coalesce;

trait Load {
    fn load(&self, id: u64) -> impl Future<Output = u64> + Send;
}

struct Loader(Cell<u64>);

impl Load for Loader {
    #[coalesce(skip(self), attached)]
    async fn load(&self, id: u64) -> u64 {
        self.0.get() + id
    }
}

fn main() {}
