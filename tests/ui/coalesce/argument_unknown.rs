use stampede_runtime::coalesce;

#[coalesce(wombat = 60)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
