//! Calls that mean the same: what it takes to find the nearest of those that have an answer.

mod embedded;

use crate::measure::Effort;
use crate::report::Section;

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    embedded::measure(effort)
}
