use stampede_runtime::coalesce;

#[coalesce]
async fn load(name: impl AsRef<str>) -> usize {
    name.as_ref().len()
}

fn main() {}
