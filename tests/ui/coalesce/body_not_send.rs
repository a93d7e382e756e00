use stampede_runtime::coalesce;

use std::rc::Rc;

#[coalesce]
async fn load(id: u64) -> u64 {
    let shared = Rc::new(id);
    std::future::ready(()).await;
    *shared
}

fn main() {}
