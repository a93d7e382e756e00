use stampede_runtime::coalesce;

struct Report;

#[coalesce]
async fn load(id: u64) -> Report {
    Report
}

fn main() {}
