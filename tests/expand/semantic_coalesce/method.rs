//! A method: what of `self` has to be equal is said.

impl Assistant {
    #[semantic_coalesce(namespace = "assistant", key(self.model), companion = asked)]
    pub async fn ask(self: Arc<Self>, question: &str) -> String {
        self.client.ask(question).await
    }
}
