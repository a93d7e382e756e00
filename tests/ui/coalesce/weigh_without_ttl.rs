use stampede_runtime::coalesce;

#[coalesce(weigh = |text| text.len())]
async fn load(id: u64) -> String {
    id.to_string()
}

fn main() {}
