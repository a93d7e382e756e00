/// The body borrows its arguments as they are.
#[cached(ttl = 60, skip(log), companion = none)]
pub fn parse(source: &str, mut depth: u32, (left, _): (u8, u8), log: &dyn Log) -> Result<Tree, Error> {
    depth += 1;
    Parser::new(source, log).parse(depth)
}

impl Store {
    #[cached(ttl = 60, key(self.id, at), companion = row)]
    fn row(&self, at: usize) -> Option<Row> {
        self.rows.get(at).cloned()
    }
}
