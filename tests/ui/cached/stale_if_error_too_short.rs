use stampede_runtime::cached;

#[cached(ttl = 60, stale = "1h", stale_if_error = "60m")]
async fn load(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
