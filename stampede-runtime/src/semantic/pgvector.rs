//! PostgreSQL with pgvector as an index: for all processes that use the same database.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{AssertSqlSafe, Error, Row, SqlStr, query, raw_sql};

use self::background::{Background, Counted};
use self::clock::Clock;
use self::error::Failure;
use self::link::{Link, Repeat, Work};
use self::rows::{Numbers, Place, entry, is_ours, micros, near};
use self::statements::{CLEARED_AT_ONCE, Statements, lock};
use super::index::{Entry, Index, Near, New, Partition, QuestionHash};
use super::schema::{PgvectorSchema, Table};
use super::{Embedding, QUESTION_BYTES_MAX};
use crate::config::ConfigError;
use crate::store::{BackendErrorKind, Pending};

mod background;
mod builder;
mod clock;
mod error;
mod lines;
mod link;
mod rows;
mod statements;
mod survey;
mod text;

pub use builder::PgvectorBuilder;
pub use survey::SchemaError;

/// An [`Index`] in PostgreSQL with pgvector 0.8 or newer, for all processes that use the same table.
///
/// ```no_run
/// use stampede_runtime::semantic::PgvectorIndex;
///
/// # async fn set_up() -> Result<(), Box<dyn std::error::Error>> {
/// let index = PgvectorIndex::builder("postgres://stampede@database.internal/app")
///     .password("from a vault")
///     .dimensions(1536)
///     .build()?;
/// // Once, or in a migration: `stampede schema --dimensions 1536` prints the SQL.
/// index.ensure_schema().await?;
/// # Ok(())
/// # }
/// ```
///
/// All clones share their connections. They are opened when there is work, in the background of the process rather than in
/// the runtime of whoever was first, and each look-up is one round trip on one of them. What is kept is looked for by its
/// hash, and by its meaning: a partition of at most 2,000 fresh entries is compared entry by entry, which finds exactly the
/// nearest; larger ones are looked up in an HNSW index (Malkov & Yashunin, 2016), which may miss a true nearest neighbour. It
/// holds the entries of all partitions, and is walked until enough of this one are found that are fresh, or 2,000 of all have
/// been looked at: then those of the partition that are fresh for longest, 20,000 at most, are compared one by one besides. Of
/// embeddings above 1,800 bytes (450 dimensions), which PostgreSQL reads more slowly, it is 1,000 and 10,000. Above 4,000
/// dimensions there is no such index, and all of a partition are compared: [`PgvectorSchema`] says what that costs.
///
/// Times are the database's: the clocks of the hosts do not matter.
///
/// **Cancel.** Futures may be dropped at any point. What has begun goes on to its end.
///
/// **Errors.** None holds a text, an address or a password. While the server refuses connections, calls fail at once; while
/// it is silent, they take the connect timeout or the query timeout.
///
/// **Limits.** A question of 32 KiB, an answer of 64 MiB. An answer comes within the query timeout; where a connection has
/// to be opened, or all are in use, within the connect timeout besides; and where others were in the way or the server had
/// hung up, a second try takes as long again. [`clear`](Index::clear) asks as often as it takes. What was taken out is
/// noted for ten minutes: a call whose body takes longer than that may put what it made before. `hits` are counted about a
/// second late, and those of the last second of a process are lost. Entries that are not kept any more are deleted every
/// half minute or so, by one process at a time, in the background.
///
/// **PgBouncer** has to let what a connection begins with pass (`ignore_startup_parameters = extra_float_digits,options`),
/// and to keep prepared statements (`max_prepared_statements`), or the url says `statement-cache-capacity=0`.
#[derive(Clone)]
pub struct PgvectorIndex {
    core: Arc<Core>,
}

struct Core {
    link: Arc<Link>,
    schema: PgvectorSchema,
    table: Table,
    statements: Statements,
    background: Background,
    clock: Arc<Clock>,
}

/// The longest answer. PostgreSQL takes more, and nobody waits for that.
const RESPONSE_BYTES_MAX: usize = 64 << 20;

impl PgvectorIndex {
    /// The database of a url such as `postgres://user:password@host:5432/database`, with more to say.
    pub fn builder(url: impl Into<String>) -> PgvectorBuilder {
        PgvectorBuilder::new(url.into())
    }

    /// The database of a pool that is there already, with more to say.
    ///
    /// While its server cannot be reached, a pool tries again for as long as it is given: the connect timeout. What hangs at
    /// the server does so until the pool's own `statement_timeout`. Look-ups are quicker with
    /// `plan_cache_mode = force_generic_plan`, else the server plans each anew, and with `enable_seqscan = off` besides: it
    /// takes a table for small whose embeddings stand beside it, and reads all of them.
    pub fn builder_with_pool(pool: PgPool) -> PgvectorBuilder {
        PgvectorBuilder::with_pool(pool)
    }

    /// The database of a pool that is there already, and the table `semantic_cache`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`]: the number of dimensions is not from 1 to 16,000.
    pub fn from_pool(pool: PgPool, dimensions: usize) -> Result<PgvectorIndex, ConfigError> {
        PgvectorIndex::builder_with_pool(pool).dimensions(dimensions).build()
    }

    fn of(link: Link, schema: PgvectorSchema, table: Table, ef_search: Option<u16>) -> PgvectorIndex {
        let statements = Statements::new(&schema, &table, ef_search);
        let core = Core {
            link: Arc::new(link),
            schema,
            table,
            statements,
            background: Background::default(),
            clock: Arc::default(),
        };
        PgvectorIndex { core: Arc::new(core) }
    }

    /// The SQL of its table: [`PgvectorSchema::sql`].
    pub fn schema_sql(&self) -> String {
        self.core.schema.text(&self.core.table)
    }

    /// Makes the extension, the table and its indexes where they are not there yet. Any number of processes may do so at a
    /// time. An index over a table that is full already takes its time, and nobody writes meanwhile.
    ///
    /// **Cancel**: what has begun goes on to its end.
    ///
    /// # Errors
    /// [`SchemaError`]: pgvector is missing or too old, a table of this name has another shape, the user has no right to do
    /// this, the database cannot be reached. A table that is there is never altered.
    pub async fn ensure_schema(&self) -> Result<(), SchemaError> {
        survey::ensure(&self.core.link, &self.core.schema, &self.core.table).await
    }

    /// Does work that takes what a query may.
    async fn ask<T: Send + 'static>(&self, repeat: Repeat, work: Work<T>) -> Result<T, Failure> {
        self.core.link.ask(repeat, work).await
    }

    /// Whether an embedding is one of those that the table keeps.
    fn fits(&self, embedding: &Embedding) -> bool {
        embedding.dimensions() == self.core.schema.dimensions()
    }

    fn numbers(&self, embedding: &Embedding) -> Numbers {
        Numbers::new(embedding, self.core.schema.is_half())
    }
}

impl Index for PgvectorIndex {
    fn exact<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, Option<Entry>> {
        Box::pin(async move {
            let (statement, place, hash) = (self.core.statements.exact.clone(), Place::of(of), text::hex(hash));
            let work: Work<Option<PgRow>> = Box::new(move |connection| {
                let asked = place.bind(&statement).bind(hash.clone());
                Box::pin(async move { asked.fetch_optional(connection).await })
            });
            let row = self.ask(Repeat::Harmless, work).await?;
            Ok(row.map(|row| entry(&row)).transpose().map_err(|error| Failure::from(&error))?)
        })
    }

    fn nearest<'a>(&'a self, of: &'a Partition, to: &'a Embedding, limit: usize) -> Pending<'a, Vec<Near>> {
        Box::pin(async move {
            if !self.fits(to) || limit == 0 {
                return Ok(Vec::new());
            }
            let (statement, place, to) = (self.core.statements.nearest.clone(), Place::of(of), self.numbers(to));
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let work: Work<Vec<PgRow>> = Box::new(move |connection| {
                let asked = to.bind(place.bind(&statement)).bind(limit);
                Box::pin(async move { asked.fetch_all(connection).await })
            });
            let rows = self.ask(Repeat::Harmless, work).await?;
            let nears: Result<Vec<_>, _> = rows.iter().filter(|row| is_ours(row)).map(near).collect();
            let mut nears = nears.map_err(|error| Failure::from(&error))?;
            // A way through the index goes by nearness, more or less.
            nears.retain(|near| near.similarity.is_finite());
            nears.sort_by(|one, other| other.similarity.total_cmp(&one.similarity));
            Ok(nears)
        })
    }

    fn put<'a>(&'a self, of: &'a Partition, new: New<'a>) -> Pending<'a, bool> {
        Box::pin(async move {
            self.takes(&new)?;
            let called = Instant::now();
            let beginning = self.beginning(&of.namespace, Others::Putting);
            let (statement, place, numbers) =
                (self.core.statements.put.clone(), Arc::new(Place::of(of)), Arc::new(self.numbers(new.embedding)));
            let texts: [Arc<str>; 3] = [text::hex(&new.hash).into(), new.question.into(), new.response.into()];
            let [cost, ttl, kept] = [new.cost, new.ttl, new.ttl.saturating_add(new.retention)].map(micros);
            let (clock, known) = (Arc::clone(&self.core.clock), self.core.clock.at(called));
            let since = called.saturating_duration_since(new.began);
            let capacity = i64::try_from(new.capacity.max(1)).unwrap_or(i64::MAX);
            let work: Work<i64> = Box::new(move |connection| {
                let (beginning, statement, texts) = (beginning.clone(), statement.clone(), texts.clone());
                let (place, numbers, clock) = (Arc::clone(&place), Arc::clone(&numbers), Arc::clone(&clock));
                Box::pin(async move {
                    let asked = Instant::now();
                    let said: i64 = raw_sql(beginning).fetch_one(&mut *connection).await?.try_get(1)?;
                    clock.hear(asked, said);
                    // Unless it was set back meanwhile, what was known at the call holds.
                    let known = known.filter(|known| *known <= said).max(clock.at(called));
                    let began = known.unwrap_or(said).saturating_sub(micros(since));
                    let [hash, question, response] = &texts;
                    let asked = place.bind(&statement).bind(hash.to_string()).bind(question.to_string());
                    let asked = numbers.bind(asked).bind(response.to_string());
                    let asked = asked.bind(cost).bind(began).bind(ttl).bind(kept).bind(capacity);
                    let count = asked.fetch_one(&mut *connection).await?.try_get(0)?;
                    raw_sql("COMMIT").execute(connection).await?;
                    Ok(count)
                })
            });
            let count = self.ask(Repeat::Harmless, work).await?;
            background::sweep_sometimes(&self.core);
            Ok(count > 0)
        })
    }

    fn hit<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, ()> {
        Box::pin(async move {
            background::count(&self.core, Counted::new(Place::of(of), text::hex(hash)));
            Ok(())
        })
    }

    fn remove<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, bool> {
        Box::pin(async move {
            let (statement, place, hash) = (self.core.statements.remove.clone(), Place::of(of), text::hex(hash));
            let clock = Arc::clone(&self.core.clock);
            let work: Work<i64> = Box::new(move |connection| {
                let (asked, clock) = (place.bind(&statement).bind(hash.clone()), Arc::clone(&clock));
                Box::pin(async move {
                    let begun = Instant::now();
                    let row = asked.fetch_one(connection).await?;
                    clock.hear(begun, row.try_get(1)?);
                    row.try_get(0)
                })
            });
            Ok(self.ask(Repeat::Never, work).await? == 1)
        })
    }

    fn remove_near<'a>(&'a self, of: &'a Partition, to: &'a Embedding, similarity: f32) -> Pending<'a, u64> {
        Box::pin(async move {
            if !self.fits(to) {
                return Ok(0);
            }
            // Once all that is being put has been: each `put` after that sees the note, and what each before that has put is
            // seen by the removal.
            let beginning = self.beginning(&of.namespace, Others::Clearing);
            let (statement, place) = (self.core.statements.remove_near.clone(), Place::of(of));
            let (note, to, clock) = (text::note(to, similarity), self.numbers(to), Arc::clone(&self.core.clock));
            #[expect(clippy::cast_possible_truncation, reason = "at most a million")]
            let millionths = (f64::from(similarity) * 1e6).floor() as i64;
            let work: Work<i64> = Box::new(move |connection| {
                let asked = to.bind(place.bind(&statement)).bind(similarity).bind(note.clone()).bind(millionths);
                let (beginning, clock) = (beginning.clone(), Arc::clone(&clock));
                Box::pin(async move {
                    raw_sql(beginning).execute(&mut *connection).await?;
                    let count = asked.fetch_one(&mut *connection).await?.try_get(0)?;
                    commit(connection, &clock).await?;
                    Ok(count)
                })
            });
            Ok(self.ask(Repeat::Never, work).await?.unsigned_abs())
        })
    }

    fn clear<'a>(&'a self, namespace: &'a str) -> Pending<'a, u64> {
        Box::pin(async move {
            let namespace = text::column(namespace).into_owned();
            self.note_clear(&namespace).await?;
            let mut cleared = 0;
            loop {
                let (statement, namespace) = (self.core.statements.clear.clone(), namespace.clone());
                let work: Work<(i64, i64)> = Box::new(move |connection| {
                    let asked = query(statement.clone()).bind(namespace.clone());
                    Box::pin(async move {
                        let row = asked.fetch_one(connection).await?;
                        Ok((row.try_get(0)?, row.try_get(1)?))
                    })
                });
                let (rows, entries) = self.ask(Repeat::Never, work).await?;
                cleared += entries.unsigned_abs();
                if rows.unsigned_abs() < CLEARED_AT_ONCE {
                    return Ok(cleared);
                }
            }
        })
    }

    fn ping(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            let statement = self.core.statements.ping.clone();
            let work: Work<()> = Box::new(move |connection| {
                let asked = query(statement.clone());
                Box::pin(async move { asked.fetch_optional(connection).await.map(|_| ()) })
            });
            Ok(self.ask(Repeat::Harmless, work).await?)
        })
    }

    fn dimensions(&self) -> usize {
        self.core.schema.dimensions()
    }
}

impl PgvectorIndex {
    /// Whether PostgreSQL and the table take what is new.
    fn takes(&self, new: &New<'_>) -> Result<(), Failure> {
        if !self.fits(new.embedding) {
            let [theirs, ours] = [new.embedding.dimensions(), self.core.schema.dimensions()];
            let cause = format!("the embedding has {theirs} dimensions, and the index {ours}");
            return Err(Failure::new(BackendErrorKind::Refused, cause));
        }
        if new.question.len() > QUESTION_BYTES_MAX || new.response.len() > RESPONSE_BYTES_MAX {
            return Err(Failure::new(
                BackendErrorKind::TooLarge,
                "32 KiB of question and 64 MiB of answer are the most",
            ));
        }
        if new.question.contains('\0') || new.response.contains('\0') {
            return Err(Failure::new(BackendErrorKind::Refused, "no text holds the character NUL"));
        }
        Ok(())
    }

    /// Writes down when all of a function was taken out, once all that is being put has been: each `put` after that sees
    /// it, and what each before that has put is seen by the deletion.
    async fn note_clear(&self, namespace: &str) -> Result<(), Failure> {
        let (beginning, statement) =
            (self.beginning(namespace, Others::Clearing), self.core.statements.note_clear.clone());
        let (namespace, clock) = (namespace.to_owned(), Arc::clone(&self.core.clock));
        let work: Work<()> = Box::new(move |connection| {
            let (beginning, asked) = (beginning.clone(), query(statement.clone()).bind(namespace.clone()));
            let clock = Arc::clone(&clock);
            Box::pin(async move {
                raw_sql(beginning).execute(&mut *connection).await?;
                asked.execute(&mut *connection).await?;
                commit(connection, &clock).await
            })
        });
        self.ask(Repeat::Harmless, work).await
    }

    /// The beginning of a transaction that puts something of a function or clears it. Each of its statements sees what was
    /// done before that statement, so what is done after the lock sees what was done before. It answers with the database's
    /// clock, read after the lock was given: microseconds since 1970.
    fn beginning(&self, namespace: &str, others: Others) -> SqlStr {
        let lock = lock("clear", &[&self.core.table.to_string(), &text::column(namespace)]);
        let [_, query_timeout] = self.core.link.timeouts();
        let millis = query_timeout.as_millis().clamp(1, i32::MAX as u128);
        let shared = match others {
            Others::Putting => "_shared",
            Others::Clearing => "",
        };
        sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {millis}; \
             SELECT pg_advisory_xact_lock{shared}({lock}), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        )))
    }
}

/// Ends a transaction that has taken something out. What begins here after that is younger than what it has noted.
async fn commit(connection: &mut PgConnection, clock: &Clock) -> Result<(), Error> {
    let asked = Instant::now();
    let end = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint; COMMIT";
    // All of what it says: the last is that it has ended.
    let said = raw_sql(end).fetch_all(connection).await?;
    clock.hear(asked, said.first().ok_or(Error::RowNotFound)?.try_get(0)?);
    Ok(())
}

/// Who begins a transaction.
#[derive(Clone, Copy)]
enum Others {
    /// Any number at a time.
    Putting,
    /// Alone.
    Clearing,
}

/// Neither the address nor a password: the one may hold the other.
impl fmt::Debug for PgvectorIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [connect_timeout, query_timeout] = self.core.link.timeouts();
        f.debug_struct("PgvectorIndex")
            .field("schema", &self.core.schema)
            .field("connect_timeout", &connect_timeout)
            .field("query_timeout", &query_timeout)
            .finish_non_exhaustive()
    }
}
