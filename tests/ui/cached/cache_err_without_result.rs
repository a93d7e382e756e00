use stampede_runtime::cached;

#[cached(ttl = 60, cache_err = "5s")]
async fn load(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
