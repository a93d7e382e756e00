#[coalesce_by_content(fields = [topic, context], normalize(case, trim), ttl = 300)]
async fn answer(topic: &str, context: String, client: &Client) -> String {
    client.ask(topic, &context).await
}
