use stampede_runtime::cached;

#[cached(ttl = 60, version = 2)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
