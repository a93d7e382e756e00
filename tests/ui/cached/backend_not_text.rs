use stampede_runtime::cached;

#[cached(ttl = 60, backend = redis)]
async fn load(id: u64) -> u64 {
    id
}

#[cached(ttl = 60, backend = "")]
async fn empty(id: u64) -> u64 {
    id
}

fn main() {}
