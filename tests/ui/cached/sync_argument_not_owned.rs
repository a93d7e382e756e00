use stampede_runtime::cached;

struct Client;

impl Client {
    fn get(&self, _id: u64) -> u64 {
        0
    }
}

#[cached(ttl = 60, stale = "1m", skip(client))]
fn load(id: u64, client: &Client) -> u64 {
    client.get(id)
}

fn main() {}
