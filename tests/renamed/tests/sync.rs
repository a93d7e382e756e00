//! Sync functions, and the words of the policy, do what they say.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use renamed::facade::stampede::store::MemoryBackend;
use renamed::facade::stampede::{testing, Config};
use renamed::shapes::Failure;
use renamed::sync::{
    answer, call_stays, content, denied, factorial, generic, leaves, nothing, quote, stored, tail_temporary,
    tail_temporary_leaves, unfinished, unnamed, Generic, Shelf, Source, Store,
};

#[test]
fn a_body_that_stays_borrows() {
    let _isolated = testing::isolate();
    assert_eq!(call_stays("text"), (18, "text".to_owned()));
    assert_eq!(call_stays("text"), (18, String::new()), "the body runs once");
    assert_eq!(call_stays("early"), (0, String::new()));
}

#[test]
fn a_body_that_may_leave_owns() {
    let _isolated = testing::isolate();
    let tags = ["tag".to_owned()];
    assert_eq!(leaves("topic", 1, &tags).unwrap(), "topic2tag");
    assert_eq!(leaves("topic", 1, &tags).unwrap(), "topic2tag");
    assert_eq!(leaves::stats().executions, 1);
    assert_eq!(leaves::refresh("topic", 1, &tags).unwrap(), "topic2tag");
    assert_eq!(leaves::stats().executions, 2);
}

#[test]
fn bodies_keep_their_meaning() {
    let _isolated = testing::isolate();
    let counter = Arc::new(Mutex::new(1));
    assert_eq!(tail_temporary(Arc::clone(&counter), 2), 4);
    assert_eq!(tail_temporary_leaves(&counter, 2), 7);
    assert_eq!(tail_temporary_leaves(&counter, 2), 7);
    assert_eq!((generic(&[1, 2], ""), generic(&["1"], "")), ("12".to_owned(), "1".to_owned()));
    assert_eq!(Generic::stats::<i32, 2>().executions, 1);
    assert_eq!((unnamed(5), unnamed("5")), ("5".to_owned(), "5".to_owned()));
    let client = Failure(String::new());
    assert_eq!((content("Rust", &client), content(" rust ", &client)), ("Rust".to_owned(), "Rust".to_owned()));
    assert_eq!(factorial(10), 3_628_800);
    nothing();
    nothing();
    assert_eq!(nothing::stats().executions, 1);
}

#[test]
fn methods_know_their_self() {
    let _isolated = testing::isolate();
    let store = Store { rows: &["a", "b"], reads: Cell::default() };
    assert_eq!((store.row(1), store.row(1), store.row(2)), (Some("b"), Some("b"), None));
    assert_eq!(store.row_peek(1), Some(Some("b")));
    assert_eq!(store.row_refresh(1), Some("b"));
    assert_eq!(store.reads.get(), 3);
    assert_eq!(store.consumed(1), 1);
    assert_eq!(Failure("a".to_owned()).read(1), "a1");
}

#[tokio::test]
async fn values_are_kept_in_a_backend_too() {
    let config = Config::builder().backend("main", MemoryBackend::new(1 << 20)).build().unwrap();
    let _isolated = testing::isolate_with(config);
    assert_eq!((stored("a", &[1]), stored("a", &[1])), (Some("a1".to_owned()), Some("a1".to_owned())));
    assert_eq!(Shelf(1).book(2).await, "12");
    assert_eq!(Shelf("1").book(2).await, "12");
}

#[test]
fn errors_are_kept_where_the_function_says_so() {
    let _isolated = testing::isolate();
    assert!(denied("one").is_err());
    assert!(denied("one").is_err());
    assert_eq!(denied::stats().executions, 1);
}

#[tokio::test]
async fn the_whole_policy() {
    let _isolated = testing::isolate();
    assert_eq!(quote("a").await.unwrap().as_deref(), Some("a"));
    assert_eq!(quote("a").await.unwrap().as_deref(), Some("a"));
    assert_eq!(quote("none").await.unwrap(), None);
    assert_eq!(quote("none").await.unwrap(), None);
    assert!(quote("").await.is_err());
    assert!(quote("").await.is_err());
    assert_eq!(quote::stats().executions, 4, "a value and an error are kept, and `None` is not");
}

#[test]
#[should_panic(expected = "not yet implemented")]
fn a_panic_arrives() {
    let _isolated = testing::isolate();
    let _ = unfinished(1);
}

#[tokio::test]
async fn calls_shared_between_processes() {
    let config = Config::builder().backend("main", MemoryBackend::new(1 << 20)).build();
    let _isolated = testing::isolate_with(config.expect("it is right"));
    assert_eq!(answer("a", &[1]).await, Ok("a1".to_owned()));
    assert_eq!(answer("a", &[]).await, Err("no id".to_owned()));
    assert_eq!((answer::stats().executions, answer::peek("a", &[1])), (2, None));
}
