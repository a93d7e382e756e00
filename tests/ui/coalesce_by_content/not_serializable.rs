use stampede_runtime::coalesce_by_content;

struct Query;

#[coalesce_by_content]
async fn load(id: u64, query: &Query, plain: Query) -> u64 {
    id
}

fn main() {}
