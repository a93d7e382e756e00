use stampede_runtime::coalesce;

struct Loader;

impl Loader {
    #[coalesce(skip(self), attached)]
    async fn load(&mut self, _id: u64) {}

    #[coalesce(skip(self), attached)]
    async fn spelt_out(self: &mut Self, _id: u64) {}
}

fn main() {}
