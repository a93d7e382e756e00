use stampede_runtime::coalesce;

#[coalesce]
async fn load(names: &[&str]) -> usize {
    names.len()
}

fn main() {}
