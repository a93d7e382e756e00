use stampede_runtime::coalesce;

#[coalesce(namespace = weather)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
