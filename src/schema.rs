//! `stampede schema`: the SQL of the table that `#[semantic_coalesce]` keeps its answers in.

use clap::{Args, value_parser};
use stampede_runtime::ConfigError;
use stampede_runtime::semantic::PgvectorSchema;

use crate::failure::Failure;
use crate::terminal;

/// Print the SQL of the table for semantic answers in PostgreSQL
///
/// It makes the extension pgvector, the table and its indexes where they are not there yet, and runs as it is: in psql, or
/// as a migration. Nothing is connected to.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many dimensions the embeddings have, 1 to 16000
    ///
    /// Above 2000 they are kept as numbers of 16 bits, for pgvector's index takes no more of 32. Above 4000 it takes none, and
    /// each look-up compares all entries of its partition, some 10 us for each of 4096 dimensions: fine for a few thousand.
    #[arg(short, long, value_name = "N", value_parser = value_parser!(u16).range(1..=16_000))]
    dimensions: u16,

    /// The table, with a schema before it if you like: `answers.semantic_cache`
    #[arg(short, long, value_name = "NAME", default_value = "semantic_cache")]
    table: String,
}

/// Prints it.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    match PgvectorSchema::new(options.dimensions.into()).table(&options.table).sql() {
        Ok(sql) => terminal::print(&sql),
        Err(ConfigError::Invalid(problems)) => Err(Failure::Usage(problems.join("; "))),
        Err(error) => Err(Failure::Usage(error.to_string())),
    }
}
