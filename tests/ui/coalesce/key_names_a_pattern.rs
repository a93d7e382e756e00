use stampede_runtime::coalesce;

struct Path<T>(T);

#[coalesce(key = "user:{id}")]
async fn load(Path(id): Path<u64>) -> u64 {
    id
}

fn main() {}
