use stampede_runtime::cached;

#[cached(ttl = 60, cache_err = true)]
async fn load(id: u64) -> Result<u64, String> {
    Ok(id)
}

#[cached(ttl = 60, cache_err = |error| error.len())]
async fn closure(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
