//! Making the table, and seeing whether one that is there will do.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Error, Row, query, raw_sql};

use super::link::{Link, Repeat, Work};
use super::statements::lock;
use crate::semantic::schema::{COLUMNS, PLACE, PgvectorSchema, Table};
use crate::store::BackendError;

/// An index over a full table takes minutes.
const TIME: Duration = Duration::from_secs(30 * 60);

/// Why there is no table to work with. Its text says what is there, what is needed and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum SchemaError {
    /// pgvector is not installed on the database's machine, or is older than 0.8.
    Extension {
        /// Its version, if there is one.
        found: Option<String>,
    },
    /// There is something else of that name. It was left as it is.
    Table {
        /// As SQL writes it.
        name: String,
        /// What is wrong with it.
        problems: Vec<String>,
    },
    /// The database did not do it.
    Database(BackendError),
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaError::Extension { found: None } => f.write_str(
                "pgvector is not installed on the database's machine: install its package there, version 0.8 or newer",
            ),
            SchemaError::Extension { found: Some(version) } => write!(
                f,
                "pgvector is there in version {version} and is needed in 0.8 or newer: install that on the database's \
                 machine, and say `ALTER EXTENSION vector UPDATE`"
            ),
            SchemaError::Table { name, problems } => {
                write!(f, "the table {name} is not one that stampede can use, and was left as it is:")?;
                for problem in problems {
                    write!(f, "\n- {problem}")?;
                }
                f.write_str(
                    "\ngive the index another table, or rename or drop this one; `stampede schema` prints what is needed",
                )
            }
            SchemaError::Database(_) => f.write_str("the table could not be made"),
        }
    }
}

impl StdError for SchemaError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            SchemaError::Database(error) => Some(error),
            _ => None,
        }
    }
}

/// Makes what is missing, if what is there will do.
pub(super) async fn ensure(link: &Arc<Link>, schema: &PgvectorSchema, table: &Table) -> Result<(), SchemaError> {
    let (schema, table) = (schema.clone(), table.clone());
    let work: Work<Result<(), SchemaError>> = Box::new(move |connection| {
        let (schema, table) = (schema.clone(), table.clone());
        Box::pin(async move { make(connection, &schema, &table).await })
    });
    link.ask_for(TIME, Repeat::Harmless, work).await.map_err(|failure| SchemaError::Database(failure.into()))?
}

async fn make(
    connection: &mut PgConnection,
    schema: &PgvectorSchema,
    table: &Table,
) -> Result<Result<(), SchemaError>, Error> {
    // Of all that make a table in this database, one after the other: they make the same extension.
    let lock = lock("schema", &[]);
    let millis = TIME.as_millis();
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {millis}; \
         SET LOCAL client_min_messages = warning; SELECT pg_advisory_xact_lock({lock})"
    );
    raw_sql(AssertSqlSafe(begin)).execute(&mut *connection).await?;
    let problem = match extension(connection).await? {
        Some(problem) => Some(problem),
        None => other_table(connection, schema, table).await?,
    };
    if let Some(problem) = problem {
        raw_sql("ROLLBACK").execute(connection).await?;
        return Ok(Err(problem));
    }
    // Whoever may not make a table may still work with one that is there.
    if !is_complete(connection, schema, table).await? {
        raw_sql(AssertSqlSafe(schema.statements(table))).execute(&mut *connection).await?;
    }
    raw_sql("COMMIT").execute(connection).await?;
    Ok(Ok(()))
}

/// Makes the extension; why not, if that cannot be.
async fn extension(connection: &mut PgConnection) -> Result<Option<SchemaError>, Error> {
    let version =
        "SELECT coalesce(installed_version, default_version) FROM pg_available_extensions WHERE name = 'vector'";
    let Some(row) = query(version).fetch_optional(&mut *connection).await? else {
        return Ok(Some(SchemaError::Extension { found: None }));
    };
    let version: String = row.try_get(0)?;
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    if (numbers.next(), numbers.next()) < (Some(0), Some(8)) {
        return Ok(Some(SchemaError::Extension { found: Some(version) }));
    }
    raw_sql("CREATE EXTENSION IF NOT EXISTS vector").execute(connection).await?;
    Ok(None)
}

/// A table of that name that will not do.
async fn other_table(
    connection: &mut PgConnection,
    schema: &PgvectorSchema,
    table: &Table,
) -> Result<Option<SchemaError>, Error> {
    let name = table.to_string();
    let what = query("SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)").bind(&name);
    let Some(row) = what.fetch_optional(&mut *connection).await? else { return Ok(None) };
    let kind: String = row.try_get(0)?;
    let problems = if ["r", "p"].contains(&kind.as_str()) {
        let mut problems = columns(connection, schema, &name).await?;
        // One that lacks columns cannot have it.
        if problems.is_empty() && !is_unique(connection, &name).await? {
            problems.push(format!("there is no unique constraint on ({PLACE}, query_hash)"));
        }
        problems
    } else {
        vec!["it is no table but a view, an index or the like".to_owned()]
    };
    Ok((!problems.is_empty()).then_some(SchemaError::Table { name, problems }))
}

/// Whether all indexes of a table are there.
async fn is_complete(connection: &mut PgConnection, schema: &PgvectorSchema, table: &Table) -> Result<bool, Error> {
    let there = query(
        "SELECT count(*) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid \
         WHERE indrelid = to_regclass($1) AND indisvalid AND relname = ANY ($2)",
    );
    let names: Vec<_> = schema.indexes().map(|suffix| table.name_with(suffix)).collect();
    let there: i64 = there.bind(table.to_string()).bind(names.as_slice()).fetch_one(connection).await?.try_get(0)?;
    Ok(usize::try_from(there) == Ok(names.len()))
}

/// What is wrong with the columns.
async fn columns(connection: &mut PgConnection, schema: &PgvectorSchema, name: &str) -> Result<Vec<String>, Error> {
    let there = query(
        "SELECT attname::text, CASE WHEN typname IN ('vector', 'halfvec') AND atttypmod > 0 \
           THEN typname || '(' || atttypmod || ')' ELSE format_type(atttypid, atttypmod) END, \
           attnotnull, atthasdef OR attidentity <> '' \
         FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid \
         WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
    );
    let mut there_is = HashMap::new();
    let mut problems = Vec::new();
    for row in there.bind(name).fetch_all(connection).await? {
        let (column, kind): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (is_needed, is_given): (bool, bool) = (row.try_get(2)?, row.try_get(3)?);
        if is_needed && !is_given && !COLUMNS.iter().any(|(known, ..)| *known == column) {
            problems.push(format!("its column `{column}` has to be given something that stampede does not have"));
        }
        there_is.insert(column, (kind, is_needed));
    }
    for (column, kind, constraints) in COLUMNS {
        let embedding = schema.embedding();
        let kind = match kind {
            "" => embedding.as_str(),
            "timestamptz" => "timestamp with time zone",
            kind => kind,
        };
        match there_is.get(column) {
            None => problems.push(format!("it has no column `{column}`, which is to be {kind}")),
            Some((other, _)) if other != kind => {
                problems.push(format!("its column `{column}` is {other} and has to be {kind}"));
            }
            Some((_, true)) if !constraints.contains("NOT NULL") && !constraints.contains("PRIMARY KEY") => {
                problems.push(format!("its column `{column}` has to be without NOT NULL"));
            }
            Some(_) => {}
        }
    }
    Ok(problems)
}

/// Whether the table lets a question be once in a partition.
async fn is_unique(connection: &mut PgConnection, name: &str) -> Result<bool, Error> {
    let columns = query(
        "SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass($1) AND indisunique AND indisvalid \
           AND indpred IS NULL AND indexprs IS NULL AND \
           (SELECT array_agg(attname::text ORDER BY attname::text) FROM pg_attribute \
             WHERE attrelid = indrelid AND attnum = ANY (indkey::int2[])) \
           = ARRAY['model', 'namespace', 'partition', 'query_hash', 'tenant'])",
    );
    columns.bind(name).fetch_one(connection).await?.try_get(0)
}
