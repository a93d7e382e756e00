use std::pin::Pin;

use stampede_runtime::invalidates;

#[invalidates(tags("users"))]
fn boxed() -> Pin<Box<dyn Future<Output = Result<(), std::io::Error>> + Send>> {
    Box::pin(async { Ok(()) })
}

#[invalidates(tags("users"))]
fn opaque() -> impl Future<Output = Result<(), std::io::Error>> {
    async { Ok(()) }
}

fn main() {}
