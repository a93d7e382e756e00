use stampede_runtime::coalesce;

#[coalesce]
async fn load(id: u64) -> std::rc::Rc<u64> {
    std::rc::Rc::new(id)
}

fn main() {}
