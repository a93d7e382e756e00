use stampede_runtime::cached;

#[cached(ttl = 60)]
fn tail(id: u64) -> String {
    let _ = id;
    5
}

#[cached(ttl = 60)]
fn early(id: u64) -> String {
    if id == 0 {
        return 0;
    }
    id.to_string()
}

// Of which nobody's dependencies say what it can be made from.
#[derive(Clone)]
struct Trouble;

#[cached(ttl = 60, stale = "1m")]
fn question(text: &str) -> Result<u64, Trouble> {
    Ok(text.parse::<u64>()?)
}

#[cached(ttl = 60)]
fn without_tail(id: u64) -> String {
    id.to_string();
}

fn main() {}
