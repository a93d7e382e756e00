use stampede_runtime::cached;

#[cached(ttl = 60)]
fn first(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

fn main() {}
