use stampede_runtime::cached;

#[cached(ttl = 60, backend = "redis", lease = "5s", share_errors = false)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
