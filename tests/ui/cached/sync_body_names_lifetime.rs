use stampede_runtime::cached;

#[cached(ttl = 60, early)]
fn load<'a>(text: &'a str) -> usize {
    let text: &'a str = text.trim();
    text.len()
}

fn main() {}
