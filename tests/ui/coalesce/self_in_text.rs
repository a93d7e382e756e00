use stampede_runtime::coalesce;

#[derive(Clone, Debug)]
struct Loader;

impl Loader {
    #[coalesce(skip(self))]
    async fn load(&self) -> String {
        format!("{self:?}")
    }
}

fn main() {}
