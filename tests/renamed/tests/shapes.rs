//! Functions of every shape share their calls.

use std::sync::Arc;

use renamed::facade::stampede::{all_stats, testing, Stats};
use renamed::shapes::{
    computed, content, factorial, from_macro, generic, outer, plain, Failure, Generic, Repository, Source,
};

/// Executions and calls answered without one.
fn ran_and_saved(stats: &Stats) -> (u64, u64) {
    (stats.executions, stats.cache_hits + stats.coalesce_hits)
}

#[tokio::test]
async fn plain_arguments_results_and_errors() {
    let _isolated = testing::isolate();
    assert_eq!(plain("topic", 1).await.as_deref(), Ok("topic2"));
    assert_eq!(plain("topic", 1).await.as_deref(), Ok("topic2"));
    assert_eq!(plain("early", 1).await.as_deref(), Ok("early"));
    assert_eq!(ran_and_saved(&plain::stats()), (2, 1));
    assert_eq!(plain("", 1).await, Err(Failure("empty".to_owned())));
    assert_eq!(plain("", 1).await, Err(Failure("empty".to_owned())));
    assert_eq!(plain::stats().executions, 4, "an error is not kept");
}

#[tokio::test]
async fn a_companion_acts_on_the_key_of_its_function() {
    let _isolated = testing::isolate();
    assert_eq!(plain::peek("topic", 1), None);
    plain::insert("topic", 1, "kept".to_owned());
    plain::insert("topic", 2, Ok("whole".to_owned()));
    assert_eq!(plain("topic", 1).await.as_deref(), Ok("kept"));
    assert_eq!(plain::peek("topic", 2), Some(Ok("whole".to_owned())));
    assert_eq!(plain::refresh("topic", 1).await.as_deref(), Ok("topic2"));
    assert_eq!(plain("topic", 1).await.as_deref(), Ok("topic2"));
    let _ = plain::invalidate("topic", 1);
    assert_eq!(plain::peek("topic", 1), None);
    let _ = plain::clear();
    assert_eq!(plain::peek("topic", 2), None);
}

#[tokio::test]
async fn only_what_passes_is_kept() {
    let _isolated = testing::isolate();
    let long = "x".repeat(200);
    assert!(plain(&long, 1).await.is_ok());
    assert_eq!(plain::peek(&long, 1), None);
}

#[tokio::test]
async fn instantiations_of_a_generic_function_share_nothing() {
    let _isolated = testing::isolate();
    let seven = "7".to_owned();
    let (number, text) = tokio::join!(generic::<_, 1>(&7, ""), generic::<_, 1>(&seven, ""));
    assert_eq!((number, text), (7, seven));
    assert_eq!(Generic::stats::<i32, 1>().executions, 1);
    assert_eq!(Generic::stats::<i32, 2>().executions, 0);
}

#[tokio::test]
async fn keys_are_computed() {
    let _isolated = testing::isolate();
    assert_eq!(computed("Ada", 7).await, "Ada7");
    assert_eq!(computed("ADA", 7).await, "Ada7");
    let _ = computed::invalidate("ada", 7);
    assert_eq!(computed("ADA", 7).await, "ADA7");
}

#[tokio::test]
async fn content_is_compared_after_the_chosen_steps() {
    let _isolated = testing::isolate();
    let client = Arc::new(Failure("none".to_owned()));
    assert_eq!(content(" Rust", "Book".to_owned(), &client).await, " Rust/Book");
    assert_eq!(content("rust ", "book".to_owned(), &client).await, " Rust/Book");
    assert_eq!(content("ru  st", "book".to_owned(), &client).await, "ru  st/book");
    assert_eq!(content("ru st", "book".to_owned(), &client).await, "ru st/book");
    assert_eq!(content::peek("RUST", "book".to_owned()).as_deref(), Some(" Rust/Book"));
}

#[tokio::test]
async fn methods_know_their_self() {
    let _isolated = testing::isolate();
    let (one, two) = (Repository::new(1, "one".to_owned()), Repository::new(2, "two".to_owned()));
    assert_eq!(one.item("a").await, ("one".to_owned(), "a".to_owned()));
    assert_eq!(two.item("a").await.0, "two");
    assert_eq!(one.item_peek("a").map(|(item, _)| item).as_deref(), Some("one"));
    one.item_refresh("a").await;
    assert_eq!(ran_and_saved(&Repository::<String>::item_stats()), (3, 0));
    assert_eq!(Repository::<u8>::item_stats().executions, 0, "of another type");
    assert_eq!(tokio::join!(one.number(5), two.number(5)), (5, 5));
    let two = Arc::new(two);
    assert_eq!(Arc::clone(&two).shared().await, 2);
    assert_eq!(Arc::clone(&two).shared().await, 2);
    assert_eq!(ran_and_saved(&Repository::<String>::shared_stats()), (1, 1));
    assert_eq!(Repository::<u8>::twice("x").await, ("x", "x"));
    assert_eq!(two.read(3).await, "two3");
}

#[tokio::test]
async fn macros_recursion_and_local_functions() {
    let _isolated = testing::isolate();
    assert_eq!(from_macro("text", 1).await, "text!1");
    assert_eq!(factorial(20).await, 2_432_902_008_176_640_000);
    assert_eq!(factorial::stats().executions, 21);
    assert_eq!(outer(0).await, 7);
    assert_eq!(outer(1).await, 2);
}

#[tokio::test]
async fn sites_are_named_after_their_place() {
    let _isolated = testing::isolate();
    factorial(0).await;
    assert!(all_stats().contains_key("renamed::shapes::factorial"));
}
