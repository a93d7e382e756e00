//! The table at the end.

use serde::Serialize;

/// The answer to one question.
#[derive(Serialize)]
pub(crate) struct Section {
    /// Short, for the filter on the command line.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Row>,
}

/// One peer's figures.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) peer: &'static str,
    /// In the order of the columns; `None` where there is nothing to say.
    pub(crate) figures: Vec<Option<f64>>,
    pub(crate) goals: Vec<Goal>,
}

impl Row {
    pub(crate) fn new(peer: &'static str, figures: impl IntoIterator<Item = f64>) -> Row {
        Row {
            peer,
            figures: figures.into_iter().map(|figure| figure.is_finite().then_some(figure)).collect(),
            goals: Vec::new(),
        }
    }

    /// Says what was promised, and whether it is kept.
    pub(crate) fn goal(&mut self, text: impl Into<String>, met: bool) {
        self.goals.push(Goal { text: text.into(), met });
    }
}

/// What was promised.
#[derive(Serialize)]
pub(crate) struct Goal {
    text: String,
    met: bool,
}

/// All figures as one table.
pub(crate) fn table(sections: &[Section]) -> String {
    let peers = sections.iter().flat_map(|section| &section.rows).map(|row| row.peer.chars().count() + 2);
    let first = peers.chain(sections.iter().map(|section| section.title.chars().count().min(44))).max().unwrap_or(0);
    let mut lines = Vec::new();
    for section in sections {
        let columns: Vec<String> = section.columns.iter().map(|column| format!(" {column:>WIDTH$}")).collect();
        lines.push(format!("{:first$}{}  goal", section.title, columns.concat()));
        for row in &section.rows {
            let cell = |figure: &Option<f64>| {
                let text = figure.map_or_else(|| "-".to_owned(), figure_text);
                format!(" {text:>WIDTH$}")
            };
            let figures: Vec<String> = row.figures.iter().map(cell).collect();
            let goals: Vec<String> = row
                .goals
                .iter()
                .map(|goal| format!("{} {}", goal.text, if goal.met { "met" } else { "MISSED" }))
                .collect();
            let line = format!("  {:width$}{}  {}", row.peer, figures.concat(), goals.join(", "), width = first - 2);
            lines.push(line.trim_end().to_owned());
        }
        lines.push(String::new());
    }
    lines.join("\n")
}

const WIDTH: usize = 11;

/// Three digits that count.
fn figure_text(figure: f64) -> String {
    match figure.abs() {
        size if size >= 99.95 || figure.fract() == 0.0 => format!("{figure:.0}"),
        size if size >= 9.995 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}
