use stampede_runtime::coalesce;

#[coalesce]
async fn load(names: &mut Vec<String>) -> usize {
    names.len()
}

fn main() {}
