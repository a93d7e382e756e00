use stampede_runtime::coalesce;

#[derive(Clone, PartialEq)]
struct Query {
    range: std::ops::Range<f64>,
}

#[coalesce(key(query.range))]
async fn load(query: Query) -> f64 {
    query.range.end
}

fn main() {}
