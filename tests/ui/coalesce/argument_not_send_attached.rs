use std::rc::Rc;

use stampede_runtime::coalesce;

#[coalesce(attached)]
async fn load(_name: Rc<str>) -> u64 {
    7
}

fn main() {}
