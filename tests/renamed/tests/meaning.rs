//! Questions that mean the same get one answer.

use renamed::facade::stampede::testing;
use renamed::meaning::{everything, field, question, Request, User};

#[tokio::test]
async fn a_question_alone() {
    let _isolated = testing::isolate();
    assert_eq!(question("one").await, "one");
    assert_eq!(question("another").await, "one");
    assert_eq!(question("loud!").await, "loud!");
    assert_eq!(question::stats().executions, 2);
}

#[tokio::test]
async fn everything_that_can_be_said() {
    let _isolated = testing::isolate();
    let (one, two) = (User { organisation: "a".to_owned() }, User { organisation: "b".to_owned() });
    let ask = |user, tenant, key| everything(user, tenant, key, "x".to_owned());
    assert_eq!(ask(&one, 1, 0.5).await.as_deref(), Ok("a10.5x"));
    assert_eq!(everything(&one, 1, 0.5, "y".to_owned()).await.as_deref(), Ok("a10.5x"));
    assert_eq!(ask(&two, 1, 0.5).await.as_deref(), Ok("b10.5x"));
    assert_eq!(ask(&one, 2, 0.5).await.as_deref(), Ok("a20.5x"));
    assert_eq!(ask(&one, 1, 0.25).await.as_deref(), Ok("a10.25x"));
    assert_eq!(everything::peek(&one, 1, 0.5, "x".to_owned()), Some(Ok("a10.5x".to_owned())));
}

#[test]
fn a_field_without_an_embedder() {
    let _isolated = testing::isolate();
    let request = |text: &str, model| Request { text: text.to_owned(), model };
    assert_eq!(field(&request("What is it?", 1)), "What is it?");
    assert_eq!(field(&request("What is it?", 1)), "What is it?");
    assert_eq!(field(&request("What is it?", 2)), "What is it?");
    assert_eq!(field(&request("what is it", 1)), "what is it", "equal questions alone are shared");
    assert_eq!(field::peek(&request("What is it?", 1)).as_deref(), Some("What is it?"));
    assert_eq!(field::stats().executions, 3);
}
