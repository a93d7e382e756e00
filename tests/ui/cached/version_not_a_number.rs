use stampede_runtime::cached;

#[cached(ttl = 60, backend = "redis", version = "2")]
async fn load(id: u64) -> u64 {
    id
}

#[cached(ttl = 60, backend = "redis", version = -2)]
async fn negative(id: u64) -> u64 {
    id
}

fn main() {}
