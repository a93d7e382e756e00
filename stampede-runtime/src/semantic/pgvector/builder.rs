//! An index in the making: its url, its table, its times.

use std::fmt;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgSslMode};

use super::PgvectorIndex;
use super::lines::Lines;
use super::link::{Link, Source};
use crate::config::ConfigError;
use crate::semantic::PgvectorSchema;
use crate::semantic::schema::Problem;

/// A [`PgvectorIndex`] in the making, from [`PgvectorIndex::builder`].
#[derive(Clone)]
#[must_use = "an index is made by `build`"]
pub struct PgvectorBuilder {
    from: From,
    username: Option<String>,
    password: Option<String>,
    schema: PgvectorSchema,
    ef_search: Option<u16>,
    connect_timeout: Duration,
    query_timeout: Duration,
    connections_max: u32,
}

#[derive(Clone)]
enum From {
    Url(String),
    Pool(PgPool),
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const QUERY_TIMEOUT: Duration = Duration::from_millis(500);
const CONNECTIONS_MAX: u32 = 10;
/// What PostgreSQL can count.
const QUERY_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// How much longer than a query may take a transaction may stand still between two.
const A_LITTLE: Duration = Duration::from_millis(500);

impl PgvectorBuilder {
    pub(super) fn new(url: String) -> PgvectorBuilder {
        PgvectorBuilder::of(From::Url(url))
    }

    pub(super) fn with_pool(pool: PgPool) -> PgvectorBuilder {
        PgvectorBuilder::of(From::Pool(pool))
    }

    fn of(from: From) -> PgvectorBuilder {
        PgvectorBuilder {
            from,
            username: None,
            password: None,
            schema: PgvectorSchema::new(0),
            ef_search: None,
            connect_timeout: CONNECT_TIMEOUT,
            query_timeout: QUERY_TIMEOUT,
            connections_max: CONNECTIONS_MAX,
        }
    }

    /// How many dimensions the embeddings have, from 1 to 16,000. It has to be said.
    /// [`PgvectorSchema`] says what is different above 2,000 and above 4,000.
    pub fn dimensions(mut self, dimensions: usize) -> Self {
        self.schema = self.schema.dimensions_of(dimensions);
        self
    }

    /// The table, as [`PgvectorSchema::table`] takes it. `semantic_cache` unless one says otherwise.
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.schema = self.schema.table(table);
        self
    }

    /// How many neighbours the index links each entry to: [`PgvectorSchema::m`]. Of use to `ensure_schema` alone.
    pub fn m(mut self, m: u16) -> Self {
        self.schema = self.schema.m(m);
        self
    }

    /// How many candidates it looks at to find those: [`PgvectorSchema::ef_construction`]. Of use to `ensure_schema` alone.
    pub fn ef_construction(mut self, candidates: u16) -> Self {
        self.schema = self.schema.ef_construction(candidates);
        self
    }

    /// How many candidates a look-up keeps, from 1 to 1,000: more find the nearest more surely and take longer. What the
    /// database says unless one says otherwise; that is 40 unless somebody changed it.
    pub fn ef_search(mut self, candidates: u16) -> Self {
        self.ef_search = Some(candidates);
        self
    }

    /// How long it may take until there is a connection: its turn, name, TCP, TLS, password. 1 s unless one says otherwise.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long an answer may take. 500 ms unless one says otherwise.
    pub fn query_timeout(mut self, timeout: Duration) -> Self {
        self.query_timeout = timeout;
        self
    }

    /// How many connections there may be at a time, at least 1. 10 unless one says otherwise. A pool of one's own has its
    /// own limit.
    pub fn connections_max(mut self, connections: u32) -> Self {
        self.connections_max = connections;
        self
    }

    /// The user, in the place of the url's.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password, in the place of the url's: one from a vault need not be escaped into an address.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Makes the index. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with everything that is wrong. It shows no part of the url.
    pub fn build(self) -> Result<PgvectorIndex, ConfigError> {
        let told = |(what, problem)| format!("`{what}`: {problem}");
        self.make().map_err(|problems| ConfigError::Invalid(problems.into_iter().map(told).collect()))
    }

    pub(crate) fn make(self) -> Result<PgvectorIndex, Vec<Problem>> {
        let mut problems = Vec::new();
        for (name, timeout) in [("connect_timeout", self.connect_timeout), ("query_timeout", self.query_timeout)] {
            if timeout.is_zero() {
                problems.push((name, "it must be longer than zero".to_owned()));
            }
        }
        if self.connections_max == 0 {
            problems.push(("connections_max", "it is at least 1".to_owned()));
        }
        if self.ef_search.is_some_and(|candidates| !(1..=1_000).contains(&candidates)) {
            problems.push(("ef_search", "it is a number from 1 to 1000".to_owned()));
        }
        let table = self.schema.check().map_err(|wrong| problems.extend(wrong)).ok();
        let source = self.source().map_err(|wrong| problems.extend(wrong)).ok();
        match (table, source) {
            (Some(table), Some(source)) if problems.is_empty() => {
                let link = Link::new(source, self.connect_timeout, self.query_timeout);
                Ok(PgvectorIndex::of(link, self.schema, table, self.ef_search))
            }
            _ => Err(problems),
        }
    }

    fn source(&self) -> Result<Source, Vec<Problem>> {
        let url = match &self.from {
            From::Pool(pool) => return Ok(Source::Pool(pool.clone())),
            From::Url(url) => url,
        };
        let mut options =
            read(url).map_err(|wrong| wrong.into_iter().map(|problem| ("url", problem)).collect::<Vec<_>>())?;
        if let Some(username) = &self.username {
            options = options.username(username);
        }
        if let Some(password) = &self.password {
            options = options.password(password);
        }
        // The server lets go, too, of what nobody waits for any more: else what hangs there, at a lock, would hang for
        // ever, and each call would leave a connection to it behind.
        let millis = |timeout: Duration| timeout.min(QUERY_TIMEOUT_MAX).as_millis().max(1).to_string();
        let settings = [
            ("statement_timeout", millis(self.query_timeout)),
            // A transaction that stands still for longer is nobody's any more, and others may wait for its lock.
            ("idle_in_transaction_session_timeout", millis(self.query_timeout.saturating_add(A_LITTLE))),
            // A plan takes longer to make than a look-up, and ours do not depend on what is asked: one for all.
            ("plan_cache_mode", "force_generic_plan".to_owned()),
            // All of ours have an index. The planner does not count what stands beside a table, as long embeddings do, and
            // would rather read all of them than walk through the index.
            ("enable_seqscan", "off".to_owned()),
            // It takes longer to begin than a look-up to end.
            ("jit", "off".to_owned()),
        ];
        let options = options.options(settings).disable_statement_logging();
        Ok(Source::Lines(Box::new(Lines::new(options, self.connections_max))))
    }
}

const UNREADABLE: &str = "it cannot be read as a url";

/// What may stand after the `?`.
const OPTIONS: [&str; 16] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
];
const OF_CACHE: &str = "statement-cache-capacity";

/// What a url means, or everything that is wrong with it.
fn read(text: &str) -> Result<PgConnectOptions, Vec<String>> {
    let scheme = text.split_once("://").map_or_else(String::new, |(scheme, _)| scheme.to_ascii_lowercase());
    if !["postgres", "postgresql"].contains(&scheme.as_str()) {
        return Err(vec!["it begins with `postgres://` or `postgresql://`".to_owned()]);
    }
    let mut problems = Vec::new();
    // What is unknown is told here: the driver would log it, and its value, which may be a secret.
    let query = text.split_once('#').map_or(text, |(before, _)| before).split_once('?').map_or("", |(_, query)| query);
    let names = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next().unwrap_or_default());
    let is_known = |name: &str| OPTIONS.contains(&name) || name == OF_CACHE || name.starts_with("options[");
    if names.into_iter().any(|name| !is_known(name)) {
        let list: Vec<_> = OPTIONS.iter().map(|name| format!("`{name}`")).collect();
        problems.push(format!("unknown option after the `?`; there is {}", list.join(", ")));
    }
    if text.contains('#') {
        problems.push("it ends before a `#`; in a password that is `%23`".to_owned());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let options: PgConnectOptions = text.parse().map_err(|_| vec![UNREADABLE.to_owned()])?;
    let is_encrypted =
        matches!(options.get_ssl_mode(), PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    if is_encrypted && !cfg!(feature = "pgvector-tls") {
        return Err(vec!["`sslmode` needs the cargo feature `pgvector-tls` of `stampede-runtime`".to_owned()]);
    }
    Ok(options)
}

/// No address and no password.
impl fmt::Debug for PgvectorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgvectorBuilder")
            .field("schema", &self.schema)
            .field("ef_search", &self.ef_search)
            .field("connect_timeout", &self.connect_timeout)
            .field("query_timeout", &self.query_timeout)
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
