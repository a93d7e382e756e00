use stampede_runtime::coalesce;

#[coalesce(companion = "Load")]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
