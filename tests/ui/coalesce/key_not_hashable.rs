use stampede_runtime::coalesce;

#[derive(Clone, PartialEq)]
struct Query;

#[coalesce]
async fn load(id: u64, query: &Query, plain: Query) -> u64 {
    id
}

fn main() {}
