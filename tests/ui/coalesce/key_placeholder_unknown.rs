use stampede_runtime::coalesce;

#[coalesce(key = "user:{name}")]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
