use stampede_runtime::coalesce;

use std::pin::Pin;

struct Loader;

impl Loader {
    #[coalesce(skip(self))]
    async fn load(self: Pin<&mut Self>) -> u64 {
        7
    }
}

fn main() {}
