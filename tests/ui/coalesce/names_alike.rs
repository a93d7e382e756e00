use stampede_runtime::coalesce;

macro_rules! shared {
    ($name:ident) => {
        // To Rust these are two names, told apart by where they were written.
        #[coalesce(skip($name))]
        async fn load($name: u64, id: u64) -> u64 {
            $name + id
        }
    };
}

shared!(id);

fn main() {}
