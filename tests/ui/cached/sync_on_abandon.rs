use stampede_runtime::cached;

#[cached(ttl = 60, on_abandon = "finish")]
fn load(id: u64) -> u64 {
    id
}

fn main() {}
