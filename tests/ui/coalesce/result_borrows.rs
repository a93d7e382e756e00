use stampede_runtime::coalesce;

#[coalesce]
async fn load(name: &str) -> &str {
    name
}

fn main() {}
