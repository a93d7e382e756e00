use stampede_runtime::semantic_coalesce;

#[semantic_coalesce(embed_fn = embed, query_param = 0, distance_threshold = 0.1, dimension = 1536, fields(question))]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
