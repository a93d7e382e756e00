//! Rarer shapes do what they say.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use renamed::facade::stampede::testing;
use renamed::odd::{
    expected, floats, forever, imported, nothing, search, tail_temporary, unfinished, unnamed, Service,
};

#[tokio::test]
async fn bodies_keep_their_meaning() {
    let _isolated = testing::isolate();
    let counter = Arc::new(Mutex::new(1));
    assert_eq!(tail_temporary(Arc::clone(&counter), 2).await, 4);
    assert_eq!(search(&[5, 6, 7], &6).await, Some(1));
    assert_eq!(search(&[5, 6, 7], &8).await, None);
    assert_eq!(forever("name", Cow::Borrowed("")).await, "name");
    assert_eq!((unnamed(5).await, unnamed("5").await), ("5".to_owned(), "5".to_owned()));
    assert_eq!(expected(1, 2, 3, 4, 5, 6, 7, 8).await, 36);
    nothing().await;
}

#[tokio::test]
async fn a_float_has_one_zero() {
    let _isolated = testing::isolate();
    assert_eq!(floats(0.0, &1.5, Some(&1)).await.to_bits(), 2.5_f64.to_bits());
    floats(-0.0, &1.5, Some(&1)).await;
    floats(0.0, &1.5, None).await;
    assert_eq!(floats::stats().executions, 2);
}

#[tokio::test]
async fn receivers_of_every_kind() {
    let _isolated = testing::isolate();
    let service = Arc::new(Service { greeting: "hello".to_owned() });
    assert_eq!(service.pointed("you").await, "hello you hello");
    assert_eq!(Service::clone(&service).consumed("you".to_owned()).await, "helloyou");
    assert_eq!(Service::clone(&service).consumed_peek("you".to_owned()), None);
    assert_eq!(service.count_down(5).await, 5);
    assert_eq!(service.nested().await, "hello1");
    assert_eq!(imported().await, 6);
}

#[tokio::test]
#[should_panic(expected = "not yet implemented")]
async fn a_panic_arrives() {
    let _isolated = testing::isolate();
    let _ = unfinished(1).await;
}
