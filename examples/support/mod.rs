//! What the examples share: they send a load twice, and print both halves side by side.

use std::fmt::Display;
use std::future::Future;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use tokio::time::{Instant, sleep_until};

/// What came of some requests, as their callers saw it.
pub(crate) struct Load {
    /// How long each answered request took. A refusal is quick, and good for nothing.
    took: Vec<Duration>,
    failures: Vec<String>,
    wall: Duration,
}

impl Load {
    fn new<E: Display>(answers: Vec<(Result<(), E>, Duration)>, wall: Duration) -> Load {
        let mut load = Load { took: Vec::new(), failures: Vec::new(), wall };
        for (answer, took) in answers {
            match answer {
                Ok(()) => load.took.push(took),
                Err(error) => load.failures.push(error.to_string()),
            }
        }
        load.took.sort_unstable();
        load
    }

    /// How many answered requests took longer.
    #[allow(dead_code, reason = "not every example asks")]
    pub(crate) fn longer_than(&self, limit: Duration) -> usize {
        self.took.iter().filter(|took| **took > limit).count()
    }

    /// Nearest rank: the smallest time that at least this many per cent do not exceed.
    fn percentile(&self, percent: usize) -> String {
        let rank = (percent * self.took.len()).div_ceil(100);
        self.took.get(rank.saturating_sub(1)).map_or("–".to_owned(), |took| time(*took))
    }
}

/// Sends requests, each in a task of its own: one `every` so often, or with zero all at once.
#[allow(dead_code, reason = "an example sends from tasks or from threads")]
pub(crate) async fn send<T, E>(
    every: Duration,
    requests: impl IntoIterator<Item: Future<Output = Result<T, E>> + Send + 'static>,
) -> Load
where
    T: Send + 'static,
    E: Display + Send + 'static,
{
    let start = Instant::now();
    let callers: Vec<_> = (0..)
        .zip(requests)
        .map(|(number, request)| {
            tokio::spawn(async move {
                sleep_until(start + every * number).await;
                let sent = Instant::now();
                (request.await.map(drop), sent.elapsed())
            })
        })
        .collect();
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.await.expect("no caller panics"));
    }
    Load::new(answers, start.elapsed())
}

/// Sends requests from so many threads at once. Each thread sends all of them, one after another.
#[allow(dead_code, reason = "an example sends from tasks or from threads")]
pub(crate) fn send_from_threads<R: Sync, E: Display + Send>(
    threads: usize,
    requests: &[R],
    answer: impl Fn(&R) -> Result<(), E> + Sync,
) -> Load {
    let timed = |request| {
        let sent = Instant::now();
        (answer(request), sent.elapsed())
    };
    let (ready, start) = (Barrier::new(threads), Instant::now());
    let answers = thread::scope(|scope| {
        let send = || {
            ready.wait();
            requests.iter().map(timed).collect::<Vec<_>>()
        };
        let callers: Vec<_> = (0..threads).map(|_| scope.spawn(send)).collect();
        callers.into_iter().flat_map(|caller| caller.join().expect("no caller panics")).collect()
    });
    Load::new(answers, start.elapsed())
}

/// Prints the same load without and with the attribute. `calls`: how often it reached `what`, the slow thing.
#[allow(dead_code, reason = "an example prints two loads, or more")]
pub(crate) fn report(what: &str, calls: [u64; 2], loads: [&Load; 2], more: &[(&str, [String; 2])]) {
    table(["without", "with"], what, calls, loads, more);
    let [without, with] = calls;
    let saved = without.saturating_sub(with);
    println!("{what}: {without} -> {with}, {saved} saved ({:.0}%)\n", 100.0 * saved as f64 / without.max(1) as f64);
}

/// Prints any number of loads beside one another.
pub(crate) fn table<const N: usize>(
    heads: [&str; N],
    what: &str,
    calls: [u64; N],
    loads: [&Load; N],
    more: &[(&str, [String; N])],
) {
    let mut table = empty(&heads);
    let mut row = |label: &str, figures: &[String; N]| {
        table.add_row([label].into_iter().chain(figures.iter().map(String::as_str)));
    };
    row("requests", &loads.map(|load| (load.took.len() + load.failures.len()).to_string()));
    row(what, &calls.map(|calls| calls.to_string()));
    row("answered", &loads.map(|load| load.took.len().to_string()));
    for (label, figures) in more {
        row(label, figures);
    }
    row("wall time", &loads.map(|load| time(load.wall)));
    row("latency p50", &loads.map(|load| load.percentile(50)));
    row("latency p99", &loads.map(|load| load.percentile(99)));
    println!("{}\n", table.trim_fmt());

    for (head, load) in heads.into_iter().zip(loads) {
        if let Some(failure) = load.failures.first() {
            println!("{head}, a failure reads: {failure}");
        }
    }
}

fn empty(heads: &[&str]) -> Table {
    const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));
    let mut table = Table::new();
    table.load_style(STYLE).set_header([""].iter().chain(heads));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
        column.set_padding((2, 0));
    }
    if let Some(words) = table.column_mut(0) {
        words.set_padding((0, 0));
    }
    table
}

fn time(duration: Duration) -> String {
    match duration.as_secs_f64() {
        seconds if seconds < 1e-6 => format!("{:.0} ns", seconds * 1e9),
        seconds if seconds < 1e-3 => format!("{:.0} µs", seconds * 1e6),
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    }
}
