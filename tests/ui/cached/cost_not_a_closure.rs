use stampede_runtime::cached;

#[cached(ttl = 60, cost = 0.5)]
async fn load(id: u64) -> String {
    id.to_string()
}

#[cached(ttl = 60, price = 0.5)]
async fn other(id: u64) -> String {
    id.to_string()
}

fn main() {}
