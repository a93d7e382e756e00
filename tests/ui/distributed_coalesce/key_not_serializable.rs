use stampede_runtime::distributed_coalesce;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Path(String);

#[distributed_coalesce]
async fn load(path: Path) -> String {
    path.0
}

fn main() {}
