use stampede_runtime::cached;

#[cached(ttl = |value| std::time::Duration::from_secs(value.unwrap_or(1)), none_ttl = 10)]
async fn load(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
