use stampede_runtime::cached;

#[cached(ttl = 60, cost = |text| text.len())]
async fn load(id: u64) -> String {
    id.to_string()
}

fn main() {}
