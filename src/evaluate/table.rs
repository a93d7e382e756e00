//! The report for people.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, Table};

use super::tally::{AtThreshold, Figures, Report};
use crate::page::{count, nothing, table};

pub(super) fn draw(report: &Report) -> String {
    let Report { pairs, model, .. } = report;
    let mut page = format!(
        "{} with one meaning and {} with two, of {}; compared by {}.\n\n",
        count(pairs.same, "pair"),
        pairs.different,
        count(report.questions as u64, "question"),
        printable(model),
    );
    let _ = writeln!(page, "{}", hits(&report.thresholds).trim_fmt());
    page += "\nRight hits: of the pairs that mean the same. Wrong hits: of the others, and of all hits.\n";
    if report.not_embedded > 0 {
        let _ = writeln!(page, "{} without an embedding hit nothing.", count(report.not_embedded as u64, "question"));
    }
    page
}

fn hits(thresholds: &[AtThreshold]) -> Table {
    let mut table =
        table(["threshold", "guards", "right\nhits", "of\nsame", "wrong\nhits", "of\ndifferent", "of\nhits"]);
    if let Some(words) = table.column_mut(1) {
        words.set_cell_alignment(CellAlignment::Left);
    }
    for AtThreshold { threshold, guards } in thresholds {
        for (at, hits) in guards.iter().enumerate() {
            let Figures { set, right_hits, right_rate, wrong_hits, wrong_rate, wrong_share, .. } = hits;
            table.add_row([
                Cell::new(if at == 0 { format!("{threshold:.2}") } else { String::new() }),
                Cell::new(set),
                Cell::new(right_hits),
                rate(*right_rate),
                Cell::new(wrong_hits),
                rate(*wrong_rate),
                rate(*wrong_share),
            ]);
        }
    }
    table
}

fn rate(rate: Option<f64>) -> Cell {
    rate.map_or_else(nothing, |rate| Cell::new(format!("{:.1}%", rate * 100.0)))
}

/// The name of a model is what somebody typed: nothing in it may steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
