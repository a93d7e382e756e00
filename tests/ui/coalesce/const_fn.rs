use stampede_runtime::coalesce;

#[coalesce]
const fn load(id: u64) -> u64 {
    id
}

fn main() {}
