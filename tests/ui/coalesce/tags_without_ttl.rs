use stampede_runtime::coalesce;

#[coalesce(tags("user:{id}"))]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
