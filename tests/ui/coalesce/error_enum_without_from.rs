use stampede_runtime::coalesce;

#[derive(Debug)]
enum LoadError {
    Missing,
}

#[coalesce]
async fn load(_id: u64) -> Result<u64, LoadError> {
    Err(LoadError::Missing)
}

fn main() {}
