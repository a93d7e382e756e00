use stampede_runtime::cached;

#[cached]
async fn load(id: u64) -> u64 {
    id
}

#[cached(capacity = 10, stale = "1m")]
fn load_now(id: u64) -> u64 {
    id
}

fn main() {}
