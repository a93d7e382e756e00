#[coalesce(ttl = "5m", companion = none)]
async fn forecast(city: &str) -> Result<String, String> {
    Ok(format!("sunny in {city}"))
}
