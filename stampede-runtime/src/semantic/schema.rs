//! The table of an index in PostgreSQL: its shape, and the SQL that makes it. Needs no driver.

use std::fmt;

use crate::config::ConfigError;

/// What the table is called unless one says otherwise.
pub(super) const TABLE: &str = "semantic_cache";
/// The most dimensions that pgvector indexes as numbers of 32 bits.
const VECTOR_DIMENSIONS_MAX: usize = 2_000;
/// The most that it indexes at all, as numbers of 16 bits.
const INDEXED_DIMENSIONS_MAX: usize = 4_000;
/// The most that it keeps.
const DIMENSIONS_MAX: usize = 16_000;
/// PostgreSQL cuts longer names off, and two could become one.
const NAME_BYTES_MAX: usize = 63;
/// Of the names that are made of a table's.
const SUFFIX_BYTES_MAX: usize = "_created_idx".len();

/// The table that keeps questions and answers in PostgreSQL: its name and its shape.
///
/// ```
/// use stampede_runtime::semantic::PgvectorSchema;
///
/// let sql = PgvectorSchema::new(1536).table("answers.semantic_cache").sql()?;
/// assert!(sql.contains("vector(1536)"));
/// # Ok::<(), stampede_runtime::ConfigError>(())
/// ```
///
/// Up to 2,000 dimensions are kept as `vector`, numbers of 32 bits; more as `halfvec`, numbers of 16 bits, which are as good
/// for finding what is near.
///
/// Above 4,000 pgvector has no index for them, and a look-up compares all fresh entries of its partition: it finds exactly
/// the nearest, at some 10 us for each entry of 4,096 dimensions and 40 us of 16,000. With the 500 entries that a partition has
/// unless told otherwise that is of no account; a larger `capacity` wants a look at the query timeout.
#[derive(Clone, Debug)]
#[must_use = "a schema does nothing by itself: `sql` gives its text"]
pub struct PgvectorSchema {
    table: String,
    dimensions: usize,
    m: u16,
    ef_construction: u16,
}

/// What is wrong, and with which of the things that were said.
pub(super) type Problem = (&'static str, String);

impl PgvectorSchema {
    /// The table `semantic_cache` for embeddings of so many dimensions, from 1 to 16,000.
    pub fn new(dimensions: usize) -> PgvectorSchema {
        PgvectorSchema { table: TABLE.to_owned(), dimensions, m: 16, ef_construction: 64 }
    }

    /// For other dimensions.
    #[cfg(feature = "pgvector")]
    pub(super) fn dimensions_of(mut self, dimensions: usize) -> Self {
        self.dimensions = dimensions;
        self
    }

    /// Another name: letters of ASCII, digits and `_`, at most 51, not beginning with a digit; with a schema and a point before
    /// it, if one likes. Capitals are kept.
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// How many neighbours the index links each entry to, from 2 to 100. 16 unless one says otherwise, as pgvector has it.
    pub fn m(mut self, m: u16) -> Self {
        self.m = m;
        self
    }

    /// How many candidates the index looks at to find those, from 4 to 1,000 and at least twice `m`. 64 unless one says
    /// otherwise, as pgvector has it.
    pub fn ef_construction(mut self, candidates: u16) -> Self {
        self.ef_construction = candidates;
        self
    }

    /// The SQL that makes the extension, the table and its indexes where they are not there yet. It runs as it is, in `psql`
    /// or a migration, and as often as one likes.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with everything that is wrong.
    pub fn sql(&self) -> Result<String, ConfigError> {
        let told = |(what, problem)| format!("`{what}`: {problem}");
        let table = self.check().map_err(|problems| ConfigError::Invalid(problems.into_iter().map(told).collect()))?;
        Ok(self.text(&table))
    }

    /// The name, taken apart, if all is well.
    pub(super) fn check(&self) -> Result<Table, Vec<Problem>> {
        let mut problems = Vec::new();
        let table = Table::read(&self.table).map_err(|problem| problems.push(("table", problem))).ok();
        match self.dimensions {
            0 => problems.push(("dimensions", "an embedding has at least one".to_owned())),
            1..=DIMENSIONS_MAX => {}
            more => problems.push((
                "dimensions",
                format!(
                    "pgvector keeps at most {DIMENSIONS_MAX}, and these are {more}; many models make shorter embeddings \
                     if one asks for them"
                ),
            )),
        }
        if !(2..=100).contains(&self.m) {
            problems.push(("m", format!("it is a number from 2 to 100, and not {}", self.m)));
        }
        if !(4..=1_000).contains(&self.ef_construction) || self.ef_construction < 2 * self.m {
            let problem =
                format!("it is a number from 4 to 1000 and at least twice `m`, and not {}", self.ef_construction);
            problems.push(("ef_construction", problem));
        }
        table.filter(|_| problems.is_empty()).ok_or(problems)
    }

    #[cfg(feature = "pgvector")]
    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Whether embeddings are kept as numbers of 16 bits.
    pub(super) fn is_half(&self) -> bool {
        self.dimensions > VECTOR_DIMENSIONS_MAX
    }

    /// Whether an index finds the nearest. Else all of a partition are compared.
    pub(super) fn is_indexed(&self) -> bool {
        self.dimensions <= INDEXED_DIMENSIONS_MAX
    }

    /// How long an embedding is in the table.
    #[cfg(feature = "pgvector")]
    pub(super) fn embedding_bytes(&self) -> usize {
        self.dimensions * if self.is_half() { 2 } else { 4 }
    }

    /// What the names of its indexes end with. The first is of its unique constraint.
    #[cfg(feature = "pgvector")]
    pub(super) fn indexes(&self) -> impl Iterator<Item = &'static str> {
        INDEXES.into_iter().filter(|suffix| *suffix != NEAR || self.is_indexed())
    }

    /// The type of an embedding, with its dimensions.
    pub(super) fn embedding(&self) -> String {
        format!("{}({})", self.kind(), self.dimensions)
    }

    fn kind(&self) -> &'static str {
        if self.is_half() { "halfvec" } else { "vector" }
    }

    /// The SQL for a table whose name has been read.
    pub(super) fn text(&self, table: &Table) -> String {
        let without_index = if self.is_indexed() {
            String::new()
        } else {
            format!(
                "\
-- pgvector indexes embeddings of at most {INDEXED_DIMENSIONS_MAX} dimensions, and these have {}: each look-up compares all entries of its
-- partition, some 10 us for each of 4096 dimensions. `capacity` says how many there may be.
",
                self.dimensions
            )
        };
        format!(
            "\
-- Questions and their answers, found by their meaning: the table of stampede's semantic cache.
-- What is taken out stays for ten minutes as a row without an answer: what began before is not put after.
{without_index}BEGIN;
{}COMMIT;
",
            self.statements(table)
        )
    }

    /// What makes it, for a transaction.
    pub(super) fn statements(&self, table: &Table) -> String {
        let (kind, embedding) = (self.kind(), self.embedding());
        let (m, ef_construction) = (self.m, self.ef_construction);
        let [key, near, fresh, created, noted, kept] = INDEXES.map(|suffix| format!("\"{}\"", table.name_with(suffix)));
        let mut columns = String::new();
        for (name, kind, constraints) in COLUMNS {
            let kind = if name == EMBEDDING { embedding.as_str() } else { kind };
            columns += &["    ", name, " ", kind, constraints, ",\n"].concat();
        }
        let near = if self.is_indexed() {
            format!(
                "\
CREATE INDEX IF NOT EXISTS {near} ON {table} USING hnsw (embedding {kind}_cosine_ops)
    WITH (m = {m}, ef_construction = {ef_construction});
"
            )
        } else {
            String::new()
        };
        format!(
            "\
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS {table} (
{columns}    CONSTRAINT {key} UNIQUE ({PLACE}, query_hash)
) WITH (fillfactor = 90);
{near}CREATE INDEX IF NOT EXISTS {fresh} ON {table} ({PLACE}, expires_at) WHERE response IS NOT NULL;
CREATE INDEX IF NOT EXISTS {created} ON {table} ({PLACE}, created_at) WHERE response IS NOT NULL;
CREATE INDEX IF NOT EXISTS {noted} ON {table} ({PLACE}) WHERE response IS NULL AND embedding IS NOT NULL;
CREATE INDEX IF NOT EXISTS {kept} ON {table} (kept_until);
"
        )
    }
}

const INDEXES: [&str; 6] = ["key", NEAR, "fresh_idx", "created_idx", "noted_idx", "kept_idx"];
const NEAR: &str = "near_idx";

/// The columns of a partition.
pub(super) const PLACE: &str = "namespace, partition, tenant, model";

const EMBEDDING: &str = "embedding";

/// Name, type, and what else is said of it. The embedding's type depends on its dimensions.
pub(super) const COLUMNS: [(&str, &str, &str); 15] = [
    ("id", "bigint", " GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
    ("namespace", "text", " NOT NULL"),
    ("partition", "text", " NOT NULL"),
    ("tenant", "text", " NOT NULL"),
    ("model", "text", " NOT NULL"),
    ("query_hash", "text", " NOT NULL"),
    ("query_normalized", "text", " NOT NULL"),
    (EMBEDDING, "", ""),
    ("response", "text", ""),
    ("hits", "bigint", " NOT NULL DEFAULT 0"),
    ("cost_micros", "bigint", " NOT NULL DEFAULT 0"),
    ("began_at", "timestamptz", " NOT NULL"),
    ("created_at", "timestamptz", " NOT NULL"),
    ("expires_at", "timestamptz", " NOT NULL"),
    ("kept_until", "timestamptz", " NOT NULL"),
];

/// A table's name. It shows itself as SQL writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    schema: Option<String>,
    name: String,
}

impl Table {
    fn read(text: &str) -> Result<Table, String> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        let names_max = NAME_BYTES_MAX - SUFFIX_BYTES_MAX;
        if !is_name(name, names_max) || schema.is_some_and(|schema| !is_name(schema, NAME_BYTES_MAX)) {
            return Err(format!(
                "a name has letters of ASCII, digits and `_`, does not begin with a digit, and is at most {names_max} long; \
                 a schema may stand before it, with a point between them"
            ));
        }
        Ok(Table { schema: schema.map(str::to_owned), name: name.to_owned() })
    }

    /// The name of something that belongs to it, and stands in the same schema.
    pub(super) fn name_with(&self, suffix: &str) -> String {
        format!("{}_{suffix}", self.name)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "\"{schema}\".")?;
        }
        write!(f, "\"{}\"", self.name)
    }
}

fn is_name(text: &str, bytes_max: usize) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= bytes_max
        && text.bytes().all(is_part)
        && text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(schema: &PgvectorSchema) -> Vec<&'static str> {
        schema.check().err().unwrap_or_default().into_iter().map(|(what, _)| what).collect()
    }

    #[test]
    fn numbers_are_taken_within_their_ranges() {
        for dimensions in [1, 2_000, 2_001, 4_000, 4_001, 16_000] {
            assert_eq!(problems(&PgvectorSchema::new(dimensions)), [""; 0]);
        }
        assert_eq!(problems(&PgvectorSchema::new(0)), ["dimensions"]);
        assert_eq!(problems(&PgvectorSchema::new(16_001)), ["dimensions"]);
        for (m, ef_construction) in [(2, 4), (100, 200), (16, 1_000)] {
            assert_eq!(problems(&PgvectorSchema::new(3).m(m).ef_construction(ef_construction)), [""; 0]);
        }
        for (m, ef_construction) in [(16, 31), (16, 1_001), (2, 3)] {
            assert_eq!(problems(&PgvectorSchema::new(3).m(m).ef_construction(ef_construction)), ["ef_construction"]);
        }
        for m in [0, 1, 101] {
            assert_eq!(problems(&PgvectorSchema::new(3).m(m).ef_construction(1_000)), ["m"]);
        }
        assert_eq!(problems(&PgvectorSchema::new(0).table("").m(0).ef_construction(0)).len(), 4);
    }

    #[test]
    fn names_are_taken_literally_or_not_at_all() {
        for name in ["semantic_cache", "app.Semantic_2", "_", &"t".repeat(51)] {
            assert_eq!(problems(&PgvectorSchema::new(3).table(name)), [""; 0], "{name}");
        }
        let long = "t".repeat(52);
        for name in ["", ".", "a.", ".a", "a.b.c", "2a", "a b", "a\"b", "a;b", "a-b", "ä", "a\0", &long] {
            assert_eq!(problems(&PgvectorSchema::new(3).table(name)), ["table"], "{name}");
        }
        assert_eq!(Table::read("app.T").unwrap().to_string(), "\"app\".\"T\"");
    }

    #[test]
    fn many_dimensions_are_kept_as_halves() {
        let sql = |dimensions| PgvectorSchema::new(dimensions).sql().unwrap();
        assert!(sql(2_000).contains("embedding vector(2000),") && sql(2_000).contains("(embedding vector_cosine_ops)"));
        assert!(
            sql(2_001).contains("embedding halfvec(2001),") && sql(2_001).contains("(embedding halfvec_cosine_ops)")
        );
    }

    #[test]
    fn more_than_an_index_takes_are_kept_without_one() {
        let sql = |dimensions| PgvectorSchema::new(dimensions).sql().unwrap();
        assert!(sql(4_000).contains("hnsw") && !sql(4_000).contains("each look-up compares"));
        assert!(!sql(4_001).contains("hnsw") && sql(4_001).contains("each look-up compares all entries"));
        assert!(sql(4_001).contains("embedding halfvec(4001),") && sql(4_001).contains("\"semantic_cache_fresh_idx\""));
    }
}
