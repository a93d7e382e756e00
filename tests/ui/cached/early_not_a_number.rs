use stampede_runtime::cached;

const BETA: f32 = 1.5;

#[cached(ttl = 60, early = BETA)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
