use stampede_runtime::coalesce;

#[coalesce]
async fn load(id: u64, #[cfg(unix)] user: u32) -> u64 {
    id
}

fn main() {}
