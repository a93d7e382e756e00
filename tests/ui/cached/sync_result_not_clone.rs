use stampede_runtime::cached;

struct Report;

#[cached(ttl = 60)]
fn load(_id: u64) -> Report {
    Report
}

fn main() {}
