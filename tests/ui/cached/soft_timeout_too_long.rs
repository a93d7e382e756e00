use stampede_runtime::{Error, cached};

#[cached(ttl = 60, stale_if_error = "1h", soft_timeout = "10s", timeout = 10)]
async fn load(id: u64) -> Result<u64, Error> {
    Ok(id)
}

#[cached(ttl = 60, stale_if_error = "1h", soft_timeout = "3s", wait = "2s")]
async fn wait(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
