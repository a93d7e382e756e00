use stampede_runtime::coalesce;

#[coalesce(early)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
