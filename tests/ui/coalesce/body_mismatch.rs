use stampede_runtime::coalesce;

#[coalesce]
async fn load(id: u64) -> u64 {
    if id == 1 {
        return "one";
    }
    "other"
}

fn main() {}
