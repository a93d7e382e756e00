use std::convert::Infallible;
use std::future::ready;
use std::rc::Rc;

use stampede_runtime::semantic_coalesce;

async fn embed(text: String) -> Result<Vec<f32>, Infallible> {
    let length = Rc::new(text.len() as f32);
    ready(()).await;
    Ok(vec![*length])
}

#[semantic_coalesce(embed = embed)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
