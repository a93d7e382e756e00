use stampede_runtime::cached;

#[cached(ttl = 60, timeout = "1s")]
fn load(id: u64) -> u64 {
    id
}

fn main() {}
