use stampede_runtime::coalesce;

#[coalesce]
async fn load(name: &&str) -> usize {
    name.len()
}

fn main() {}
