use stampede_runtime::distributed_coalesce;

#[derive(Clone)]
struct Page {
    text: String,
}

#[distributed_coalesce]
async fn load(path: &str) -> Page {
    Page { text: path.to_owned() }
}

fn main() {}
