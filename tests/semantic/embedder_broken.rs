//! An embedder that fails, is slow or answers nonsense costs nobody more than its budget: every call is answered, what is equal
//! is still shared, and all of it is counted.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use stampede_runtime::semantic::{EmbedErrorKind, Embedded, Embedder};
use stampede_runtime::testing::FaultyBackend;
use stampede_runtime::{Config, EmbedFaults, Settings, Stats, Tier, outcome, refresh, semantic_coalesce};
use tokio::runtime::Builder;
use tokio::task::yield_now;
use tokio::time::{Instant, advance};
use tracing::Level;

use super::help::{World, all, boarded, crowd, in_a_process_of_its_own, settle};
use super::parts::{Compass, Parts, Temper, add_up, exact, hasty, hasty_and_brief, patient};
use super::process::{HOUR, Log, process_with};

const MINUTE: Duration = Duration::from_secs(60);

#[semantic_coalesce(namespace = "embedder", guard = none, skip(world))]
async fn ask(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "embedder", guard = none, embed = broken, skip(world))]
async fn own(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

async fn broken(text: String) -> Result<Vec<f32>, std::fmt::Error> {
    if text.contains("broken") { Err(std::fmt::Error) } else { Ok(vec![1.0]) }
}

fn faults(stats: &Stats) -> [u64; 7] {
    let EmbedFaults { unreachable, timed_out, refused, unsuitable, rate_limited, invalid, other, .. } =
        stats.semantic.embed_faults;
    [unreachable, timed_out, refused, unsuitable, rate_limited, invalid, other]
}

/// What is asked in this state is executed once each, shared where it is equal, and near to nothing; afterwards all is well.
async fn each_is_answered(parts: &Parts, temper: Temper, kind: usize) {
    let world = World::new();
    parts.compass.is(temper);
    let equal = crowd(10, || ask("@0 one", Arc::clone(&world))).await;
    world.begun(1).await;
    let near = boarded(ask("@10 other", Arc::clone(&world))).await;
    world.begun(2).await;
    world.open_all();
    let (mut answers, near) = (all(equal).await, near.await.unwrap());
    answers.dedup();
    assert!(answers.len() == 1 && answers[0] != near && world.runs() == 2, "{temper:?}");
    // Memory has both.
    let became = outcome(ask("@0 one", Arc::clone(&world))).await;
    assert_eq!((became.0, exact(became.1)), (answers[0], Some(Tier::Memory)), "{temper:?}");
    settle().await;
    let stats = ask::stats();
    let mut expected = [0; 7];
    // Each was embedded for its look-up, and not once more to be kept.
    expected[kind] = 2;
    assert_eq!((faults(&stats), stats.semantic.index_writes), (expected, 0), "{temper:?}");
    assert_eq!(stats.semantic.embed_failures(), 2, "{temper:?}");
    assert_eq!(stats.semantic.index_failures, 0, "{temper:?}");
    add_up(&stats, 12);

    parts.compass.is(Temper::Well);
    // It may have been left alone for a while.
    advance(MINUTE).await;
    assert_eq!(ask("@5 third", Arc::clone(&world)).await, 3);
    assert_eq!(ask("@6 fourth", Arc::clone(&world)).await, 3);
    assert_eq!(faults(&ask::stats()), expected);
}

macro_rules! each_temper {
    ($($name:ident: $temper:expr => $kind:expr,)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let parts = Parts::new();
            patient(&parts, each_is_answered(&parts, $temper, $kind)).await;
        }
    )*};
}

each_temper! {
    unreachable: Temper::Fails(EmbedErrorKind::Unreachable) => 0,
    timed_out: Temper::Fails(EmbedErrorKind::TimedOut) => 1,
    refused: Temper::Fails(EmbedErrorKind::Refused) => 2,
    unsuitable: Temper::Fails(EmbedErrorKind::Unsuitable) => 3,
    rate_limited: Temper::Fails(EmbedErrorKind::RateLimited) => 4,
    invalid: Temper::Fails(EmbedErrorKind::Invalid) => 5,
    other: Temper::Fails(EmbedErrorKind::Other) => 6,
    panics: Temper::Panics => 6,
    no_vectors: Temper::Vectors(0) => 5,
    too_many_vectors: Temper::Vectors(7) => 5,
    not_a_number: Temper::Says(&[f32::NAN, 1.0, 0.0]) => 5,
    infinite: Temper::Says(&[1.0, f32::INFINITY, 0.0]) => 5,
    zero: Temper::Says(&[0.0, -0.0, 0.0]) => 5,
    empty: Temper::Says(&[]) => 5,
    too_short: Temper::Says(&[1.0, 0.0]) => 5,
    too_long: Temper::Says(&[1.0, 0.0, 0.0, 0.0]) => 5,
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_costs_its_budget_once_and_then_the_call_goes_on() {
    let parts = Parts::new();
    let settings = Settings::new().embed_timeout(Duration::from_secs(3));
    process_with(parts.config().defaults(settings), async {
        parts.compass.is(Temper::Hangs);
        let world = World::at_ease();
        let began = Instant::now();
        let calls = crowd(10, || ask("@0 one", Arc::clone(&world))).await;
        assert_eq!(all(calls).await, [1; 10]);
        assert_eq!(began.elapsed().as_secs(), 3, "nobody waits for it to be kept");
        let stats = ask::stats();
        assert_eq!(stats.semantic.embed_time.max.as_secs(), 3);
        add_up(&stats, 10);
        settle().await;
        assert_eq!((ask::stats().semantic.embed_faults.timed_out, parts.compass.batches()), (1, 1), "nor to be kept");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_asked_once_for_each_miss() {
    let (parts, backend) = (Parts::new(), FaultyBackend::new());
    let settings = Settings::new().backend_timeout(24 * HOUR);
    process_with(parts.config().backend("redis", backend.clone()).defaults(settings), async {
        let world = World::at_ease();
        parts.compass.is(Temper::Fails(EmbedErrorKind::TimedOut));
        for miss in 1..=2 {
            ask(&format!("@{miss}0 miss"), Arc::clone(&world)).await;
            settle().await;
            assert_eq!(parts.compass.texts(), miss);
        }
        // Redis has them, and the index has not.
        let stats = ask::stats();
        assert_eq!((stats.backend_writes, stats.semantic.index_writes), (2, 0), "{stats}");
        assert_eq!(parts.index.put.asked(), 0);

        // What no look-up went before asks for itself.
        ask::insert("@70 given", 70);
        settle().await;
        assert_eq!((parts.compass.texts(), parts.index.put.asked()), (3, 0));
        parts.compass.is(Temper::Well);
        advance(MINUTE).await;
        ask::insert("@80 given", 80);
        settle().await;
        assert_eq!((parts.compass.texts(), parts.index.put.asked()), (4, 1));
        // So does a refresh of what had none.
        refresh(ask("@10 miss", Arc::clone(&world))).await;
        settle().await;
        assert_eq!((parts.compass.texts(), parts.index.put.asked()), (5, 2));
        assert_eq!(ask("@11 near", Arc::clone(&world)).await, 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_questions_during_an_outage_do_not_wait_for_one_another() {
    let parts = Parts::new();
    hasty(&parts, async {
        parts.compass.is(Temper::Hangs);
        let world = World::at_ease();
        let began = Instant::now();
        let mut calls = Vec::new();
        for at in 0..100 {
            let world = Arc::clone(&world);
            calls.push(tokio::spawn(async move { ask(&format!("@{at} one of many"), world).await }));
        }
        let mut answers = all(calls).await;
        assert_eq!(began.elapsed().as_secs(), 5);
        answers.sort_unstable();
        assert_eq!(answers, (1..=100).collect::<Vec<_>>());
        // What came of each is in memory, whatever becomes of the rest.
        let world = World::at_ease();
        for at in 0..100 {
            ask(&format!("@{at} one of many"), Arc::clone(&world)).await;
        }
        assert_eq!(world.runs(), 0);
        add_up(&ask::stats(), 200);
    })
    .await;
}

/// Many questions that fail at one moment are no reason to leave it alone for longer than three that fail one after the other.
#[tokio::test(start_paused = true)]
async fn one_batch_that_fails_is_no_long_outage() {
    let parts = Parts::new();
    hasty(&parts, async {
        let world = World::at_ease();
        ask("@0 known", Arc::clone(&world)).await;
        parts.compass.is(Temper::Fails(EmbedErrorKind::Unreachable));
        let mut calls = Vec::new();
        for at in 0..50 {
            let world = Arc::clone(&world);
            calls.push(tokio::spawn(async move { ask(&format!("@90 one of many {at}"), world).await }));
        }
        all(calls).await;
        parts.compass.is(Temper::Well);
        // The first rest is half a second at most.
        advance(Duration::from_secs(1)).await;
        assert_eq!(ask("@1 near", Arc::clone(&world)).await, 1, "{}", ask::stats());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_not_taken_costs_the_others_nothing() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        assert_eq!(ask("@0 one", World::at_ease()).await, 1);
        parts.compass.is(Temper::Picky("bad"));
        let mut calls = Vec::new();
        for at in 0..20 {
            let (question, world) = (format!("@5 {} {at}", if at == 7 { "bad" } else { "good" }), Arc::clone(&world));
            calls.push(tokio::spawn(async move { ask(&question, world).await }));
        }
        world.begun(1).await;
        world.open_all();
        for call in calls {
            assert_eq!(call.await.unwrap(), 1);
        }
        let stats = ask::stats();
        assert_eq!((world.runs(), stats.semantic.index_hits), (1, 19), "{stats}");
        assert_eq!(faults(&stats)[3], stats.semantic.embed_failures());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_embeddings_equal_questions_in_flight_are_one() {
    let parts = Parts::new();
    patient(&parts, async {
        parts.compass.is(Temper::Fails(EmbedErrorKind::Other));
        let world = World::new();
        let one = boarded(ask("@0 What is it?", Arc::clone(&world))).await;
        let same = boarded(ask("@0  what is it? ", Arc::clone(&world))).await;
        assert_eq!(world.runs(), 1);
        world.open_all();
        assert_eq!((one.await.unwrap(), same.await.unwrap()), (1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_exactly_in_the_index_or_the_backend_needs_no_embedding() {
    let (parts, fake, world) = (Parts::new(), FaultyBackend::new(), World::at_ease());
    let config = || parts.config().backend("redis", fake.clone());
    process_with(config(), async { assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1) }).await;
    parts.compass.is(Temper::Panics);
    process_with(config(), async {
        let became = outcome(ask("@0 one", Arc::clone(&world))).await;
        assert_eq!((became.0, exact(became.1)), (1, Some(Tier::Backend)));
        // Kept there although it has no embedding.
        assert_eq!(ask("@50 two", Arc::clone(&world)).await, 2);
    })
    .await;
    process_with(config(), async { assert_eq!(ask("@50 two", Arc::clone(&world)).await, 2) }).await;
    patient(&parts, async {
        let became = outcome(ask("@0 one", Arc::clone(&world))).await;
        assert_eq!((became.0, exact(became.1)), (1, Some(Tier::Index)));
        assert_eq!(parts.compass.texts(), 1 + 1, "each that was not found was asked for once");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_question_that_cannot_be_embedded_cannot_be_taken_out_for_sure() {
    let parts = Parts::new();
    hasty_and_brief(&parts, async {
        let world = World::at_ease();
        assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1);
        parts.compass.is(Temper::Fails(EmbedErrorKind::Unreachable));
        ask::invalidate("@10 other").await.unwrap_err();
        ask::invalidate("@0 one").await.unwrap_err();
        parts.compass.is(Temper::Well);
        // Nobody has told the index, so this process does not believe it.
        assert_eq!(ask("@10 other", Arc::clone(&world)).await, 2);
        let first = ask("@0 one", Arc::clone(&world)).await;
        assert!(first == 2 || first == 3, "{first}");
        ask::invalidate("@10 other").await.unwrap();
    })
    .await;
}

/// Nonsense is no answer: what is near to it may still be there.
#[tokio::test(start_paused = true)]
async fn nor_can_one_whose_embedding_is_nonsense() {
    for temper in [Temper::Vectors(7), Temper::Says(&[f32::NAN, 0.0, 0.0])] {
        let parts = Parts::new();
        hasty_and_brief(&parts, async {
            let world = World::at_ease();
            assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1);
            parts.compass.is(temper);
            let told = ask::invalidate("@10 other").await;
            parts.compass.is(Temper::Well);
            assert_eq!(ask("@10 other", Arc::clone(&world)).await, 2, "{temper:?}");
            told.unwrap_err();
        })
        .await;
    }
}

/// One text at a time, so that several batches are about to begin when their callers leave. Nothing panics behind the scenes.
#[test]
fn texts_that_nobody_waits_for_any_more_harm_nobody() {
    in_a_process_of_its_own("semantic::embedder_broken::inner_texts_that_nobody_waits_for", &[]);
}

#[test]
#[ignore = "run in a process of its own"]
fn inner_texts_that_nobody_waits_for() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        std::process::abort();
    }));
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("nothing is needed");
    let embedder = OneByOne(Compass::default());
    runtime.block_on(process_with(Config::builder().embedder(embedder), async {
        for leave in 1..16_u32 {
            for polls in 0..6 {
                let world = World::at_ease();
                let mut calls = Vec::new();
                for at in 0..4 {
                    let world = Arc::clone(&world);
                    calls.push(tokio::spawn(async move { ask(&format!("@{} to leave", 60 * at), world).await }));
                }
                for _ in 0..polls {
                    yield_now().await;
                }
                for (at, call) in calls.iter().enumerate() {
                    if leave & 1 << at != 0 {
                        call.abort();
                    }
                }
                for call in calls {
                    // Answered, or gone.
                    let _ = call.await;
                }
                let next = World::at_ease();
                ask("@30 next", Arc::clone(&next)).await;
                assert_eq!(ask("@31 near to it", next).await, 1, "{leave:b} after {polls} polls");
                ask::clear().await.unwrap();
            }
        }
        assert_eq!(ask::stats().semantic.embed_failures(), 0);
    }));
}

/// Takes one text at a time.
struct OneByOne(Compass);

impl Embedder for OneByOne {
    fn model_id(&self) -> &str {
        self.0.model_id()
    }

    fn dimensions(&self) -> usize {
        self.0.dimensions()
    }

    fn batch_max(&self) -> usize {
        1
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        self.0.embed(texts)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_said_once_and_without_the_question() {
    let parts = Parts::new();
    let (log, _guard) = Log::install();
    patient(&parts, async {
        parts.compass.is(Temper::Fails(EmbedErrorKind::Unreachable));
        let world = World::at_ease();
        for at in 0..5 {
            ask(&format!("@{at} secret"), Arc::clone(&world)).await;
        }
        settle().await;
        assert_eq!(log.lines(Level::WARN).len(), 1, "{:?}", log.lines(Level::WARN));
        parts.compass.is(Temper::Well);
        advance(MINUTE).await;
        ask("@50 secret", Arc::clone(&world)).await;
        settle().await;
        parts.compass.is(Temper::Panics);
        ask("@80 secret", Arc::clone(&world)).await;
        let lines = log.lines(Level::WARN);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| line.contains("embedder::ask") && !line.contains("secret")), "{lines:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_of_one_text_fails_for_that_text() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(own("one", Arc::clone(&world)).await, 1);
        assert_eq!(own("two", Arc::clone(&world)).await, 1, "all are at one place");
        assert_eq!(own("broken", Arc::clone(&world)).await, 2);
        assert_eq!(own("three", Arc::clone(&world)).await, 1);
        assert!(own::stats().semantic.embed_failures() > 0);
        assert_eq!(parts.compass.texts(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_of_other_dimensions_than_its_index_is_not_asked_at_all() {
    let (log, _guard) = Log::install();
    let parts = Parts::new();
    parts.index.dimensions.store(2, SeqCst);
    let config = Config::builder().embedder(parts.compass.clone()).index("meanings", Arc::clone(&parts.index));
    process_with(config.namespace("embedder", Settings::new().backend("meanings")), async {
        let world = World::at_ease();
        assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1);
        assert_eq!(ask("@0 one", Arc::clone(&world)).await, 1);
        assert_eq!(ask("@10 other", Arc::clone(&world)).await, 2);
        let stats = ask::stats();
        assert_eq!(stats.semantic.index_state.to_string(), "missing");
        assert_eq!((parts.compass.texts(), parts.index.put.asked(), parts.index.exact.asked()), (0, 0, 0));
        let lines = log.lines(Level::ERROR);
        assert_eq!((lines.len(), log.lines(Level::WARN).len()), (1, 0), "{lines:?}");
        let expected = "the index `meanings` keeps embeddings of 2 dimensions, and `compass` makes them of 3";
        assert!(lines[0].contains(expected) && lines[0].contains("embedder::ask"), "{lines:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_whose_answers_alone_tell_that_they_have_other_dimensions() {
    let (log, _guard) = Log::install();
    let parts = Parts::new();
    parts.index.dimensions.store(3, SeqCst);
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(own("one", Arc::clone(&world)).await, 1);
        assert_eq!(own("two", Arc::clone(&world)).await, 2);
        assert_eq!(own("one", Arc::clone(&world)).await, 1);
        let stats = own::stats();
        assert_eq!((faults(&stats)[5], stats.semantic.index_failures, parts.index.put.asked()), (2, 0, 0), "{stats}");
        let lines = log.lines(Level::WARN);
        assert!(lines.len() == 1 && lines[0].contains("has 1 dimensions, and 3 are expected"), "{lines:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_one_only_equal_questions_are_shared() {
    let (log, _guard) = Log::install();
    process_with(Config::builder(), async {
        let world = World::new();
        let one = boarded(ask("@0 one", Arc::clone(&world))).await;
        let equal = boarded(ask("@0 one", Arc::clone(&world))).await;
        let near = boarded(ask("@10 other", Arc::clone(&world))).await;
        world.open_all();
        assert_eq!((one.await.unwrap(), equal.await.unwrap(), near.await.unwrap()), (1, 1, 2));
        let stats = ask::stats();
        assert_eq!(stats.semantic.index_state.to_string(), "missing");
        assert_eq!((stats.embeddings_generated, stats.semantic.not_embedded), (0, 0));
        ask::invalidate("@0 one").await.unwrap();
        ask::clear().await.unwrap();
        add_up(&stats, 3);
        assert_eq!(log.lines(Level::WARN).len(), 1);
    })
    .await;
}
