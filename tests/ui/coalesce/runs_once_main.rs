use stampede_runtime::coalesce;

#[tokio::main]
#[coalesce]
async fn main() {}
