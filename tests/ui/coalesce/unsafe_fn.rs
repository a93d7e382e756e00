use stampede_runtime::coalesce;

#[coalesce]
async unsafe fn load(id: u64) -> u64 {
    id
}

fn main() {}
