use stampede_runtime::coalesce;

#[coalesce(on_abandon = "ignore")]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
