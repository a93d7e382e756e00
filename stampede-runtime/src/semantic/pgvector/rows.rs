//! What statements are given, and what entries are read from.

use std::time::Duration;

use ::pgvector::{HalfVector, Vector};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Error, Postgres, Row, SqlStr, query};

use super::text;
use crate::semantic::Embedding;
use crate::semantic::index::{Entry, Near, Partition};

/// A partition as the columns of the table.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Place(pub(super) [String; 4]);

impl Place {
    pub(super) fn of(partition: &Partition) -> Place {
        let column = |text: &str| text::column(text).into_owned();
        let Partition { namespace, model, tenant, arguments } = partition;
        Place([column(namespace), text::hex(arguments), column(tenant), column(model)])
    }

    /// A statement that begins with a partition.
    pub(super) fn bind(&self, statement: &SqlStr) -> Query<'static, Postgres, PgArguments> {
        self.0.iter().fold(query(statement.clone()), |query, column| query.bind(column.clone()))
    }
}

/// An embedding as the table keeps it.
pub(super) enum Numbers {
    Whole(Vector),
    Half(HalfVector),
}

impl Numbers {
    /// `is_half`: as numbers of 16 bits.
    pub(super) fn new(embedding: &Embedding, is_half: bool) -> Numbers {
        if is_half {
            return Numbers::Half(HalfVector::from_f32_slice(embedding.as_slice()));
        }
        Numbers::Whole(embedding.as_slice().to_vec().into())
    }

    pub(super) fn bind(&self, query: Query<'static, Postgres, PgArguments>) -> Query<'static, Postgres, PgArguments> {
        match self {
            Numbers::Whole(vector) => query.bind(vector.clone()),
            Numbers::Half(vector) => query.bind(vector.clone()),
        }
    }
}

/// Microseconds, as many as dates are counted in: two hundred years are for ever.
pub(super) fn micros(span: Duration) -> i64 {
    const MICROS_MAX: i64 = 200 * 365 * 86_400 * 1_000_000;
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX).min(MICROS_MAX)
}

pub(super) fn entry(row: &PgRow) -> Result<Entry, Error> {
    let span = |micros: i64| Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    let (age, fresh, cost): (i64, i64, i64) = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
    let hash = text::unhex(row.try_get(0)?).ok_or_else(|| Error::Decode("no hash".into()))?;
    Ok(Entry {
        hash,
        question: row.try_get(1)?,
        response: row.try_get(2)?,
        age: span(age),
        fresh: span(fresh),
        past: span(fresh.saturating_neg()),
        cost: span(cost),
    })
}

/// Whether a row was put by us: others may write into the table, too, and what they write hides nothing.
pub(super) fn is_ours(row: &PgRow) -> bool {
    row.try_get(0).is_ok_and(|hash| text::unhex(hash).is_some())
}

pub(super) fn near(row: &PgRow) -> Result<Near, Error> {
    let similarity: f64 = row.try_get(6)?;
    #[expect(clippy::cast_possible_truncation, reason = "from -1 to 1")]
    let similarity = (similarity as f32).clamp(-1.0, 1.0);
    Ok(Near { entry: entry(row)?, similarity })
}
