use stampede_runtime::coalesce;

#[coalesce]
#[tokio::test]
async fn loads() {}

fn main() {}
