impl<T: Clone> Repository<T> {
    #[coalesce(key(self.id, name), companion = user)]
    pub(crate) async fn user<S>(&self, name: S) -> User
    where
        S: Clone,
    {
        self.query(name).await
    }

    #[coalesce(skip(self))]
    async fn count(self: Arc<Self>) -> u64 {
        self.count
    }
}
