use stampede_runtime::cached;
use std::future::Future;
use std::pin::Pin;

#[cached(ttl = 60)]
fn load(id: u64) -> impl Future<Output = u64> {
    async move { id }
}

#[cached(ttl = 60)]
fn boxed(id: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move { id })
}

fn main() {}
