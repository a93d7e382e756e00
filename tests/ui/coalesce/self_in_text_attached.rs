use stampede_runtime::coalesce;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Counter(u32);

impl Counter {
    #[coalesce(key(self), attached)]
    async fn bump(mut self) -> String {
        self.0 += 1;
        format!("{self }")
    }
}

impl std::fmt::Display for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

fn main() {}
