use stampede_runtime::invalidates;

#[invalidates(tags("users"))]
struct Users;

#[invalidates(tags("users"))]
const fn constant() {}

#[invalidates(keys("users"))]
fn text() {}

#[invalidates(tags("users"))]
fn opaque() -> impl Sized {}

fn main() {}
