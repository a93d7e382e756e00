use stampede_runtime::coalesce_by_content;

#[coalesce_by_content(fields = [name], skip(name))]
async fn load(name: &str) -> usize {
    name.len()
}

fn main() {}
