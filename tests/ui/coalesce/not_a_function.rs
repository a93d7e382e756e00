use stampede_runtime::coalesce;

#[coalesce]
struct Load;

fn main() {}
