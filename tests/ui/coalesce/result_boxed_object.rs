use stampede_runtime::coalesce;

#[coalesce]
async fn load(id: u64) -> Box<dyn std::fmt::Display + Send + Sync> {
    Box::new(id)
}

fn main() {}
