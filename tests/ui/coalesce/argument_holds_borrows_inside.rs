use std::borrow::Cow;

use stampede_runtime::coalesce;

#[coalesce]
async fn load(_pair: (&str, &str), _names: Vec<&str>, _more: Option<Cow<'_, str>>) -> u64 {
    7
}

fn main() {}
