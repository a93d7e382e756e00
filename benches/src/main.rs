//! How fast stampede is, beside its peers and beside hand-written floors: one table, with each goal beside its figure.
//!
//! `cargo bench -p stampede-benches -- [--quick] [--format json] [--peer NAME]… [SECTION]…`, where a section is one of
//! `warm`, `miss`, `fan-out`, `grid`, `dropped`, `threads`, `blocked`, `options`, `expiry`, `hits`, `memory`, `redis`,
//! `invalidation`, `takeover`, `load`, `semantic`, `semantic-trust`, and parts of names will do. What counts are the ratios of one
//! run; nanoseconds differ between machines, and on a shared one between minutes. What an attribute costs at compile time is a
//! script beside this: `benches/compile-time`.

mod alloc;
mod blocked;
mod body;
mod crowd;
mod dropped;
mod expiry;
mod fan_out;
mod grid;
mod hits;
mod invalidation;
mod load;
mod measure;
mod memory;
mod miss;
mod options;
mod peers;
mod redis;
mod report;
mod semantic;
mod takeover;
mod threads;
mod warm;
mod workers;

use std::process::ExitCode;

use measure::Effort;
use report::Section;

/// A name and what it measures.
type Measurement = (&'static str, fn(&Effort) -> Vec<Section>);

const MEASUREMENTS: [Measurement; 17] = [
    ("warm", warm::measure),
    ("miss", miss::measure),
    ("fan-out", fan_out::measure),
    ("grid", grid::measure),
    ("dropped", dropped::measure),
    // Late: what several threads have allocated lies scattered, and a miss takes a third longer from then on.
    ("threads", threads::measure),
    ("blocked", blocked::measure),
    ("options", options::measure),
    ("expiry", expiry::measure),
    ("hits", hits::measure),
    ("memory", memory::measure),
    ("redis", redis::measure),
    ("invalidation", invalidation::measure),
    ("takeover", takeover::measure),
    ("load", load::measure),
    ("semantic", semantic::measure),
    ("semantic-trust", semantic::measure_trust),
];

fn main() -> ExitCode {
    let mut bench = false;
    let mut quick = false;
    let mut json = false;
    let mut peers = Vec::new();
    let mut wanted = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => quick = true,
            "--format" => match arguments.next().as_deref() {
                Some("json") => json = true,
                Some("table") => json = false,
                _ => return refuse("`--format` takes `table` or `json`"),
            },
            "--peer" => match arguments.next() {
                Some(peer) => peers.push(peer),
                None => return refuse("`--peer` takes a part of a name"),
            },
            memory::CHILD => {
                let (Some(store), Some(Ok(entries))) = (arguments.next(), arguments.next().map(|text| text.parse()))
                else {
                    return refuse("only this program itself says so");
                };
                memory::child(&store, entries);
                return ExitCode::SUCCESS;
            }
            redis::child::CHILD => {
                let Some(url) = arguments.next() else { return refuse("only this program itself says so") };
                redis::child::child(&url);
                return ExitCode::SUCCESS;
            }
            workers::WORKER => {
                let (Some(url), Some(Ok(lease))) = (arguments.next(), arguments.next().map(|text| text.parse())) else {
                    return refuse("only this program itself says so");
                };
                workers::worker(&url, lease);
                return ExitCode::SUCCESS;
            }
            "--bench" => bench = true,
            flag if flag.starts_with('-') => return refuse(&format!("unknown option `{flag}`")),
            _ => wanted.push(argument),
        }
    }
    if !bench {
        // `cargo test --all-targets` comes by too, and wants no figures.
        println!("nothing measured: `cargo bench` says `--bench`");
        return ExitCode::SUCCESS;
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let measurements: Vec<_> = MEASUREMENTS.iter().filter(|(name, _)| is_wanted(name)).collect();
    if measurements.is_empty() {
        let names: Vec<&str> = MEASUREMENTS.iter().map(|(name, _)| *name).collect();
        return refuse(&format!("nothing to measure; there are `{}`", names.join("`, `")));
    }
    let effort = Effort { quick, peers };
    let sections: Vec<Section> = measurements.iter().flat_map(|(_, measure)| measure(&effort)).collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&sections).expect("plain data"));
    } else {
        println!("{}", report::table(&sections));
    }
    ExitCode::SUCCESS
}

fn refuse(what: &str) -> ExitCode {
    eprintln!("error: {what}");
    ExitCode::from(2)
}
