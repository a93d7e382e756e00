use stampede_runtime::cached;

#[cached(ttl = 60, weigh = |text| text.len() as u64)]
async fn load(id: u64) -> String {
    id.to_string()
}

fn main() {}
