use stampede_runtime::coalesce;

trait Load {
    #[coalesce(skip(self))]
    async fn load(&self) -> u64;
}

fn main() {}
