use stampede_runtime::cached;

#[cached(ttl = 60, stale = |value| value.stale())]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
