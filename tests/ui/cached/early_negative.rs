use stampede_runtime::cached;

#[cached(ttl = 60, early = -1.5)]
async fn negative(id: u64) -> u64 {
    id
}

#[cached(ttl = 60, early = 0)]
async fn zero(id: u64) -> u64 {
    id
}

#[cached(ttl = 60, early = true)]
async fn yes(id: u64) -> u64 {
    id
}

fn main() {}
