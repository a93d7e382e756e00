#[cached(ttl = "5m", key = "user:{id}", tags("user:{id}", |user| [user.team.clone()]))]
async fn load(id: u64) -> User {
    fetch(id).await
}
