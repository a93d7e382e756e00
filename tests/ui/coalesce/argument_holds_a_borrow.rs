use stampede_runtime::coalesce;

#[coalesce]
async fn load(name: std::borrow::Cow<'_, str>) -> usize {
    name.len()
}

fn main() {}
