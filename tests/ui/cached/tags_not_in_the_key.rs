use stampede_runtime::cached;

#[cached(ttl = 60, key(id), tags("user:{id}", "tenant:{tenant}"))]
async fn load(id: u64, tenant: u64) -> u64 {
    id + tenant
}

fn main() {}
