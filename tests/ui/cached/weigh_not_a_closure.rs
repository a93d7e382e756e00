use stampede_runtime::cached;

#[cached(ttl = 60, weigh = 10)]
async fn load(id: u64) -> String {
    id.to_string()
}

fn main() {}
