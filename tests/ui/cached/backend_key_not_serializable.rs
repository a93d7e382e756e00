use stampede_runtime::cached;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Url(String);

#[cached(ttl = 60, backend = "redis")]
fn load(url: &Url, page: u32) -> String {
    format!("{}{page}", url.0)
}

fn main() {}
