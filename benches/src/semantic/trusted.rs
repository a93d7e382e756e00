//! What `verify`, `shadow` and `max_error` cost: near questions of a function that has none of them, beside functions that have.
//! Wished: an exact hit takes what it takes without; where nobody is asked, a near hit takes at most a tenth longer (not reached where
//! each tenth is executed: a fifth to a quarter); where a judge is asked, as long as that takes.
//!
//! One caller asks, one question after the other, each in words that nobody has used yet, and each near to one that has an answer.
//! Before the next one it waits until what was begun behind it has ended, and that is not counted: a hit is measured as its
//! caller has it. Bodies sleep 20 ms, as if they waited for a model, and so does the judge, for 2 ms; one that answers at once
//! shows what is ours. Sleep is counted in whole milliseconds, and one more. Embeddings cost next to nothing: they are read from
//! the words.

use std::convert::Infallible;
use std::fmt::{self, Display, Formatter};
use std::future::Future;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use stampede_runtime::{Stats, semantic_coalesce};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::measure::{Effort, Runner, block_on, interleave, least, quantile, runtime};
use crate::report::{Row, Section};

const DIMENSIONS: usize = 384;
/// Questions that have an answer.
const TOPICS: usize = 500;
/// How long bodies take, and judges that take any time, in milliseconds.
const BODY: u64 = 20;
const JUDGE: u64 = 2;
/// Near questions of one round.
const MANY: usize = 200;
/// The same where each is executed.
const FEW: usize = 20;
/// Exact questions of one round.
const EXACT: usize = 4_000;
/// What has not learnt by then never will.
const LABELS_MAX: u64 = 5_000;

static EXECUTED: AtomicU64 = AtomicU64::new(0);
static JUDGED: AtomicU64 = AtomicU64::new(0);
/// How long each takes now, in milliseconds.
static BODY_TAKES: AtomicU64 = AtomicU64::new(0);
static JUDGE_TAKES: AtomicU64 = AtomicU64::new(0);

async fn take(millis: &AtomicU64) {
    match millis.load(Relaxed) {
        0 => (),
        millis => sleep(Duration::from_millis(millis)).await,
    }
}

/// The answer is the topic, however it is asked for: no near hit is wrong.
async fn body(question: &str) -> usize {
    EXECUTED.fetch_add(1, Relaxed);
    take(&BODY_TAKES).await;
    Question::read(question).topic
}

async fn yes(_asked: &str, _found: &str, _answer: &usize) -> bool {
    JUDGED.fetch_add(1, Relaxed);
    take(&JUDGE_TAKES).await;
    true
}

async fn no(asked: &str, found: &str, answer: &usize) -> bool {
    !yes(asked, found, answer).await
}

/// What is measured.
trait Function: 'static {
    fn ask(question: &str) -> impl Future<Output = usize>;
    fn stats() -> Stats;
    /// Memory forgets its answers. The index and the verdicts stay.
    fn forget();
    /// All of that is forgotten. What was learnt stays.
    fn clear() -> impl Future<Output = ()>;
}

/// Functions that differ in nothing but these words.
macro_rules! functions {
    ($($name:ident: $function:ident($($words:tt)*);)*) => {
        $(
            #[semantic_coalesce(embed = embed, ttl = "1h", capacity = 100_000, $($words)*)]
            async fn $function(question: &str) -> usize {
                body(question).await
            }

            struct $name;

            impl Function for $name {
                fn ask(question: &str) -> impl Future<Output = usize> {
                    $function(question)
                }

                fn stats() -> Stats {
                    $function::stats()
                }

                fn forget() {
                    $function::invalidate_where(|_| true);
                }

                async fn clear() {
                    $function::clear().await.expect("all of it is in this process");
                }
            }
        )*
    };
}

functions! {
    Plain: plain();
    Verified: verified(verify = yes);
    Refused: refused(verify = no);
    ShadowedLittle: shadowed_little(shadow = "1%");
    ShadowedMore: shadowed_more(shadow = "10%");
    BoundByVerify: bound_by_verify(verify = yes, max_error = "2%");
    BoundByShadow: bound_by_shadow(shadow = "1%", max_error = "2%");
}

/// Where a near question is answered without a verdict of its own, and without an execution before the answer.
const ASK_NOBODY: [&str; 4] = ["verify, remembered", "shadow 1%", "shadow 10%", "max_error 2%, shadow 1%"];
const AT_ONCE: &str = "verify: yes, at once";

pub(super) fn measure(effort: &Effort) -> Vec<Section> {
    let asking = Rc::new(runtime());
    block_on(&asking, async {
        learn::<BoundByVerify>().await;
        learn::<BoundByShadow>().await;
    });
    let runners = vec![
        near::<Plain>("nothing else", &asking),
        near::<Verified>(AT_ONCE, &asking),
        judged::<Verified>("verify: yes, in 2 ms", &asking, MANY),
        remembered::<Verified>("verify, remembered", &asking),
        judged::<Refused>("verify: no, in 2 ms", &asking, FEW),
        near::<ShadowedLittle>("shadow 1%", &asking),
        near::<ShadowedMore>("shadow 10%", &asking),
        judged::<BoundByVerify>("max_error 2%, verify", &asking, MANY),
        near::<BoundByShadow>("max_error 2%, shadow 1%", &asking),
    ];
    let mut near = effort.choose(runners, 1);
    let rounds = interleave(&mut near, effort.of(20, 3));
    let rows = rows(&near, &rounds);
    let exact_runners = vec![
        exact::<Plain>("nothing else", &asking),
        exact::<Verified>("verify", &asking),
        exact::<ShadowedMore>("shadow 10%", &asking),
        exact::<BoundByVerify>("max_error 2%, verify", &asking),
        exact::<BoundByShadow>("max_error 2%, shadow 1%", &asking),
    ];
    let mut exact = effort.choose(exact_runners, 1);
    let rounds = interleave(&mut exact, effort.of(51, 5));
    let floor = least(&rounds[0], |nanos| *nanos);
    let exact_rows = exact.iter().zip(&rounds).map(|(runner, nanos)| {
        let nanos = least(nanos, |nanos| *nanos);
        let mut row = Row::new(runner.name, [nanos, nanos / floor]);
        if runner.name != exact[0].name {
            row.goal("≤ 1.1 of it", nanos / floor <= 1.1);
        }
        row
    });
    let exact_rows = exact_rows.collect();
    vec![
        Section {
            name: "semantic",
            title: format!("near hit, {TOPICS} × {DIMENSIONS} here"),
            columns: vec!["calls", "hits", "executed", "judged", "us p50", "us p99", "p50 of it"],
            rows,
        },
        Section {
            name: "semantic",
            title: "exact hit of these".to_owned(),
            columns: vec!["ns", "of it"],
            rows: exact_rows,
        },
    ]
}

fn rows(runners: &[Runner<Sample>], rounds: &[Vec<Sample>]) -> Vec<Row> {
    let micros = |samples: &[Sample], at| {
        let all: Vec<f64> = samples.iter().flat_map(|sample| sample.micros.iter().copied()).collect();
        quantile(&all, |micros| *micros, at)
    };
    let floor = micros(&rounds[0], 0.5);
    let row = |(runner, samples): (&Runner<Sample>, &Vec<Sample>)| {
        let sum = |figure: fn(&Sample) -> u64| samples.iter().map(figure).sum::<u64>() as f64;
        let middle = micros(samples, 0.5);
        let figures = [
            sum(|sample| sample.micros.len() as u64),
            sum(|sample| sample.hits),
            sum(|sample| sample.executed),
            sum(|sample| sample.judged),
            middle,
            micros(samples, 0.99),
            middle / floor,
        ];
        let mut row = Row::new(runner.name, figures);
        if ASK_NOBODY.contains(&runner.name) {
            row.goal("≤ 1.1 of it", middle / floor <= 1.1);
        } else if runner.name == AT_ONCE {
            row.goal("≤ 1.5 of it", middle / floor <= 1.5);
        }
        row
    };
    runners.iter().zip(rounds).map(row).collect()
}

/// What came of one round.
struct Sample {
    /// How long each call took its caller.
    micros: Vec<f64>,
    hits: u64,
    executed: u64,
    judged: u64,
}

/// Near questions of a function whose judge, if it has any, answers at once.
fn near<F: Function>(name: &'static str, asking: &Rc<Runtime>) -> Runner<Sample> {
    runner::<F>(name, asking, 0, MANY, false)
}

fn judged<F: Function>(name: &'static str, asking: &Rc<Runtime>, calls: usize) -> Runner<Sample> {
    runner::<F>(name, asking, JUDGE, calls, false)
}

/// They have been asked before, and memory has forgotten it.
fn remembered<F: Function>(name: &'static str, asking: &Rc<Runtime>) -> Runner<Sample> {
    runner::<F>(name, asking, JUDGE, MANY, true)
}

fn runner<F: Function>(
    name: &'static str,
    asking: &Rc<Runtime>,
    judge: u64,
    calls: usize,
    is_remembered: bool,
) -> Runner<Sample> {
    let asking = Rc::clone(asking);
    Runner::new(name, move || {
        let questions: Vec<String> = (0..calls).map(|_| Question::new().to_string()).collect();
        block_on(&asking, async {
            // What was executed in the round before is in the index, too.
            F::clear().await;
            warm::<F>().await;
            if is_remembered {
                for question in &questions {
                    call::<F>(question).await;
                }
                F::forget();
            }
            BODY_TAKES.store(BODY, Relaxed);
            JUDGE_TAKES.store(judge, Relaxed);
            let (before, executed, judged) = (F::stats(), EXECUTED.load(Relaxed), JUDGED.load(Relaxed));
            let mut micros = Vec::with_capacity(questions.len());
            for question in &questions {
                micros.push(call::<F>(question).await);
            }
            BODY_TAKES.store(0, Relaxed);
            JUDGE_TAKES.store(0, Relaxed);
            Sample {
                micros,
                hits: F::stats().semantic.index_hits - before.semantic.index_hits,
                executed: EXECUTED.load(Relaxed) - executed,
                judged: JUDGED.load(Relaxed) - judged,
            }
        })
    })
}

/// Each topic has an answer.
async fn warm<F: Function>() {
    for topic in 0..TOPICS {
        call::<F>(&Question { topic, wording: 0 }.to_string()).await;
    }
}

/// What is to be learnt has been: all that is near is near enough.
async fn learn<F: Function>() {
    warm::<F>().await;
    let mut labels = 0;
    while F::stats().semantic.bound.is_some_and(|bound| bound.levels.last().is_none_or(|level| !level.is_served)) {
        call::<F>(&Question::new().to_string()).await;
        labels += 1;
        assert!(labels < LABELS_MAX, "it does not learn");
    }
}

/// How long that takes its caller, in microseconds. What goes on behind has ended when it returns.
async fn call<F: Function>(question: &str) -> f64 {
    let begin = Instant::now();
    let answer = F::ask(black_box(question)).await;
    let micros = begin.elapsed().as_nanos() as f64 / 1e3;
    assert_eq!(answer, Question::read(question).topic);
    while F::stats().in_flight > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    micros
}

/// Nanoseconds of each.
fn exact<F: Function>(name: &'static str, asking: &Rc<Runtime>) -> Runner<f64> {
    let asking = Rc::clone(asking);
    let questions: Vec<String> = (0..64).map(|topic| Question { topic, wording: 0 }.to_string()).collect();
    block_on(&asking, warm::<F>());
    // What was forgotten is in the index, and that is no exact hit of memory.
    Runner::new(name, move || {
        let executed = EXECUTED.load(Relaxed);
        let begin = Instant::now();
        block_on(&asking, async {
            for question in questions.iter().cycle().take(EXACT) {
                black_box(F::ask(black_box(question)).await);
            }
        });
        assert_eq!(EXECUTED.load(Relaxed), executed, "not all were hits");
        begin.elapsed().as_nanos() as f64 / EXACT as f64
    })
}

/// A topic, and in which words it is asked for; 0: those that have the answer.
#[derive(Clone, Copy)]
struct Question {
    topic: usize,
    wording: usize,
}

impl Question {
    /// One that nobody has asked.
    fn new() -> Question {
        static NEXT: AtomicUsize = AtomicUsize::new(TOPICS);
        let next = NEXT.fetch_add(1, Relaxed);
        Question { topic: next % TOPICS, wording: next / TOPICS }
    }

    fn read(text: &str) -> Question {
        let digit = |letter| LETTERS.iter().position(|of| *of == letter).expect("a letter of ours");
        let number = |word: &str| word.bytes().fold(0, |number, letter| 16 * number + digit(letter));
        let (rest, wording) = text.rsplit_once(" in words of ").expect("a question of ours");
        let (_, topic) = rest.rsplit_once(' ').expect("a question of ours");
        Question { topic: number(topic), wording: number(wording) }
    }

    /// Two wordings of one topic are less near to one another than the default threshold.
    fn embedding(self) -> Vec<f32> {
        let mut numbers = TOPIC_EMBEDDINGS[self.topic].clone();
        if self.wording > 0 {
            numbers[self.wording % DIMENSIONS] += 0.3;
        }
        numbers
    }
}

/// Digits of no word that a guard knows.
const LETTERS: &[u8; 16] = b"bcdfghjklmnpqrst";

impl Display for Question {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = |number: usize| -> String {
            let digit = |at| char::from(LETTERS[(number >> (4 * at)) % LETTERS.len()]);
            (0..4).rev().map(digit).collect()
        };
        write!(f, "what is to be known about {} in words of {}", word(self.topic), word(self.wording))
    }
}

static TOPIC_EMBEDDINGS: LazyLock<Vec<Vec<f32>>> = LazyLock::new(|| {
    let mut random = fastrand::Rng::with_seed(0x5a1f_ed00_c0ff_ee42);
    let mut embedding = || {
        let numbers: Vec<f32> = (0..DIMENSIONS).map(|_| random.f32() - 0.5).collect();
        let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt();
        numbers.into_iter().map(|number| number / length).collect()
    };
    (0..TOPICS).map(|_| embedding()).collect()
});

async fn embed(texts: Vec<String>) -> Result<Vec<Vec<f32>>, Infallible> {
    Ok(texts.iter().map(|text| Question::read(text).embedding()).collect())
}
