use stampede_runtime::cached;

#[cached(ttl = 60, none_ttl = 0)]
async fn load(id: u64) -> u64 {
    id
}

#[cached(ttl = 60, none_ttl = "10s")]
fn now(id: u64) -> Result<Vec<u64>, String> {
    Ok(vec![id])
}

fn main() {}
