use stampede_runtime::coalesce;

struct Name<'a>(&'a str);

#[coalesce]
async fn load(name: Name<'_>) -> usize {
    name.0.len()
}

fn main() {}
