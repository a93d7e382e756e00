use stampede_runtime::cached;

#[cached(ttl = 60, tags(|id| [*id]))]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
