#[coalesce(key = "user:{user.id}", companion = none, crate = crate::renamed)]
async fn profile(user: &User, (a, b): (u8, u8), note: Option<&str>) {
    render(user, a, b, note).await;
}
