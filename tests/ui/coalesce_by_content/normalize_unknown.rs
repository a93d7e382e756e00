use stampede_runtime::coalesce_by_content;

#[coalesce_by_content(normalize(lowercase))]
async fn load(name: &str) -> usize {
    name.len()
}

fn main() {}
