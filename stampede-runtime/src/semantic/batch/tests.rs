use std::error::Error as _;
use std::sync::mpsc;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;
use crate::semantic::{Embedded, from_fn};

const EMBED_TIMEOUT: Duration = Duration::from_secs(5);

/// What the embedder answers to a call of these texts.
type Reply = fn(&[String]) -> Result<Vec<Vec<f32>>, EmbedError>;

/// An embedder that notes what it is asked, and answers when the test says so.
struct Gate {
    asked: watch::Sender<Vec<Vec<String>>>,
    open: Semaphore,
    batch_max: usize,
    reply: Reply,
}

/// A vector that tells which text it is of.
fn vector(text: &str) -> Vec<f32> {
    vec![1.0, text.len() as f32]
}

#[expect(clippy::unnecessary_wraps, reason = "other replies are errors")]
fn vectors(texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
    Ok(texts.iter().map(|text| vector(text)).collect())
}

impl Gate {
    /// `open`: how many calls are answered without the test.
    fn new(batch_max: usize, open: usize, reply: Reply) -> Arc<Gate> {
        Arc::new(Gate { asked: watch::channel(Vec::new()).0, open: Semaphore::new(open), batch_max, reply })
    }

    /// Waits until the embedder has been called so often, and says for what.
    async fn called(&self, times: usize) -> Vec<Vec<String>> {
        self.asked.subscribe().wait_for(|asked| asked.len() >= times).await.unwrap().clone()
    }

    fn calls(&self) -> Vec<Vec<String>> {
        self.asked.borrow().clone()
    }
}

impl Embedder for Gate {
    fn model_id(&self) -> &'static str {
        "gate"
    }

    fn dimensions(&self) -> usize {
        2
    }

    fn batch_max(&self) -> usize {
        self.batch_max
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        Box::pin(async move {
            self.asked.send_modify(|asked| asked.push(texts.to_vec()));
            self.open.acquire().await.unwrap().forget();
            (self.reply)(texts)
        })
    }
}

const OPEN: usize = Semaphore::MAX_PERMITS;

fn batcher(gate: &Arc<Gate>) -> Batcher {
    Batcher::new(Arc::clone(gate) as _, 0, EMBED_TIMEOUT)
}

fn call(batcher: &Batcher, text: &str) -> JoinHandle<Answer> {
    let (batcher, text) = (batcher.clone(), text.to_owned());
    tokio::spawn(async move { batcher.embed(&text).await })
}

fn right(text: &str) -> Embedding {
    Embedding::new(vector(text), 2).unwrap()
}

/// Polls all that can go on, until nothing can.
async fn calm() {
    for _ in 0..20 {
        yield_now().await;
    }
}

fn kind_of(answer: Answer) -> EmbedErrorKind {
    answer.unwrap_err().kind()
}

/// No lane is left behind, whatever has happened.
fn assert_idle(batcher: &Batcher) {
    assert!(batcher.0.lanes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lone_caller_waits_for_nobody() {
    let gate = Gate::new(64, OPEN, vectors);
    let batcher = batcher(&gate);
    let began = tokio::time::Instant::now();
    assert_eq!(batcher.embed("alone").await.unwrap(), right("alone"));
    // Time stands still but for timers, and none was waited for.
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(gate.calls(), [["alone"]]);
    calm().await;
    assert_idle(&batcher);
}

#[tokio::test]
async fn what_is_kept_says_how_many_dimensions_there_are_where_the_embedder_does_not() {
    for (kept, is_right) in [(0, true), (2, true), (3, false)] {
        let silent = from_fn("silent", 0, |texts: Vec<String>| async move { vectors(&texts) });
        let batcher = Batcher::new(Arc::new(silent), kept, EMBED_TIMEOUT);
        assert_eq!(batcher.embed("a").await.is_ok(), is_right, "{kept}");
        assert_eq!(batcher.counted().invalid, u64::from(!is_right), "{kept}");
    }
}

#[tokio::test]
async fn texts_of_one_moment_go_together_and_equal_ones_once() {
    let gate = Gate::new(64, OPEN, vectors);
    let batcher = batcher(&gate);
    let calls = ["a", "bb", "a", "ccc"].map(|text| (text, call(&batcher, text)));
    for (text, call) in calls {
        assert_eq!(call.await.unwrap().unwrap(), right(text));
    }
    assert_eq!(gate.calls(), [["a", "bb", "ccc"]]);
    let counted = batcher.counted();
    assert_eq!((counted.calls, counted.embeddings, counted.invalid), (1, 3, 0));
}

#[tokio::test]
async fn a_thousand_callers_are_a_few_batches() {
    let gate = Gate::new(64, OPEN, vectors);
    let batcher = batcher(&gate);
    let calls: Vec<_> = (0..1_000).map(|at| call(&batcher, &"x".repeat(at))).collect();
    for (at, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), right(&"x".repeat(at)));
    }
    // The fewest that can be: all but the last are full.
    assert_eq!(gate.calls().len(), 16);
    calm().await;
    assert_idle(&batcher);
}

#[tokio::test]
async fn a_text_that_comes_later_begins_its_own_batch_until_all_are_under_way() {
    let gate = Gate::new(64, 0, vectors);
    let batcher = batcher(&gate);
    let mut calls = Vec::new();
    for (at, text) in ["a", "b", "c", "d"].into_iter().enumerate() {
        calls.push(call(&batcher, text));
        gate.called(at + 1).await;
    }
    calls.extend(["e", "f", "a"].map(|text| call(&batcher, text)));
    calm().await;
    assert_eq!(gate.calls(), [["a"], ["b"], ["c"], ["d"]], "{RUNNERS_MAX} batches are under way, and no more");

    gate.open.add_permits(1);
    assert_eq!(gate.called(5).await[4], ["e", "f"]);
    gate.open.add_permits(OPEN - 4);
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
    calm().await;
    assert_idle(&batcher);
}

#[tokio::test]
async fn who_joins_a_text_under_way_has_its_answer() {
    let gate = Gate::new(64, 0, vectors);
    let batcher = batcher(&gate);
    let first = call(&batcher, "a");
    gate.called(1).await;
    let second = call(&batcher, "a");
    calm().await;
    gate.open.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap(), second.await.unwrap().unwrap());
    assert_eq!(gate.calls().len(), 1);
    // What has been answered is not kept: that is the index's.
    gate.open.add_permits(1);
    batcher.embed("a").await.unwrap();
    assert_eq!(gate.calls().len(), 2);
}

#[tokio::test]
async fn a_dropped_caller_hurts_nobody() {
    let gate = Gate::new(64, 0, vectors);
    let batcher = batcher(&gate);
    let (first, other) = (call(&batcher, "a"), call(&batcher, "b"));
    gate.called(1).await;
    let joined = call(&batcher, "a");
    calm().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.open.add_permits(1);
    assert_eq!(joined.await.unwrap().unwrap(), right("a"));
    assert_eq!(other.await.unwrap().unwrap(), right("b"));
}

#[tokio::test]
async fn a_text_that_nobody_waits_for_any_more_is_not_asked_for() {
    let gate = Gate::new(1, 0, vectors);
    let batcher = batcher(&gate);
    let mut calls: Vec<_> = ["a", "b", "c", "d"].map(|text| call(&batcher, text)).into();
    gate.called(RUNNERS_MAX).await;
    let gone = call(&batcher, "gone");
    calls.push(call(&batcher, "stays"));
    calm().await;
    gone.abort();
    calm().await;
    gate.open.add_permits(OPEN);
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
    assert_eq!(gate.calls().concat(), ["a", "b", "c", "d", "stays"]);
    calm().await;
    assert_idle(&batcher);
}

#[tokio::test(start_paused = true)]
async fn an_embedder_that_never_answers_is_late() {
    let gate = Gate::new(64, 0, vectors);
    let batcher = Batcher::new(Arc::clone(&gate) as _, 0, Duration::from_secs(2));
    let began = tokio::time::Instant::now();
    assert_eq!(kind_of(batcher.embed("a").await), EmbedErrorKind::TimedOut);
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    calm().await;
    assert_eq!(batcher.counted().failed(EmbedErrorKind::TimedOut), 1);
    assert_idle(&batcher);
    // The call was dropped, and what it waited for with it: the next one is answered.
    gate.open.add_permits(1);
    assert!(batcher.embed("a").await.is_ok());
}

#[tokio::test]
async fn a_panic_is_an_error_for_its_batch_alone() {
    let gate = Gate::new(64, OPEN, |texts| if texts[0] == "bad" { panic!("on purpose") } else { vectors(texts) });
    let batcher = batcher(&gate);
    let calls = ["bad", "b"].map(|text| call(&batcher, text));
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), EmbedErrorKind::Other);
        assert_eq!(error.source().unwrap().to_string(), "it has panicked");
    }
    assert_eq!(batcher.embed("b").await.unwrap(), right("b"));
    assert_eq!(batcher.counted().failed(EmbedErrorKind::Other), 1);
    calm().await;
    assert_idle(&batcher);
}

#[tokio::test]
async fn a_panic_before_the_future_is_one_too() {
    struct Rash;
    impl Embedder for Rash {
        fn model_id(&self) -> &'static str {
            "rash"
        }
        fn dimensions(&self) -> usize {
            0
        }
        fn embed<'a>(&'a self, _: &'a [String]) -> Embedded<'a> {
            panic!("on purpose")
        }
    }
    let batcher = Batcher::new(Arc::new(Rash), 0, EMBED_TIMEOUT);
    assert_eq!(kind_of(batcher.embed("a").await), EmbedErrorKind::Other);
    calm().await;
    assert_idle(&batcher);
}

#[tokio::test]
async fn a_wrong_number_of_vectors_fails_the_batch() {
    for reply in [(|_| Ok(Vec::new())) as Reply, |_| Ok(vec![vec![1.0, 1.0]]), |_| Ok(vec![vec![1.0, 1.0]; 3])] {
        let gate = Gate::new(64, OPEN, reply);
        let batcher = batcher(&gate);
        for call in ["a", "b"].map(|text| call(&batcher, text)) {
            assert_eq!(kind_of(call.await.unwrap()), EmbedErrorKind::Invalid);
        }
        assert_eq!(batcher.counted().failed(EmbedErrorKind::Invalid), 1);
    }
}

#[tokio::test]
async fn a_wrong_vector_fails_its_own_text_alone() {
    let gate = Gate::new(64, OPEN, |texts| {
        let wrong = |text: &String| match text.as_str() {
            "nan" => vec![f32::NAN, 1.0],
            "infinite" => vec![f32::INFINITY, 1.0],
            "zero" => vec![0.0, 0.0],
            "empty" => vec![],
            "long" => vec![1.0; 3],
            text => vector(text),
        };
        Ok(texts.iter().map(wrong).collect())
    });
    let batcher = batcher(&gate);
    let wrong = ["nan", "infinite", "zero", "empty", "long"];
    let good = call(&batcher, "good");
    let calls = wrong.map(|text| call(&batcher, text));
    for call in calls {
        assert_eq!(kind_of(call.await.unwrap()), EmbedErrorKind::Invalid);
    }
    assert_eq!(good.await.unwrap().unwrap(), right("good"));
    assert_eq!(gate.calls().len(), 1);
    let counted = batcher.counted();
    assert_eq!((counted.embeddings, counted.invalid, counted.failures.iter().sum::<u64>()), (1, 5, 0));
}

fn no_long_ones(texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
    if texts.iter().any(|text| text.starts_with("long")) {
        return Err(EmbedError::new(EmbedErrorKind::Unsuitable, "too long"));
    }
    vectors(texts)
}

#[tokio::test]
async fn a_text_that_is_not_taken_fails_alone() {
    let texts = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff", "ggggggg"];
    for at in 0..=texts.len() {
        let gate = Gate::new(64, OPEN, no_long_ones);
        let batcher = batcher(&gate);
        let mut asked = texts.to_vec();
        asked.insert(at, "long");
        let calls: Vec<_> = asked.iter().map(|text| (*text, call(&batcher, text))).collect();
        for (text, call) in calls {
            let answer = call.await.unwrap();
            match text {
                "long" => assert_eq!(kind_of(answer), EmbedErrorKind::Unsuitable),
                text => assert_eq!(answer.unwrap(), right(text), "with the long one at {at}"),
            }
        }
        // All of them, then the halves of eight, of four and of two.
        assert_eq!(gate.calls().len(), 7);
    }
}

#[tokio::test]
async fn where_neither_half_is_taken_the_search_ends() {
    let gate = Gate::new(64, OPEN, no_long_ones);
    let batcher = batcher(&gate);
    let calls: Vec<_> = (0..64).map(|at| call(&batcher, &format!("long {at}"))).collect();
    for call in calls {
        assert_eq!(kind_of(call.await.unwrap()), EmbedErrorKind::Unsuitable);
    }
    assert_eq!(gate.calls().len(), 3);
    calm().await;
    assert_idle(&batcher);
}

#[tokio::test]
async fn another_failure_is_everybodys_and_not_tried_again() {
    let gate = Gate::new(64, OPEN, |_| Err(EmbedError::new(EmbedErrorKind::Refused, "a wrong key")));
    let batcher = batcher(&gate);
    for call in ["a", "b"].map(|text| call(&batcher, text)) {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(
            (error.kind(), error.source().unwrap().to_string().as_str()),
            (EmbedErrorKind::Refused, "a wrong key")
        );
    }
    assert_eq!(gate.calls().len(), 1);
}

#[tokio::test]
async fn beyond_the_limit_texts_are_refused() {
    let gate = Gate::new(64, 0, vectors);
    let batcher = batcher(&gate);
    let calls: Vec<_> = (0..ASKED_MAX).map(|at| call(&batcher, &at.to_string())).collect();
    gate.called(RUNNERS_MAX).await;
    calm().await;
    assert_eq!(kind_of(batcher.embed("one more").await), EmbedErrorKind::RateLimited);
    assert_eq!(batcher.counted().refused, 1);
    // One that is asked for already has its place.
    let joined = call(&batcher, "7");
    gate.open.add_permits(OPEN);
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
    assert_eq!(joined.await.unwrap().unwrap(), right("7"));
    calm().await;
    assert_idle(&batcher);
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn when_the_runtime_of_a_batch_ends_others_ask_again() {
    let gate = Gate::new(64, 0, vectors);
    let batcher = batcher(&gate);
    let (ends, stays) = (multi_thread(), multi_thread());
    let lost = {
        let _ends = ends.enter();
        call(&batcher, "a")
    };
    stays.block_on(gate.called(1));
    let (joined, waiting) = {
        let _stays = stays.enter();
        (call(&batcher, "a"), call(&batcher, "a"))
    };
    // Both wait for the batch of the other runtime.
    while batcher.0.lanes()[&None].asked["a"].receiver_count() < 3 {
        thread::yield_now();
    }
    ends.shutdown_background();
    stays.block_on(gate.called(2));
    // The one that asks again second joins the one that was first.
    while batcher.0.lanes()[&None].asked["a"].receiver_count() < 2 {
        thread::yield_now();
    }
    gate.open.add_permits(OPEN);
    stays.block_on(async {
        assert_eq!(joined.await.unwrap().unwrap(), right("a"));
        assert_eq!(waiting.await.unwrap().unwrap(), right("a"));
        assert!(lost.await.unwrap_err().is_cancelled());
        while !batcher.0.lanes().is_empty() {
            yield_now().await;
        }
    });
    assert_eq!(gate.calls(), [["a"], ["a"]]);
}

#[test]
fn what_waits_behind_a_runtime_that_ends_is_asked_for_too() {
    let gate = Gate::new(64, 0, vectors);
    let batcher = batcher(&gate);
    let (ends, stays) = (multi_thread(), multi_thread());
    let _lost: Vec<_> = ["a", "b", "c", "d"]
        .into_iter()
        .enumerate()
        .map(|(at, text)| {
            let _ends = ends.enter();
            let lost = call(&batcher, text);
            stays.block_on(gate.called(at + 1));
            lost
        })
        .collect();
    let waiting = {
        let _stays = stays.enter();
        call(&batcher, "e")
    };
    while batcher.0.lanes()[&None].waiting.is_empty() {
        thread::yield_now();
    }
    ends.shutdown_background();
    gate.open.add_permits(OPEN);
    assert_eq!(stays.block_on(waiting).unwrap().unwrap(), right("e"));
}

#[test]
fn a_runtime_that_stands_still_holds_up_nobody_else() {
    let gate = Gate::new(64, 0, vectors);
    let batcher = batcher(&gate);
    let still = Builder::new_current_thread().enable_all().build().unwrap();
    // Its batch is under way, and nobody drives it any more.
    still.block_on(async {
        call(&batcher, "a");
        gate.called(1).await;
    });
    gate.open.add_permits(OPEN);
    let other = batcher.clone();
    let (told, answer) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        told.send(runtime.block_on(other.embed("a"))).unwrap();
    });
    assert_eq!(answer.recv().unwrap().unwrap(), right("a"));
    assert_eq!(gate.calls().len(), 2);
    drop(still);
    assert_idle(&batcher);
}

#[test]
fn each_runtime_of_many_is_served() {
    let gate = Gate::new(64, OPEN, vectors);
    let batcher = batcher(&gate);
    for at in 0..20 {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        assert!(runtime.block_on(batcher.embed("a")).is_ok(), "runtime {at}");
    }
    assert_idle(&batcher);
}
