use stampede_runtime::distributed_coalesce;

#[distributed_coalesce(lock_timeout = 300, max_poll_time = 600, poll_interval = 0.1, lock_ttl = 5, lease_time = 5)]
async fn python(path: &str) -> String {
    path.to_owned()
}

#[distributed_coalesce(redis_client = client, redis_url = "redis://localhost")]
async fn connected(path: &str) -> String {
    path.to_owned()
}

fn main() {}
