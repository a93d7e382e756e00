use stampede_runtime::coalesce_by_content;

#[coalesce_by_content(fields = [name, "name"])]
async fn load(name: &str) -> usize {
    name.len()
}

fn main() {}
