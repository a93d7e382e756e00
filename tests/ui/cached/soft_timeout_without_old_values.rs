use stampede_runtime::cached;

#[cached(ttl = 60, soft_timeout = "200ms")]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
