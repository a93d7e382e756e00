//! Questions of which somebody knows whether they mean the same, asked of a function that is to be wrong in at most so many of
//! its semantic hits: what is served, how much of that is wrong, and what the best threshold would have served that one could
//! have chosen in hindsight.
//!
//! `cargo run --release --example bounded_error -- PAIRS URL MODEL`, where a line of PAIRS is `{"a": "one question", "b":
//! "another", "label": 1}`, with 0 where they do not mean the same, and URL is an embedder with an API as OpenAI has it.
//!
//! Each pair is a partition of its own, so what is near is only ever the other question of it: for that there is a judgement.
//! The pairs are cut in two halves by a hash of their text. The first half is asked first, and counts as the past; the second
//! half is what has not been seen.

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::future::ready;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::{env, fs};

use serde::Deserialize;
use stampede_runtime::semantic::{Embedder, Embedding, Guard, Guards, OpenAiEmbedder, from_fn};
use stampede_runtime::testing::{isolate_with, settled};
use stampede_runtime::{Config, Outcome, Settings, Stats, outcome, semantic_coalesce};

#[derive(Clone, Deserialize)]
struct Pair {
    a: String,
    b: String,
    label: u8,
}

/// What the people said, for `judge`.
static LABELS: OnceLock<HashMap<[String; 2], bool>> = OnceLock::new();

#[expect(clippy::unused_async, reason = "a judge that is asked elsewhere awaits")]
async fn judge(asked: &str, found: &str, _answer: &usize) -> Result<bool, &'static str> {
    let labels = LABELS.get().ok_or("nobody has said anything")?;
    labels.get(&[asked, found].map(str::to_owned)).copied().ok_or("nobody has judged these")
}

/// The answer is the meaning. What is below the learnt threshold is executed, and each such execution is a label.
#[semantic_coalesce(
    namespace = "shadow",
    query = question,
    key(pair),
    guard(numbers, antonyms, negation, entities, quoted),
    shadow = 0.05,
    max_error = 0.1
)]
async fn by_shadow(pair: usize, question: &str, meaning: usize) -> usize {
    let _ = (pair, question);
    meaning
}

/// The same, judged where that executes. What the judge accepts is served.
#[semantic_coalesce(
    namespace = "verify",
    query = question,
    key(pair),
    guard(numbers, antonyms, negation, entities, quoted),
    verify = judge,
    max_error = 0.1
)]
async fn by_verify(pair: usize, question: &str, meaning: usize) -> usize {
    let _ = (pair, question);
    meaning
}

/// What came of one half.
#[derive(Clone, Copy, Default)]
struct Half {
    hits: u32,
    wrong: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [path, url, model] = arguments.as_slice() else {
        eprintln!("error: it takes the file of pairs, the address of an embedder, and the name of its model");
        return Ok(ExitCode::from(2));
    };
    let text = fs::read_to_string(path)?;
    let pairs: Vec<Pair> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let embedder = OpenAiEmbedder::builder(model).base_url(url).build()?;
    let vectors = Arc::new(embed_all(&embedder, &pairs).await?);
    LABELS.get_or_init(|| {
        let labels = pairs.iter().map(|pair| ([normal(&pair.b), normal(&pair.a)], pair.label == 1));
        labels.collect()
    });
    let (first, second): (Vec<_>, Vec<_>) = pairs.iter().cloned().partition(|pair| hash(pair).is_multiple_of(2));
    println!("{} pairs of the past, {} unseen\n", first.len(), second.len());

    // What is known in hindsight: how near each pair is, and whether it is one.
    let known = compare(&vectors, &second);
    static_thresholds(&known);
    println!("at most  judged by  of the unseen: hits  wrong  rate  in hindsight  threshold  executions  verified");
    for max_error in [0.1, 0.15, 0.2] {
        let best = best(&known, Guards::of(&Guard::ALL), max_error).map_or(0, |(_, hits, _)| hits);
        for namespace in ["shadow", "verify"] {
            let settings = Settings::new().max_error(max_error);
            let config = Config::builder().embedder(kept(&vectors)).namespace(namespace, settings).build()?;
            let _isolated = isolate_with(config);
            ask(namespace, &first, 0).await;
            let unseen = ask(namespace, &second, first.len()).await;
            let stats = if namespace == "shadow" { by_shadow::stats() } else { by_verify::stats() };
            row(max_error, namespace, unseen, best, &stats);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn hash(pair: &Pair) -> u64 {
    // The same in each run of one version of the library.
    let mut hasher = DefaultHasher::new();
    (&pair.a, &pair.b).hash(&mut hasher);
    hasher.finish()
}

/// Asks both questions of each pair, one after the other.
async fn ask(namespace: &str, pairs: &[Pair], from: usize) -> Half {
    let mut half = Half::default();
    for (at, pair) in pairs.iter().enumerate() {
        let (at, is_same) = (from + at, pair.label == 1);
        let meanings = [2 * at, 2 * at + usize::from(!is_same)];
        for ((question, meaning), is_first) in [&pair.a, &pair.b].into_iter().zip(meanings).zip([true, false]) {
            let (answer, became) = match namespace {
                "shadow" => outcome(by_shadow(at, question, meaning)).await,
                _ => outcome(by_verify(at, question, meaning)).await,
            };
            if matches!(became, Some(Outcome::Semantic { .. })) {
                half.hits += 1;
                half.wrong += u32::from(answer != meaning);
            }
            if is_first {
                // Only what is kept can be found.
                settled().await;
            }
        }
    }
    half
}

/// How near, whether the same, and which pair.
type Known<'a> = Vec<(f32, &'a Pair)>;

/// By question, in the form in which it is embedded.
type Vectors = HashMap<String, Vec<f32>>;

/// All vectors, each asked for once.
async fn embed_all(embedder: &OpenAiEmbedder, pairs: &[Pair]) -> Result<Vectors, Box<dyn Error>> {
    let mut vectors = Vectors::new();
    let texts: Vec<String> = pairs.iter().flat_map(|pair| [&pair.a, &pair.b]).map(|text| normal(text)).collect();
    for batch in texts.chunks(embedder.batch_max()) {
        vectors.extend(batch.iter().cloned().zip(embedder.embed(batch).await?));
    }
    Ok(vectors)
}

/// An embedder that knows them. What it does not know has no vector, and is near to nothing.
fn kept(vectors: &Arc<Vectors>) -> impl Embedder + use<> {
    let vectors = Arc::clone(vectors);
    from_fn("kept", 0, move |texts: Vec<String>| {
        let of = |text: &String| vectors.get(text).cloned().unwrap_or_default();
        ready(Ok::<_, Infallible>(texts.iter().map(of).collect()))
    })
}

/// What is embedded of a question, but for a few signs that Unicode has twice.
fn normal(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn compare<'a>(vectors: &Vectors, pairs: &'a [Pair]) -> Known<'a> {
    let similarity = |pair: &Pair| {
        let embedding = |text: &str| Embedding::new(vectors.get(&normal(text))?.clone(), 0).ok();
        embedding(&pair.a)?.similarity(&embedding(&pair.b)?)
    };
    let mut known: Known<'a> = pairs.iter().filter_map(|pair| Some((similarity(pair)?, pair))).collect();
    known.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    known
}

/// The threshold of at least 0.7 that serves most while at most that part of it is wrong: it, hits, and how many are wrong.
fn best(known: &Known<'_>, guards: Guards, max_error: f64) -> Option<(f32, u32, u32)> {
    let (mut hits, mut wrong, mut best) = (0, 0, None);
    for (similarity, pair) in known.iter().take_while(|(similarity, _)| *similarity >= 0.7) {
        if guards.refuse(&pair.b, &pair.a).is_none() {
            hits += 1;
            wrong += u32::from(pair.label == 0);
            if f64::from(wrong) <= max_error * f64::from(hits) {
                best = Some((*similarity, hits, wrong));
            }
        }
    }
    best
}

/// What a threshold alone does, and what guards add to it.
fn static_thresholds(known: &Known<'_>) {
    println!("the best thresholds in hindsight\n\nat most  guards   threshold  right  wrong");
    for max_error in [0.05, 0.1, 0.15, 0.2] {
        for (name, guards) in [("none", Guards::NONE), ("default", Guards::default()), ("all", Guards::of(&Guard::ALL))]
        {
            let (threshold, hits, wrong) = best(known, guards, max_error).unwrap_or_default();
            println!("{max_error:>7.2}  {name:<7}  {threshold:>9.3}  {:>5}  {wrong:>5}", hits - wrong);
        }
    }
    println!();
}

fn row(max_error: f64, namespace: &str, Half { hits, wrong }: Half, best: u32, stats: &Stats) {
    let rate = if hits == 0 { 0.0 } else { 100.0 * f64::from(wrong) / f64::from(hits) };
    let threshold = stats.semantic.bound.as_ref().and_then(|bound| bound.threshold);
    let threshold = threshold.map_or_else(|| "none".to_owned(), |threshold| format!("{threshold:.3}"));
    println!(
        "{max_error:>7.2}  {namespace:<9}  {hits:>20}  {wrong:>5}  {rate:>3.1}%  {best:>12}  {threshold:>9}  {:>10}  {:>8}",
        stats.executions,
        stats.semantic.verify.same + stats.semantic.verify.different,
    );
}
