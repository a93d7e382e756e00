/// Every default.
#[distributed_coalesce]
pub async fn answer(prompt: &str) -> Result<String, Error> {
    ask(prompt).await
}

impl Model {
    /// A method, with errors that have to cross, and nothing kept.
    #[distributed_coalesce(
        namespace = "models",
        key(self.name, prompt),
        ttl = none,
        lease = "10s",
        share_errors,
        backend = "shared",
        version = 2
    )]
    async fn answer(self: Arc<Self>, prompt: &str) -> Result<String, Error> {
        self.ask(prompt).await
    }
}
