//! The report for people: what each process did, and the verdict in a sentence.

use std::fmt::Write as _;

use comfy_table::{Cell, Table};

use super::report::{Figures, Place, Report};
use super::wire::Counted;
use super::{LEASE, Plan};
use crate::demo::upstream;
use crate::page::{bad, count, nothing, some, table, time};

/// Rows of the table by key; the rest is only counted.
const KEYS_MAX: usize = 20;

/// The line that makes the difference, as it stands in `functions.rs`.
const ATTRIBUTE: &str = r#"#[distributed_coalesce(namespace = "stampede-demo", ttl = "1m", lease = "1s", skip(api))]"#;

/// What is about to happen.
pub(super) fn introduction(plan: Plan) -> String {
    let [processes, callers, keys] = [plan.processes, plan.callers, plan.keys].map(u64::from);
    let (latency, lease) = (upstream::LATENCY.as_millis(), LEASE.as_secs());
    let kill = if plan.kill { "\nThe first process that calls is killed (kill -9) while it does." } else { "" };
    format!(
        "{} of {}, asking for {} at the same moment; then once more.\n\
         A call takes about {latency} ms; a process that is not heard of for {lease} s leads no more.{kill}\n\n",
        count(processes, "process"),
        count(callers, "caller"),
        count(keys, "place"),
    )
}

/// The figures of each process and the verdict; with `verbose`, a row for each key as well.
pub(super) fn draw(report: &Report, verbose: bool) -> String {
    let mut page = format!("{}\n", by_process(report).trim_fmt());
    if verbose {
        let _ = writeln!(page, "\n{}", by_key(report).trim_fmt());
        let left_out = report.keys.len().saturating_sub(KEYS_MAX);
        if left_out > 0 {
            let _ = writeln!(page, "… and {}", count(left_out as u64, "more place"));
        }
    }
    let _ = writeln!(page, "\n{}", verdict(report));
    page
}

fn by_process(report: &Report) -> Table {
    let mut table = table([
        "process",
        "requests",
        "executions",
        "joined",
        "hits",
        "waited",
        "taken\nover",
        "woken\nby push",
        "woken\nby poll",
    ]);
    for process in &report.processes {
        let number = process.process;
        let name = if process.killed { bad(format!("{number} killed")) } else { Cell::new(number) };
        table.add_row(row(name, &process.figures));
    }
    table.add_row(row(Cell::new("all"), &report.total));
    table
}

fn row(name: Cell, figures: &Figures) -> Vec<Cell> {
    // By the API's count: every execution calls it, and of a killed process nobody else knows.
    let mut row = vec![name, Cell::new(figures.requests), some(figures.calls)];
    match figures.counted {
        Some(Counted { joined, hits, waited, taken_over, push_wakeups, poll_wakeups, .. }) => {
            row.extend([joined, hits, waited, taken_over, push_wakeups, poll_wakeups].map(some));
        }
        None => row.extend((0..6).map(|_| Cell::new("?"))),
    }
    row
}

fn by_key(report: &Report) -> Table {
    let mut table = table(["place", "executions", "by\nprocess", "taken\nover after"]);
    for Place { key, calls, processes, takeover_ms, .. } in report.keys.iter().take(KEYS_MAX) {
        let processes: Vec<_> = processes.iter().map(u16::to_string).collect();
        let processes = if processes.is_empty() { nothing() } else { Cell::new(processes.join(", ")) };
        table.add_row([Cell::new(key), Cell::new(calls), processes, time(*takeover_ms)]);
    }
    table
}

fn verdict(report: &Report) -> String {
    let Report { total, kill, .. } = report;
    let became = format!("{} became {}", count(total.requests, "request"), count(total.calls, "call"));
    if report.judge().is_err() {
        return format!("{} {became}.", console::style("✘").red().bold());
    }
    let mark = console::style("✔").green().bold();
    let line = console::style(ATTRIBUTE).cyan();
    let ending = match kill {
        None => ". The".to_owned(),
        Some(kill) => {
            let places = if kill.keys == 1 { "the place".to_owned() } else { format!("each of {} places", kill.keys) };
            let (killed, took) = (kill.process, kill.takeover_ms.max.unwrap_or_default());
            format!(
                ", and one more\n  for {places} that process {killed} was calling for when it was killed.\n  \
                 Others took over within {took:.0} ms. The"
            )
        }
    };
    format!("{mark} {became}: one per place{ending} difference is one line:\n\n  {line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_is_shown_is_the_line_that_runs() {
        let source = include_str!("../functions.rs");
        assert!(source.lines().any(|line| line == ATTRIBUTE), "{ATTRIBUTE} is not in functions.rs");
        assert!(ATTRIBUTE.contains(&format!(r#"lease = "{}s""#, LEASE.as_secs())));
    }
}
