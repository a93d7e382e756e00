//! A stampede of four processes: 10,000 callers of one key, all at once, of a body of 5 ms. Answered: one execution.
//!
//! Ours sends one request for each process. By hand every caller asks for the lease itself, and waits for the message.

use super::child::{Ask, Child, Said, stamp};
use super::wake::Way;
use crate::measure::{Effort, median};
use crate::report::{Row, Section};

const PROCESSES: usize = 4;
const CALLERS: usize = 2_500;

struct Sample {
    executions: u64,
    millis: f64,
}

const WAYS: [(Way, &str); 2] =
    [(Way::Floor, "raw SET NX, message, GET, each caller"), (Way::Ours, "stampede #[distributed_coalesce]")];

pub(super) fn measure(url: &str, effort: &Effort) -> Vec<Section> {
    let mut children: Vec<Child> = (0..PROCESSES).map(|_| Child::start(url)).collect();
    let mut samples = WAYS.map(|_| Vec::new());
    // Rounds that no other measurement has had.
    let mut round = 1_000_000;
    for at in 0..=effort.of(21, 5) {
        for ((way, _), samples) in WAYS.iter().zip(&mut samples) {
            round += 1;
            let sample = stampede(&mut children, *way, round);
            // One of each is not counted.
            if at > 0 {
                samples.push(sample);
            }
        }
    }
    let rows = WAYS.iter().zip(&samples).map(|((way, name), samples)| {
        let executions = samples.iter().map(|sample| sample.executions).max().unwrap_or(0);
        let millis = |of: &[Sample]| median(of, |sample| sample.millis);
        let mut row = Row::new(name, [executions as f64, millis(samples)]);
        if *way == Way::Ours {
            row.goal("1 execution", executions == 1);
        }
        row
    });
    vec![Section {
        name: "redis",
        title: format!("{PROCESSES} processes x {CALLERS} callers, body 5 ms"),
        columns: vec!["executions", "wall ms"],
        rows: rows.collect(),
    }]
}

fn stampede(children: &mut [Child], way: Way, round: u64) -> Sample {
    let begin = stamp();
    for child in &mut *children {
        child.tell(&Ask::Call { way, round, callers: CALLERS });
    }
    let (mut executions, mut end) = (0, begin);
    for child in children {
        let Said::Answered { executions: of_one, last } = child.hear() else { panic!("it was told to call") };
        executions += of_one;
        end = end.max(last);
    }
    Sample { executions, millis: (end - begin) as f64 / 1e6 }
}
