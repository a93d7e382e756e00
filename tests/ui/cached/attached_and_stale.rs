use stampede_runtime::cached;

#[cached(ttl = 60, stale = "1m", early, attached)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
