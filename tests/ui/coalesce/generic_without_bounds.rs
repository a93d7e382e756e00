use stampede_runtime::coalesce;

#[coalesce]
async fn load<T: Clone>(value: T) -> T {
    value
}

fn main() {}
