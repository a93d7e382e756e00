use std::borrow::Cow;

use stampede_runtime::coalesce;

#[coalesce]
async fn load(text: &str) -> Cow<'_, str> {
    text.into()
}

#[coalesce(attached)]
async fn attached(text: &str) -> Option<&str> {
    Some(text)
}

fn main() {}
