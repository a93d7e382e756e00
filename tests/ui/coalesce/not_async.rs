use stampede_runtime::coalesce;

#[coalesce]
fn load(id: u64) -> u64 {
    id
}

fn main() {}
