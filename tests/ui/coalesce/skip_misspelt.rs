use stampede_runtime::coalesce;

#[coalesce(skip(nme))]
async fn load(name: &str) -> usize {
    name.len()
}

fn main() {}
