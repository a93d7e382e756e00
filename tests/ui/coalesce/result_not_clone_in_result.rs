use stampede_runtime::coalesce;

struct Report;

#[coalesce]
async fn load(id: u64) -> Result<Report, String> {
    Ok(Report)
}

fn main() {}
