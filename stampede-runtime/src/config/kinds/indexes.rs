//! The kinds of indexes. Their tables are made by `stampede schema`, or by whoever has the index in code.

use super::{Given, Made};
#[cfg(feature = "pgvector")]
use crate::{
    config::keys::{count, duration},
    semantic::PgvectorIndex,
};

pub(super) static KEYS: &[&str] = &[
    "url",
    "username",
    "password",
    "dimensions",
    "table",
    "ef_search",
    "connect_timeout",
    "query_timeout",
    "connections_max",
];

#[cfg(feature = "pgvector")]
pub(super) fn pgvector(given: &mut Given<'_>) -> Option<Made> {
    use super::text;

    let url = given.needed("url", text);
    let dimensions = given.needed("dimensions", count);
    let [username, password, table] = ["username", "password", "table"].map(|key| given.value(key, text));
    let [ef_search, connections] = ["ef_search", "connections_max"].map(|key| given.value(key, count));
    let [connect, query] = ["connect_timeout", "query_timeout"].map(|key| given.value(key, duration));
    // Without these two the rest is checked all the same.
    let builder = PgvectorIndex::builder(url.as_deref().unwrap_or("postgres://missing"));
    let mut builder = builder.dimensions(dimensions.unwrap_or(1));
    if let Some(username) = username {
        builder = builder.username(username);
    }
    if let Some(password) = password {
        builder = builder.password(password);
    }
    if let Some(table) = table {
        builder = builder.table(table);
    }
    // What is too large for the type is too large.
    if let Some(candidates) = ef_search {
        builder = builder.ef_search(candidates.try_into().unwrap_or(u16::MAX));
    }
    if let Some(timeout) = connect {
        builder = builder.connect_timeout(timeout);
    }
    if let Some(timeout) = query {
        builder = builder.query_timeout(timeout);
    }
    if let Some(connections) = connections {
        builder = builder.connections_max(connections.try_into().unwrap_or(u32::MAX));
    }
    match builder.make() {
        Ok(index) => url.and(dimensions).map(|_| Made::Index(std::sync::Arc::new(index))),
        Err(problems) => {
            for (key, problem) in problems {
                given.wrong(key, &problem);
            }
            None
        }
    }
}

#[cfg(not(feature = "pgvector"))]
pub(super) fn pgvector(given: &mut Given<'_>) -> Option<Made> {
    given.wrong("kind", "kind `pgvector` needs the cargo feature `pgvector` of `stampede-runtime`");
    None
}
