//! What is in memory costs what a value of any other function costs: nothing is allocated besides the value's own clone,
//! whatever the question, the tenant and the rest of the key are, and whether or not the answer was one to another question.
#![allow(unsafe_code, reason = "the allocator that counts is a `GlobalAlloc`")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use stampede_runtime::semantic::LexicalEmbedder;
use stampede_runtime::{Config, Outcome, configure, outcome, semantic_coalesce};

/// Counts how often this thread allocates.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory but a `Cell`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often a call allocates that is over in its first poll.
fn allocations<T>(call: impl Future<Output = T>) -> (T, usize) {
    let before = COUNT.get();
    let mut call = pin!(call);
    let Poll::Ready(value) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!("no hit") };
    (value, COUNT.get() - before)
}

#[derive(Clone)]
struct User {
    organisation: String,
}

#[semantic_coalesce(threshold = 0.7)]
async fn plain(question: &str) -> Arc<str> {
    question.into()
}

#[semantic_coalesce(threshold = 0.7, tenant = user.organisation, key(model, temperature, stop.as_deref()))]
async fn keyed(user: &User, model: &str, temperature: f32, stop: Option<String>, question: &str) -> Arc<str> {
    format!("{}{model}{temperature}{stop:?}{question}", user.organisation).into()
}

#[semantic_coalesce(threshold = 0.7)]
fn sync(question: &str) -> Arc<str> {
    question.into()
}

const ASKED: &str = "How do I reset my password?";
const NEAR: &str = "how do i reset my pasword";

#[tokio::test]
async fn a_hit_allocates_nothing_but_its_value() {
    // For the process, as programs do: an isolation is a detour.
    configure(Config::builder().embedder(LexicalEmbedder::new()).build().unwrap()).unwrap();
    let user = User { organisation: "one".to_owned() };
    let keyed = |question: &'static str| keyed(&user, "m", 0.5, None, question);
    let (first, of_key, now) = (plain(ASKED).await, keyed(ASKED).await, sync(ASKED));
    for question in [ASKED, NEAR] {
        // Brings what is near to memory, where it is a hit like any other; the first of a thread makes the thread's counters.
        for _ in 0..2 {
            assert_eq!(
                (plain(question).await, keyed(question).await, sync(question)),
                (first.clone(), of_key.clone(), now.clone())
            );
        }
        assert_eq!(allocations(plain(question)), (first.clone(), 0), "{question}");
        assert_eq!(allocations(keyed(question)), (of_key.clone(), 0), "{question}");
        assert_eq!(allocations(async { sync(question) }), (now.clone(), 0), "{question}");
    }
    // Who wants to know what became of a call pays for the note.
    let ((_, became), noted) = allocations(outcome(plain(NEAR)));
    assert!(matches!(became, Some(Outcome::Semantic { .. })) && noted > 0, "{became:?}");
    assert_eq!(plain::stats().executions + keyed::stats().executions, 2);
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(async { Arc::<str>::from("text") }).1, 1);
}
