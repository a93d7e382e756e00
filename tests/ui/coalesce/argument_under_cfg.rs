use stampede_runtime::coalesce;

#[coalesce]
async fn load(id: u64, #[cfg(unix)] user: u64) -> u64 {
    id + user
}

fn main() {}
