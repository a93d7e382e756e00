use stampede_runtime::coalesce;

struct Name<'a>(&'a str);

#[coalesce(attached)]
async fn load(_names: &[&str], _pair: (&str, &str), _name: Name<'_>) -> u64 {
    7
}

#[coalesce(attached)]
async fn object(_name: &dyn std::fmt::Display) -> u64 {
    7
}

fn main() {}
