//! The index in this process, beside a bare loop over a `Vec` of vectors: by how much more does it take to look for the
//! nearest of 1,000, 10,000 and 50,000 entries? Answered: at most 1.2 times as long.
//!
//! The loop does what has to be done and nothing else: a scalar product for each entry, with as many sums at a time as the
//! index has, and the greatest of them. An exact look-up needs no scan, and is shown for comparison.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stampede_runtime::semantic::index::{Index, New, Partition};
use stampede_runtime::semantic::{EmbeddedIndex, Embedding};

use crate::measure::{Effort, Runner, block_on, interleave, median, quantile, runtime};
use crate::report::{Row, Section};

/// Of a small sentence transformer.
const DIMENSIONS: usize = 384;
const ENTRIES: [usize; 3] = [1_000, 10_000, 50_000];
/// Looks of one round.
const LOOKS: usize = 20;
const RESPONSE_BYTES: usize = 200;

const LOOP: &str = "loop over a Vec, nearest";
const NEAREST: &str = "EmbeddedIndex, nearest";
const EXACT: &str = "EmbeddedIndex, exact";

pub(super) fn measure(effort: &Effort) -> Vec<Section> {
    ENTRIES.iter().map(|&entries| section(entries, effort)).collect()
}

fn section(entries: usize, effort: &Effort) -> Section {
    let mut random = fastrand::Rng::with_seed(0x5a1f_ed00_c0ff_ee42);
    let embeddings: Arc<[Embedding]> = (0..entries).map(|_| embedding(&mut random)).collect();
    let questions: Arc<[Embedding]> = (0..LOOKS).map(|_| embedding(&mut random)).collect();
    let index = Arc::new(EmbeddedIndex::new());
    let of = partition();
    let response = "x".repeat(RESPONSE_BYTES);
    block_on(&runtime(), async {
        for (number, embedding) in embeddings.iter().enumerate() {
            let new = New {
                hash: hash(number),
                question: "what is asked for",
                embedding,
                response: &response,
                ttl: Duration::from_secs(3600),
                retention: Duration::ZERO,
                cost: Duration::ZERO,
                began: Instant::now(),
                capacity: entries,
            };
            assert!(index.put(&of, new).await.expect("it is in this process"));
        }
    });
    let mut runners = vec![
        by_loop(&embeddings, Arc::clone(&questions)),
        nearest(Arc::clone(&index), questions),
        exact(index, entries),
    ];
    let rounds = interleave(&mut runners, effort.of(51, 5));
    let rounds: Vec<Vec<f64>> = rounds.iter().map(|rounds| rounds.concat()).collect();
    let floor = median(&rounds[0], |nanos| *nanos);
    let rows = runners.iter().zip(&rounds).map(|(runner, nanos)| {
        let middle = median(nanos, |nanos| *nanos);
        let ratio = middle / floor;
        let mut row = Row::new(runner.name, [middle / 1e3, quantile(nanos, |nanos| *nanos, 0.99) / 1e3, ratio]);
        if runner.name == NEAREST {
            row.goal("≤ 1.2 of the loop", ratio <= 1.2);
        }
        row
    });
    Section {
        name: "semantic",
        title: format!("nearest of {entries} × {DIMENSIONS} in this process"),
        columns: vec!["us p50", "us p99", "of loop"],
        rows: rows.collect(),
    }
}

fn by_loop(embeddings: &[Embedding], questions: Arc<[Embedding]>) -> Runner<Vec<f64>> {
    // An allocation each.
    let vectors: Vec<Vec<f32>> = embeddings.iter().map(|embedding| embedding.as_slice().to_vec()).collect();
    Runner::new(LOOP, move || {
        let look = |to: &Embedding| {
            let products = vectors.iter().map(|vector| dot(to.as_slice(), vector));
            products.enumerate().max_by(|one, other| one.1.total_cmp(&other.1))
        };
        questions.iter().map(|to| timed(|| assert!(black_box(look(black_box(to))).is_some()))).collect()
    })
}

fn nearest(index: Arc<EmbeddedIndex>, questions: Arc<[Embedding]>) -> Runner<Vec<f64>> {
    let (runtime, of) = (runtime(), partition());
    Runner::new(NEAREST, move || {
        let look = |to| block_on(&runtime, index.nearest(&of, to, 1)).expect("it is in this process");
        questions.iter().map(|to| timed(|| assert_eq!(look(black_box(to)).len(), 1))).collect()
    })
}

fn exact(index: Arc<EmbeddedIndex>, entries: usize) -> Runner<Vec<f64>> {
    let (runtime, of) = (runtime(), partition());
    Runner::new(EXACT, move || {
        let look = |at: usize| {
            let hash = hash(at * entries / LOOKS);
            let found = block_on(&runtime, index.exact(&of, black_box(&hash)));
            found.expect("it is in this process").is_some()
        };
        (0..LOOKS).map(|at| timed(|| assert!(look(at)))).collect()
    })
}

fn timed(work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_nanos() as f64
}

fn partition() -> Partition {
    Partition { namespace: "bench".into(), model: "noise".into(), tenant: "".into(), arguments: [0; 32] }
}

fn hash(number: usize) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&(number as u64).to_le_bytes());
    hash
}

fn embedding(random: &mut fastrand::Rng) -> Embedding {
    let numbers = (0..DIMENSIONS).map(|_| random.f32() - 0.5).collect();
    Embedding::new(numbers, DIMENSIONS).expect("noise has a direction")
}

/// Sixteen sums at a time, which a compiler makes vectors of.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    for (one, other) in one.chunks_exact(16).zip(other.chunks_exact(16)) {
        for (sum, (one, other)) in sums.iter_mut().zip(one.iter().zip(other)) {
            *sum += one * other;
        }
    }
    sums.iter().sum()
}
