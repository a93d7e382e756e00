use stampede_runtime::coalesce;

#[coalesce(crate = "stampede_runtime")]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
