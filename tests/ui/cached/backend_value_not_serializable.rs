use stampede_runtime::cached;

#[derive(Clone)]
struct Page {
    text: String,
}

#[cached(ttl = 60, backend = "redis")]
async fn load(url: &str) -> Page {
    Page { text: url.to_owned() }
}

fn main() {}
