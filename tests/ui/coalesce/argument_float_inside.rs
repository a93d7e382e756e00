use stampede_runtime::coalesce;

#[derive(Clone, PartialEq)]
struct Position {
    latitude: f64,
}

#[coalesce]
async fn load(_position: Position, _weights: &[f32]) -> u64 {
    7
}

fn main() {}
