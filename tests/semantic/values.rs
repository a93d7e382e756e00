//! Which answers are kept, in all tiers alike; and answers that JSON cannot carry, which are kept where they can be.

#![allow(clippy::float_cmp, reason = "what comes back is what was written, to the bit")]
#![allow(clippy::option_option, reason = "an answer that JSON does not carry")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stampede_runtime::{Outcome, outcome, semantic_coalesce};
use tokio::time::advance;

use super::help::{Mood, Service, Trouble, World, boarded, said, settle};
use super::parts::{Parts, add_up, patient};
use super::process::SECOND;

/// Keeps odd answers.
#[semantic_coalesce(namespace = "values", guard = none, cache_if = |answer| answer % 2 == 1, skip(world))]
async fn odd(question: &str, world: Arc<World>) -> usize {
    let _ = question;
    world.body().await
}

#[semantic_coalesce(namespace = "values", guard = none, none_ttl = "10s", skip(answer, world))]
async fn maybe(question: &str, answer: Option<u32>, world: Arc<World>) -> Option<u32> {
    let _ = question;
    world.begin();
    answer
}

#[semantic_coalesce(namespace = "values", guard = none, none_ttl = 0, skip(answer, world))]
async fn some(question: &str, answer: Option<u32>, world: Arc<World>) -> Option<u32> {
    let _ = question;
    world.begin();
    answer
}

#[semantic_coalesce(namespace = "values", guard = none, cache_err = "10s", skip(service))]
async fn thorough(question: &str, service: Arc<Service>) -> Result<usize, Trouble> {
    let _ = question;
    service.answer().await
}

#[semantic_coalesce(namespace = "values", guard = none, capacity = 100, weigh = |answer| answer.len(), skip(bytes, world))]
async fn heavy(question: &str, bytes: usize, world: Arc<World>) -> String {
    let _ = question;
    world.begin();
    "x".repeat(bytes)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Place {
    x: i32,
    y: i32,
}

/// What each answer is made of is said by the call.
macro_rules! answering {
    ($($name:ident: $type:ty),* $(,)?) => {$(
        #[semantic_coalesce(namespace = "values", guard = none, skip(answer, world))]
        async fn $name(question: &str, answer: $type, world: Arc<World>) -> $type {
            let _ = question;
            world.begin();
            answer
        }
    )*};
}

answering! {
    number: f64,
    optional: Option<f64>,
    numbers: Vec<Option<f32>>,
    nested: Option<Option<u8>>,
    placed: BTreeMap<Place, String>,
    keyed: HashMap<u8, Vec<u8>>,
    unit: (),
    character: char,
    large: u128,
    tagged: Result<String, String>,
}

/// The answer of a second process, and whether it executed. The first has made `answer`.
macro_rules! carried {
    ($function:ident, $answer:expr, $other:expr) => {{
        let (parts, world) = (Parts::new(), World::at_ease());
        patient(&parts, async {
            let _ = $function("@0 one", $answer, Arc::clone(&world)).await;
            // Memory has it, whatever it is.
            let _ = $function("@0 one", $other, Arc::clone(&world)).await;
            assert_eq!(world.runs(), 1, "{}", stringify!($function));
        })
        .await;
        patient(&parts, async {
            let near = $function("@10 other", $other, Arc::clone(&world)).await;
            let is_near = world.runs() == 1;
            let exact = $function("@0 one", $other, Arc::clone(&world)).await;
            let stats = $function::stats();
            assert_eq!((stats.decode_errors, stats.encode_errors), (0, 0), "{stats}");
            (near, exact, is_near)
        })
        .await
    }};
}

#[tokio::test(start_paused = true)]
async fn what_json_carries_comes_back_as_it_was() {
    assert_eq!(carried!(number, 0.1 + 0.2, 1.0), (0.1 + 0.2, 0.1 + 0.2, true));
    assert_eq!(carried!(number, f64::MIN_POSITIVE, 1.0).0, f64::MIN_POSITIVE);
    assert!(carried!(number, -0.0, 1.0).0.is_sign_negative());
    assert_eq!(carried!(optional, None, Some(1.0)), (None, None, true));
    assert_eq!(carried!(numbers, vec![None, Some(0.1)], vec![]), (vec![None, Some(0.1)], vec![None, Some(0.1)], true));
    assert_eq!(carried!(nested, Some(Some(1)), None).0, Some(Some(1)));
    assert_eq!(carried!(nested, None, Some(Some(1))).0, None);
    let map = HashMap::from([(1, vec![0, 255]), (2, vec![])]);
    assert_eq!(carried!(keyed, map.clone(), HashMap::new()), (map.clone(), map, true));
    assert_eq!(carried!(unit, (), ()), ((), (), true));
    assert_eq!(carried!(character, '\0', 'a').0, '\0');
    assert_eq!(carried!(large, u128::MAX, 0).0, u128::MAX);
    assert_eq!(carried!(tagged, Ok("\u{202E}\0\"\\".into()), Ok(String::new())).0, Ok("\u{202E}\0\"\\".to_owned()));
}

/// Whether the same was executed anew in a second process, and what it was.
macro_rules! not_carried {
    ($function:ident, $answer:expr, $other:expr) => {{
        let (parts, world) = (Parts::new(), World::at_ease());
        patient(&parts, async {
            $function("@0 one", $answer, Arc::clone(&world)).await;
            $function("@0 one", $other, Arc::clone(&world)).await;
            assert_eq!(world.runs(), 1, "memory has it");
            settle().await;
            let stats = $function::stats();
            assert_eq!((stats.encode_errors, stats.semantic.index_writes), (1, 0), "{stats}");
        })
        .await;
        patient(&parts, async {
            let answer = $function("@10 other", $other, Arc::clone(&world)).await;
            assert_eq!((world.runs(), $function::stats().decode_errors), (2, 0));
            answer
        })
        .await
    }};
}

#[tokio::test(start_paused = true)]
async fn what_json_does_not_carry_is_counted_and_never_another_value() {
    assert_eq!(not_carried!(number, f64::NAN, 1.0), 1.0);
    assert_eq!(not_carried!(number, f64::INFINITY, 1.0), 1.0);
    assert_eq!(not_carried!(optional, Some(f64::NAN), Some(1.0)), Some(1.0));
    assert_eq!(not_carried!(numbers, vec![Some(f32::NEG_INFINITY)], vec![]), vec![]);
    assert_eq!(not_carried!(nested, Some(None), Some(Some(1))), Some(Some(1)));
    let map = BTreeMap::from([(Place { x: 1, y: 2 }, "here".to_owned())]);
    assert_eq!(not_carried!(placed, map, BTreeMap::new()), BTreeMap::new());
}

/// What cannot be kept there ends what was.
#[tokio::test(start_paused = true)]
async fn what_is_not_carried_leaves_nothing_older_behind() {
    let (parts, world) = (Parts::new(), World::at_ease());
    patient(&parts, async {
        number("@0 one", 1.0, Arc::clone(&world)).await;
        number::refresh("@0 one", f64::NAN, Arc::clone(&world)).await;
        settle().await;
    })
    .await;
    patient(&parts, async { assert_eq!(number("@0 one", 2.0, Arc::clone(&world)).await, 2.0) }).await;
    patient(&parts, async { assert_eq!(number("@10 other", 3.0, Arc::clone(&world)).await, 2.0) }).await;
}

#[tokio::test(start_paused = true)]
async fn only_what_passes_is_kept_for_any_question() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::new();
        // Those who joined get what is not kept, and nobody keeps it.
        world.begin();
        let one = boarded(odd("@0 one", Arc::clone(&world))).await;
        let near = boarded(odd("@10 other", Arc::clone(&world))).await;
        world.open_all();
        assert_eq!((one.await.unwrap(), near.await.unwrap()), (2, 2));
        assert_eq!((odd::peek("@0 one"), odd::peek("@10 other")), (None, None));
        assert_eq!(odd("@10 other", Arc::clone(&world)).await, 3);
        assert_eq!(odd("@0 one", Arc::clone(&world)).await, 3);
        settle().await;
        assert_eq!(odd::stats().semantic.index_writes, 1);
        // A newer one that is not kept takes the older one out.
        odd::refresh("@10 other", Arc::clone(&world)).await;
        settle().await;
        assert_eq!(odd("@12 third", Arc::clone(&world)).await, 5);
        add_up(&odd::stats(), 5);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_an_answer_for_as_long_as_one_says() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(maybe("@0 one", None, Arc::clone(&world)).await, None);
        advance(9 * SECOND).await;
        assert_eq!(maybe("@10 other", Some(1), Arc::clone(&world)).await, None);
        advance(SECOND).await;
        assert_eq!(maybe("@10 other", Some(2), Arc::clone(&world)).await, Some(2));
        advance(Duration::from_secs(100)).await;
        assert_eq!(maybe("@0 one", Some(3), Arc::clone(&world)).await, Some(2));
        // Where it is none, it is shared by those who wait at most.
        assert_eq!(some("@0 one", None, Arc::clone(&world)).await, None);
        assert_eq!(some("@10 other", Some(4), Arc::clone(&world)).await, Some(4));
        assert_eq!(some("@0 one", None, Arc::clone(&world)).await, Some(4));
    })
    .await;
}

/// An error is its own question's, for as long as it is kept.
#[tokio::test(start_paused = true)]
async fn a_kept_error_is_near_to_nothing() {
    let parts = Parts::new();
    patient(&parts, async {
        let service = Service::new();
        service.is(Mood::Failing);
        assert_eq!(said(thorough("@0 one", Arc::clone(&service))).await, "fire");
        service.is(Mood::Well);
        assert_eq!(said(thorough("@0 one", Arc::clone(&service))).await, "fire");
        assert_eq!(said(thorough("@10 other", Arc::clone(&service))).await, "value 2");
        advance(10 * SECOND).await;
        assert_eq!(said(thorough("@0 one", Arc::clone(&service))).await, "value 2");
        // In flight it is everybody's, and kept for nobody but its own.
        service.is(Mood::Failing);
        service.world.open(0);
        let one = boarded(thorough("@90 one", Arc::clone(&service))).await;
        let near = boarded(thorough("@95 other", Arc::clone(&service))).await;
        service.world.open_all();
        assert!(one.await.unwrap().is_err() && near.await.unwrap().is_err());
        service.is(Mood::Well);
        assert_eq!(said(thorough("@95 other", Arc::clone(&service))).await, "value 4");
        assert_eq!(said(thorough("@90 one", Arc::clone(&service))).await, "fire");
        add_up(&thorough::stats(), 8);
    })
    .await;
}

/// Too heavy for memory is not too large for the index, which keeps answers by their number.
#[tokio::test(start_paused = true)]
async fn what_is_too_heavy_is_never_wrong() {
    let parts = Parts::new();
    patient(&parts, async {
        let world = World::at_ease();
        assert_eq!(heavy("@0 one", 1_000, Arc::clone(&world)).await.len(), 1_000);
        assert!(heavy::peek("@0 one").is_none());
        let (answer, became) = outcome(heavy("@10 other", 5, Arc::clone(&world))).await;
        let expected = if became == Some(Outcome::Executed) { 5 } else { 1_000 };
        assert_eq!(answer.len(), expected, "{became:?}");
        for at in 0..20 {
            heavy(&format!("@{} of many", 30 * at), 10, Arc::clone(&world)).await;
        }
        assert!(heavy::stats().cache_size <= 100);
        add_up(&heavy::stats(), 22);
    })
    .await;
}
