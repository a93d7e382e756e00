//! The report for people.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, Table};

use super::tally::{AtThreshold, Choice, Figures, Recommended, Report};
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
    page += "\nRight hits: of the pairs that mean the same. Wrong hits: of all hits. In brackets:\n\
             where the true share is, in 95 of 100 such samples.\n";
    if report.not_embedded > 0 {
        let _ = writeln!(page, "{} without an embedding hit nothing.", count(report.not_embedded as u64, "question"));
    }
    if let Some(recommended) = &report.recommended {
        recommend(&mut page, recommended);
    }
    page
}

fn hits(thresholds: &[AtThreshold]) -> Table {
    let mut table = with_words(table(["threshold", "guards", "right\nhits", "of same", "wrong\nhits", "of hits"]));
    for AtThreshold { threshold, guards } in thresholds {
        for (at, hits) in guards.iter().enumerate() {
            table.add_row([
                Cell::new(if at == 0 { format!("{threshold:.2}") } else { String::new() }),
                Cell::new(hits.set),
                Cell::new(hits.right_hits),
                share(hits.right_rate, hits.right_interval),
                Cell::new(hits.wrong_hits),
                share(hits.wrong_share, hits.wrong_share_interval),
            ]);
        }
    }
    table
}

fn recommend(page: &mut String, Recommended { max_error, guards }: &Recommended) {
    let _ =
        writeln!(page, "\nThe lowest threshold with at most {} of all hits wrong, 95% sure:\n", percent(*max_error));
    let mut rows =
        with_words(table(["threshold", "guards", "right\nhits", "of same", "wrong\nhits", "of hits,\nat most"]));
    for Choice { threshold, nearest_threshold, figures } in guards {
        let Some(figures) = figures else { continue };
        let threshold = match (threshold, nearest_threshold) {
            (Some(threshold), _) => Cell::new(format!("{threshold:.3}")),
            (None, Some(nearest)) => Cell::new(format!("none ({nearest:.3})")),
            (None, None) => nothing(),
        };
        rows.add_row([threshold].into_iter().chain(cells(figures)));
    }
    let _ = writeln!(page, "{}", rows.trim_fmt());
    if guards.iter().any(|choice| choice.threshold.is_none()) {
        *page += "\nnone: with these pairs no threshold does. In brackets: where the bound is least. More\n\
                  pairs make bounds smaller, and so do a better model and more guards.\n";
    }
}

fn cells(figures: &Figures) -> [Cell; 5] {
    [
        Cell::new(figures.set),
        Cell::new(figures.right_hits),
        share(figures.right_rate, figures.right_interval),
        Cell::new(figures.wrong_hits),
        figures.wrong_share_upper.map_or_else(nothing, |upper| Cell::new(percent(upper))),
    ]
}

/// The second column is for words, too.
fn with_words(mut table: Table) -> Table {
    if let Some(words) = table.column_mut(1) {
        words.set_cell_alignment(CellAlignment::Left);
    }
    table
}

fn share(rate: Option<f64>, interval: Option<[f64; 2]>) -> Cell {
    match (rate, interval) {
        (Some(rate), Some([from, to])) => {
            Cell::new(format!("{} ({:.1}–{:.1})", percent(rate), from * 100.0, to * 100.0))
        }
        _ => nothing(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// The name of a model is what somebody typed: nothing in it may steer the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
