use stampede_runtime::cached;

#[cached(ttl = 60, swr = 60)]
async fn stale(id: u64) -> u64 {
    id
}

#[cached(ttl = 60, time_refresh = true, result = true, option = true)]
async fn cached_crate(id: u64) -> u64 {
    id
}

fn main() {}
