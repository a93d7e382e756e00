use stampede_runtime::coalesce;

struct Client;

impl Client {
    fn get(&self, id: u64) -> u64 {
        id
    }
}

#[coalesce(skip(client))]
async fn load(client: &Client, id: u64) -> u64 {
    client.get(id)
}

fn main() {}
