use stampede_runtime::coalesce;

#[coalesce(skip(pair))]
async fn load((left, right): (u64, u64)) -> u64 {
    left + right
}

fn main() {}
