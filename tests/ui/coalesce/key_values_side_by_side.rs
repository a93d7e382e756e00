#[stampede_runtime::coalesce(key = "{a}{b}")]
async fn load(a: &str, b: &str) -> String {
    format!("{a} {b}")
}

fn main() {}
