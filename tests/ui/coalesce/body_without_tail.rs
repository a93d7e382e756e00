use stampede_runtime::coalesce;

#[coalesce]
async fn load(id: u64) -> u64 {
    id + 1;
}

fn main() {}
