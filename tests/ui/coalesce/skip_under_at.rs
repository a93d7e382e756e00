use stampede_runtime::coalesce;

#[coalesce(skip(trace))]
async fn load(whole @ (id, trace): (u32, u32)) -> u32 {
    whole.0 + id + trace
}

fn main() {}
