use stampede_runtime::coalesce;

#[coalesce]
async fn load(id: u64) -> impl Clone {
    id
}

fn main() {}
