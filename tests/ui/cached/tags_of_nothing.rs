use stampede_runtime::cached;

#[cached(ttl = 60, tags())]
async fn none(id: u64) -> u64 {
    id
}

#[cached(ttl = 60, tags(id))]
async fn of_a_path(id: u64) -> u64 {
    id
}

#[cached(ttl = 60, tags(|id| [id.to_string()], "user:{id}"))]
async fn in_the_wrong_order(id: u64) -> u64 {
    id
}

#[cached(ttl = 60, tag = "user:{id}")]
async fn in_other_words(id: u64) -> u64 {
    id
}

fn main() {}
