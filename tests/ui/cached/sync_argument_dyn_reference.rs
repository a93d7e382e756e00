use stampede_runtime::{Error, cached};

#[cached(ttl = 60, stale = "1m", timeout = "1m", skip(show))]
fn load(id: u64, show: &dyn Fn(u64)) -> Result<u64, Error> {
    show(id);
    Ok(id)
}

fn main() {}
