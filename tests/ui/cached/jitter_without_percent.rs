use stampede_runtime::cached;

#[cached(ttl = 60, jitter = "10")]
async fn load(id: u64) -> u64 {
    id
}

#[cached(ttl = 60, jitter = "10s")]
async fn time(id: u64) -> u64 {
    id
}

fn main() {}
