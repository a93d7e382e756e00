//! Calls that mean the same: what it takes to find the nearest of those that have an answer, and to trust it.

mod embedded;
mod pgvector;
mod trusted;

use crate::measure::Effort;
use crate::report::Section;

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let mut sections = embedded::measure(effort);
    sections.extend(pgvector::measure(effort));
    sections
}

pub(crate) fn measure_trust(effort: &Effort) -> Vec<Section> {
    trusted::measure(effort)
}
