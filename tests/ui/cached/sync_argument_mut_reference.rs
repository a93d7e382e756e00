use stampede_runtime::cached;

#[cached(ttl = 60, skip(log))]
fn load(id: u64, log: &mut Vec<u64>) -> u64 {
    log.push(id);
    id
}

fn main() {}
