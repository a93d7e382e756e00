//! The report for people: what happens, the two halves side by side, and the verdict in a sentence.

use std::cmp::Reverse;
use std::fmt::Write as _;

use comfy_table::{Cell, Table};

use super::plan::{Kind, Plan};
use super::report::{Comparison, Report};
use super::tally::{Half, dollars};
use super::traffic::Way;
use super::upstream;
use crate::page::{COLUMNS_MAX, bad, count, good, nothing, some, table, time};
use crate::terminal;

/// Rows of the table by key; the rest is only counted.
const KEYS_MAX: usize = 20;
/// The columns that figures take up in the table by key, with four digits in each.
const FIGURES_COLUMNS: u16 = 56;

/// What is about to happen.
pub(crate) fn introduction(plan: &Plan, flush: bool) -> String {
    let [callers, requests, keys] = [plan.callers, plan.requests.len(), plan.questions.len()].map(|n| n as u64);
    let traffic = match plan.kind {
        Kind::Cities => format!("{} at once, asking for {}", count(callers, "caller"), count(keys, "city")),
        Kind::Prompts => {
            format!("{} sending {} of {}", count(callers, "caller"), count(requests, "request"), count(keys, "prompt"))
        }
    };
    let rounds = if flush { "two cold rounds" } else { "a cold round, then a repeat" };
    let (latency, cost) = (upstream::LATENCY.as_millis(), price(dollars(plan.kind.price_cents())));
    let burst = plan.burst();
    format!(
        "{traffic}: {rounds}.\n\
         A call takes about {latency} ms and costs {cost}; the rate limit allows {burst} a round.\n\n"
    )
}

/// The comparison and the verdict; with `verbose`, a row for each key as well.
pub(crate) fn draw(report: &Report, verbose: bool) -> String {
    let after_the_bars = if terminal::is_watched() { "\n" } else { "" };
    let mut page = format!("{after_the_bars}{}\n", comparison(report).trim_fmt());
    if verbose {
        let _ = writeln!(page, "\n{}", by_key(report).trim_fmt());
        let left_out = report.keys.len().saturating_sub(KEYS_MAX);
        if left_out > 0 {
            let _ = writeln!(page, "… and {} that fewer asked for", count(left_out as u64, report.workload.kind.one()));
        }
    }
    let _ = writeln!(page, "\n{}", verdict(report));
    page
}

fn comparison(report: &Report) -> Table {
    let one = report.workload.kind.one();
    let mut table = table(["", Way::Without.title(), Way::With.title()]);
    let mut row = |label: &str, show: fn(&Half) -> Cell| {
        table.add_row([Cell::new(label), show(&report.without), show(&report.with)]);
    };
    row("requests", |half| Cell::new(half.all.requests));
    row("calls to the API", |half| Cell::new(half.all.calls));
    row("calls saved", |half| match half.calls_saved {
        0 => nothing(),
        saved => good(format!("{saved} ({:.0}%)", half.savings_rate * 100.0)),
    });
    row(&format!("most calls for one {one}"), |half| Cell::new(half.calls_per_key_max));
    row("hits: served from memory", |half| some(half.all.hits));
    row("waits: joined a call in flight", |half| some(half.all.waits));
    row("mean wait", |half| time(half.all.mean_wait_ms));
    row("latency p50", |half| time(half.latency_ms.p50));
    row("latency p99", |half| time(half.latency_ms.p99));
    row("latency max", |half| time(half.latency_ms.max));
    row("refused by the rate limit", |half| match half.all.refused {
        0 => nothing(),
        refused => bad(refused),
    });
    row("cost", |half| Cell::new(price(half.cost_usd)));
    table
}

fn by_key(report: &Report) -> Table {
    let mut table = table([
        report.workload.kind.one(),
        "requests",
        "calls\nwithout",
        "refused\nwithout",
        "calls\nwith",
        "hits\nwith",
        "waits\nwith",
        "mean\nwait",
    ]);
    let key_columns = table.width().unwrap_or(COLUMNS_MAX).saturating_sub(FIGURES_COLUMNS).max(12);
    let mut keys: Vec<_> = report.keys.iter().collect();
    keys.sort_by_key(|key| Reverse(key.with.requests));
    for Comparison { key, without, with } in keys.into_iter().take(KEYS_MAX) {
        table.add_row([
            Cell::new(console::truncate_str(&printable(key), key_columns.into(), "…")),
            Cell::new(with.requests),
            Cell::new(without.calls),
            some(without.refused),
            Cell::new(with.calls),
            some(with.hits),
            some(with.waits),
            time(with.mean_wait_ms),
        ]);
    }
    table
}

fn verdict(report: &Report) -> String {
    let Report { with, workload, .. } = report;
    let one = workload.kind.one();
    let became = format!("{} became {}", count(with.all.requests, "request"), count(with.all.calls, "call"));
    if report.judge().is_err() {
        return format!("{} {became}.", console::style("✘").red().bold());
    }
    let each_time = if workload.cold_rounds == 1 { "" } else { " and round" };
    let mark = console::style("✔").green().bold();
    let line = console::style(workload.kind.attribute()).cyan();
    format!("{mark} {became}: one per {one}{each_time}. The difference is one line:\n\n      {line}")
}

fn price(amount: f64) -> String {
    format!("${amount:.2}")
}

/// A prompt is somebody else's text: nothing in it may steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_is_shown_is_the_line_that_runs() {
        let source = include_str!("functions.rs");
        for kind in [Kind::Cities, Kind::Prompts] {
            assert!(source.lines().any(|line| line == kind.attribute()), "{} is not in functions.rs", kind.attribute());
        }
    }

    #[test]
    fn escape_sequences_in_a_prompt_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\u{9b}c\r\n"), "a [31mb c  ");
    }
}
