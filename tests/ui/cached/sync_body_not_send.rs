use stampede_runtime::cached;
use std::rc::Rc;

#[cached(ttl = 60, early, skip(log))]
fn load(id: u64, log: Rc<str>) -> u64 {
    id + log.len() as u64
}

fn main() {}
