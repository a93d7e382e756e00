use stampede_runtime::cached;

#[cached(ttl = 60, key(id), tags("user:{id}", "tenant:{tenant}"))]
async fn load(id: u64, tenant: u64) -> u64 {
    id + tenant
}

struct Request {
    user: u64,
    page: u64,
}

#[cached(ttl = 60, key(request.page), tags("user:{request.user}", "page:{request.page}"))]
async fn fields(request: Request) -> u64 {
    request.user + request.page
}

#[cached(ttl = 60, key(name.to_lowercase()), tags("name:{name}"))]
async fn changed(name: String) -> usize {
    name.len()
}

fn main() {}
