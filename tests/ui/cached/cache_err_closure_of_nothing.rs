use stampede_runtime::cached;

#[cached(ttl = 60, cache_err = || std::time::Duration::from_secs(5))]
async fn load(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
