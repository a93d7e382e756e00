use stampede_runtime::coalesce;

#[coalesce(skip(cell))]
async fn load(id: u64, cell: &std::cell::Cell<u64>) -> u64 {
    id + cell.get()
}

fn main() {}
