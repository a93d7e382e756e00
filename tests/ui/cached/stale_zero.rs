use stampede_runtime::cached;

#[cached(ttl = 60, stale = 0, stale_if_error = "0s", cache_err = 0)]
async fn load(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
