use stampede_runtime::cached;

struct Store(u64);

impl Store {
    #[cached(ttl = 60, early, skip(self))]
    fn load(&self, id: u64) -> u64 {
        self.0 + id
    }
}

fn main() {}
