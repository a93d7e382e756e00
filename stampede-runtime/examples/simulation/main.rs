//! Fleets of up to thousands of processes, in virtual time: what does a server have to do for them, and who waits how long?
//!
//! Each process is a `Host` with a connection of its own to one `MemoryServer`; all of it is the code that runs in a service,
//! but for the server and the clock. Minutes of a fleet take seconds.
//!
//! `cargo run --release -p stampede-runtime --features backends,test-util --example simulation -- [--nodes 10,100,1000,5000]
//! [--seeds 10] [--scene PART]… [--svg FILE]`

mod fleet;
mod plot;
mod report;
mod scenes;

use std::process::ExitCode;

use report::Row;

fn main() -> ExitCode {
    let (mut nodes, mut seeds, mut wanted, mut svg) = (vec![10, 100, 1_000, 5_000], 10, Vec::new(), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let is_read = match argument.as_str() {
            "--nodes" => {
                let read: Result<Vec<usize>, _> = value.split(',').map(str::parse).collect();
                read.map(|read| nodes = read).is_ok()
            }
            "--seeds" => value.parse().map(|read| seeds = read).is_ok(),
            "--scene" => {
                wanted.push(value);
                true
            }
            "--svg" => {
                svg = Some(value);
                true
            }
            _ => false,
        };
        if !is_read {
            eprintln!("error: `--nodes 10,100`, `--seeds 10`, `--scene PART` and `--svg FILE` are what there is");
            return ExitCode::from(2);
        }
    }
    let mut rows: Vec<Row> = Vec::new();
    println!("{}", report::heading());
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    for scene in scenes::ALL.into_iter().filter(|scene| is_wanted(scene.name())) {
        for nodes in &nodes {
            // A crowd tells as much in one run as a few in many.
            let seeds = seeds.min(1 + 20_000 / *nodes as u64);
            let row = scenes::play(scene, *nodes, seeds);
            println!("{row}");
            rows.push(row);
        }
    }
    let Some(file) = svg else { return ExitCode::SUCCESS };
    match std::fs::write(&file, plot::draw(&rows)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {file}: {error}");
            ExitCode::FAILURE
        }
    }
}
