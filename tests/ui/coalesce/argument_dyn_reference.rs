use stampede_runtime::coalesce;

trait Store: Sync {
    fn len(&self) -> usize;
}

#[coalesce(skip(store))]
async fn load(store: &dyn Store) -> usize {
    store.len()
}

fn main() {}
