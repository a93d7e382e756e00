use stampede_runtime::{cached, invalidates};

#[cached(ttl = 60)]
async fn load(name: String) -> usize {
    name.len()
}

#[invalidates(keys(load(name)))]
async fn save(name: String) -> Result<(), std::io::Error> {
    drop(name);
    Ok(())
}

fn main() {}
