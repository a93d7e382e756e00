//! What the pages for people have in common: tables, figures, words.

use std::fmt::Display;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};

use crate::terminal;

/// How wide a table may be where there is no terminal to ask.
pub(crate) const COLUMNS_MAX: u16 = 80;

/// A rule below the header, nothing between the columns.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));

/// An empty table in our style: the first column for words, the others for figures.
pub(crate) fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    if !table.is_tty() {
        table.set_width(COLUMNS_MAX);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
        column.set_padding((2, 0));
    }
    if let Some(words) = table.column_mut(0) {
        words.set_cell_alignment(CellAlignment::Left);
        words.set_padding((0, 0));
    }
    table
}

pub(crate) fn good(figure: impl Display) -> Cell {
    painted(Cell::new(figure), Color::Green)
}

pub(crate) fn bad(figure: impl Display) -> Cell {
    painted(Cell::new(figure), Color::Red)
}

fn painted(cell: Cell, color: Color) -> Cell {
    if terminal::has_colour() { cell.fg(color).add_attribute(Attribute::Bold) } else { cell }
}

pub(crate) fn some(figure: u64) -> Cell {
    if figure == 0 { nothing() } else { Cell::new(figure) }
}

pub(crate) fn nothing() -> Cell {
    Cell::new("–")
}

pub(crate) fn time(milliseconds: Option<f64>) -> Cell {
    match milliseconds {
        None => nothing(),
        Some(ms) if ms < 1.0 => Cell::new(format!("{:.0} µs", ms * 1000.0)),
        Some(ms) => Cell::new(format!("{ms:.0} ms")),
    }
}

/// `1 call`, `2 calls`, `3 cities`, `4 processes`
pub(crate) fn count(number: u64, one: &str) -> String {
    match one.strip_suffix('y') {
        _ if number == 1 => format!("1 {one}"),
        Some(stem) => format!("{number} {stem}ies"),
        None if one.ends_with('s') => format!("{number} {one}es"),
        None => format!("{number} {one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_agree_with_their_nouns() {
        assert_eq!([count(1, "city"), count(2, "city"), count(0, "call")], ["1 city", "2 cities", "0 calls"]);
        assert_eq!([count(1, "process"), count(2, "process")], ["1 process", "2 processes"]);
    }
}
