use stampede_runtime::cached;

#[cached(ttl = 60, stale_if_error = "1h", soft_timeout = 0)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
