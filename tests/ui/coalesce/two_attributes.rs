use stampede_runtime::coalesce;

#[coalesce]
#[stampede_runtime::coalesce_by_content]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
