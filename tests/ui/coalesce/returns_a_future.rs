use stampede_runtime::coalesce;

use std::future::Future;
use std::pin::Pin;

struct Loader;

impl Loader {
    #[coalesce(skip(self))]
    fn load(&self) -> Pin<Box<dyn Future<Output = u64> + Send + '_>> {
        Box::pin(async { 7 })
    }
}

fn main() {}
