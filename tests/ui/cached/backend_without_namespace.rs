use stampede_runtime::cached;

struct Store;

impl Store {
    #[cached(ttl = 60, skip(self), backend = "redis")]
    async fn load(&self, id: u64) -> u64 {
        id
    }

    #[cached(ttl = 60, method, backend = "redis")]
    fn make(id: u64) -> u64 {
        id
    }
}

#[cached(ttl = 60, backend = "redis")]
async fn generic<T: std::fmt::Display>(item: T) -> String {
    item.to_string()
}

fn main() {}
