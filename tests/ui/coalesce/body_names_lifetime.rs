use stampede_runtime::coalesce;

#[coalesce]
async fn load<'a>(name: &'a str) -> usize {
    let name: &'a str = name;
    name.len()
}

fn main() {}
