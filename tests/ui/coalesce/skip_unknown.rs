use stampede_runtime::coalesce;

#[coalesce(skip(user))]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
