/// The body may go on without its caller, so it owns its arguments.
#[cached(ttl = HOUR, early = 2, timeout = "5s", companion = none)]
pub fn render(page: &Page, mut depth: u32) -> Result<String, Error> {
    depth += 1;
    engine::render(page, depth)
}

impl Store {
    #[cached(ttl = 60, stale = 10, key(self.id, at))]
    fn row(&self, at: usize) -> Option<Row> {
        self.rows.get(at).cloned()
    }
}
