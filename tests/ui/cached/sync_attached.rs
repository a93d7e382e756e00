use stampede_runtime::cached;

#[cached(ttl = 60, attached)]
fn load(id: u64) -> u64 {
    id
}

#[cached(ttl = 60, stale = "1m", attached)]
fn leaves(id: u64) -> u64 {
    id
}

fn main() {}
