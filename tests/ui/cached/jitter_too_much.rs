use stampede_runtime::cached;

#[cached(ttl = 60, jitter = "150%")]
async fn percent(id: u64) -> u64 {
    id
}

#[cached(ttl = 60, jitter = 1.5)]
async fn part(id: u64) -> u64 {
    id
}

#[cached(ttl = 60, jitter = -0.1)]
async fn negative(id: u64) -> u64 {
    id
}

fn main() {}
