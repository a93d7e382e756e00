use stampede_runtime::semantic_coalesce;

#[semantic_coalesce(query = words)]
async fn answer(words: Vec<String>, model: u8) -> String {
    format!("{model}: {}", words.join(" "))
}

fn main() {}
