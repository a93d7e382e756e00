use std::fmt;

use stampede_runtime::semantic_coalesce;

#[derive(Clone)]
struct Organisation(u64);

impl fmt::Display for Organisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[semantic_coalesce(tenant = organisation, skip(organisation))]
async fn answer(organisation: &Organisation, question: &str) -> String {
    format!("{}: {question}", organisation.0)
}

fn main() {}
