//! What is printed at the end, and for whom.

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

/// What to print at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs; the fields are described below
    Json,
}

/// A report as JSON.
pub(crate) fn json(report: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string_pretty(report);
    json.map(|json| json + "\n").map_err(|error| Failure::Failed(format!("the report cannot be written: {error}")))
}
