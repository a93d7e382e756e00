use std::future::ready;
use std::rc::Rc;

use stampede_runtime::semantic_coalesce;

async fn same(asked: &str, found: &str, _answer: &str) -> bool {
    let lengths = Rc::new([asked.len(), found.len()]);
    ready(()).await;
    lengths[0] == lengths[1]
}

#[semantic_coalesce(verify = same)]
async fn answer(question: &str) -> String {
    question.to_owned()
}

fn main() {}
