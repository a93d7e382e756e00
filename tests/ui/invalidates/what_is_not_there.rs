use stampede_runtime::{cached, invalidates};

#[cached(ttl = 60)]
async fn load(id: u64) -> u64 {
    id
}

async fn plain(id: u64) -> u64 {
    id
}

#[invalidates(tags("user:{user}"))]
async fn argument(id: u64) -> Result<(), std::io::Error> {
    let _ = id;
    Ok(())
}

#[invalidates(keys(plain(id)))]
async fn function(id: u64) -> Result<(), std::io::Error> {
    plain(id).await;
    Ok(())
}

#[invalidates(keys(load(name)))]
async fn types(name: &str) -> Result<(), std::io::Error> {
    let _ = (name, load(1).await);
    Ok(())
}

fn main() {}
