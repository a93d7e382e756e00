//! Results.

use std::error::Error as StdError;
use std::fmt::{self, Debug, Display};
use std::io;
use std::sync::Arc;

use stampede_runtime::{Error, coalesce};

use super::help::{shares, shares_all, work};

#[coalesce]
async fn value(n: u32) -> u32 {
    work().await;
    n
}

#[coalesce(attached)]
async fn value_attached(n: u32) -> u32 {
    work().await;
    n
}

#[tokio::test(start_paused = true)]
async fn a_value() {
    shares(value(1), value(1), value(2)).await;
    shares(value_attached(1), value_attached(1), value_attached(2)).await;
}

#[coalesce]
async fn nothing(_n: u32) {
    work().await;
}

#[coalesce]
async fn unit(n: u32) -> () {
    let _ = n;
    work().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_at_all() {
    shares_all(nothing(1), nothing(1)).await;
    shares_all(unit(1), unit(1)).await;
}

#[coalesce]
async fn option(n: u32) -> Option<u32> {
    work().await;
    let half = n.checked_sub(2)?;
    Some(half)
}

#[tokio::test(start_paused = true)]
async fn an_option() {
    shares(option(1), option(1), option(2)).await;
}

#[coalesce]
async fn tuple(n: u32) -> (u32, String, [u8; 2]) {
    work().await;
    (n, n.to_string(), [0; 2])
}

#[tokio::test(start_paused = true)]
async fn a_tuple() {
    shares(tuple(1), tuple(1), tuple(2)).await;
}

#[coalesce]
async fn arc(n: u32) -> Arc<NotClone> {
    work().await;
    Arc::new(NotClone(n))
}

/// Not `Clone`, so it comes in an `Arc`.
#[derive(Debug, PartialEq)]
struct NotClone(u32);

#[coalesce]
async fn arc_str(n: u32) -> Arc<str> {
    work().await;
    n.to_string().into()
}

#[coalesce]
async fn arc_object(n: u32) -> Arc<dyn Display + Send + Sync> {
    work().await;
    Arc::new(n)
}

#[tokio::test(start_paused = true)]
async fn an_arc() {
    shares(arc(1), arc(1), arc(2)).await;
    let (one, equal) = shares_all(arc(1), arc(1)).await;
    assert!(Arc::ptr_eq(&one, &equal), "callers share one allocation");
    shares(arc_str(1), arc_str(1), arc_str(2)).await;
    let text = |n| async move { arc_object(n).await.to_string() };
    shares(text(1), text(1), text(2)).await;
}

#[coalesce]
async fn static_str(n: usize) -> &'static str {
    work().await;
    ["zero", "one"][n]
}

#[coalesce]
async fn result_of_static_str(n: usize) -> Result<&'static str, &'static str> {
    work().await;
    ["zero"].get(n).copied().ok_or("too many")
}

#[tokio::test(start_paused = true)]
async fn a_borrow_that_never_ends() {
    shares(static_str(0), static_str(0), static_str(1)).await;
    shares(result_of_static_str(0), result_of_static_str(0), result_of_static_str(1)).await;
}

#[coalesce]
async fn fn_pointer(n: u32) -> fn(&str) -> usize {
    work().await;
    if n == 0 { str::len } else { |text| text.chars().count() }
}

#[tokio::test(start_paused = true)]
async fn a_fn_pointer() {
    let call = |n| async move { fn_pointer(n).await("ß") };
    shares(call(0), call(0), call(1)).await;
}

/// An error that can be cloned.
#[derive(Clone, Debug, PartialEq)]
struct Refusal(u32);

#[coalesce]
async fn clone_error(n: u32) -> Result<u32, Refusal> {
    work().await;
    Err(Refusal(n))
}

#[tokio::test(start_paused = true)]
async fn a_result_with_an_error_that_is_clone() {
    shares(clone_error(1), clone_error(1), clone_error(2)).await;
}

#[coalesce]
async fn arc_error(n: u32) -> Result<u32, Arc<io::Error>> {
    work().await;
    Err(Arc::new(io::Error::other(n.to_string())))
}

#[tokio::test(start_paused = true)]
async fn a_result_with_an_error_in_an_arc() {
    let text = |n| async move { arc_error(n).await.expect_err("always").to_string() };
    shares(text(1), text(1), text(2)).await;
}

#[coalesce]
async fn string_error(n: u32) -> Result<u32, String> {
    work().await;
    Err(n.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_result_with_a_text_as_error() {
    shares(string_error(1), string_error(1), string_error(2)).await;
}

#[coalesce]
async fn anyhow_error(n: u32) -> anyhow::Result<u32> {
    work().await;
    let number: u32 = "x".repeat(n as usize).parse()?;
    anyhow::bail!("parsed {number}")
}

#[coalesce]
async fn anyhow_spelt_out(n: u32) -> Result<u32, anyhow::Error> {
    use anyhow::Context;

    work().await;
    let number: u32 = "x".parse().with_context(|| format!("no number {n}"))?;
    Ok(number)
}

#[tokio::test(start_paused = true)]
async fn a_result_of_anyhow() {
    let text = |n| async move { format!("{:#}", anyhow_error(n).await.expect_err("always")) };
    shares(text(1), text(1), text(0)).await;
    let text = |n| async move { format!("{:#}", anyhow_spelt_out(n).await.expect_err("always")) };
    shares(text(1), text(1), text(2)).await;
}

#[coalesce]
async fn boxed_error(n: u32) -> Result<u32, Box<dyn StdError + Send + Sync>> {
    work().await;
    let number: u32 = "x".repeat(n as usize).parse()?;
    Err(format!("parsed {number}"))?
}

#[tokio::test(start_paused = true)]
async fn a_result_with_a_boxed_error() {
    let text = |n| async move { boxed_error(n).await.expect_err("always").to_string() };
    shares(text(1), text(1), text(0)).await;
}

/// An error of a user, not `Clone`.
#[derive(Debug)]
enum Trouble {
    Io(io::Error),
    Stampede(Error),
}

impl Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Io(error) => Display::fmt(error, f),
            Trouble::Stampede(error) => Display::fmt(error, f),
        }
    }
}

impl StdError for Trouble {}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Io(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Stampede(error)
    }
}

#[coalesce(timeout = "1h")]
async fn own_error(n: u32) -> Result<u32, Trouble> {
    work().await;
    Err(io::Error::other(n.to_string()))?
}

#[tokio::test(start_paused = true)]
async fn a_result_with_an_enum_that_is_made_from_ours() {
    let text = |n| async move { own_error(n).await.expect_err("always").to_string() };
    shares(text(1), text(1), text(2)).await;
    let (Err(Trouble::Stampede(error)), _) = shares_all(own_error(1), own_error(1)).await else {
        panic!("the error is a view")
    };
    assert_eq!(error.downcast_ref::<Trouble>().map(ToString::to_string), Some("1".to_owned()));
}

/// As services write it.
type Answer<T, E = Trouble> = Result<T, E>;

#[coalesce(wait = "1h")]
async fn alias(n: u32) -> Answer<u32> {
    work().await;
    Err(io::Error::other(n.to_string()))?
}

#[coalesce]
async fn alias_with_clone(n: u32) -> Answer<u32, Refusal> {
    work().await;
    Err(Refusal(n))
}

/// Not even a `Result` by name.
type Loaded = Answer<Arc<str>, anyhow::Error>;

#[coalesce(max_concurrent = 8)]
async fn alias_without_parameters(n: u32) -> Loaded {
    work().await;
    Ok(n.to_string().into())
}

#[tokio::test(start_paused = true)]
async fn a_type_alias_of_result() {
    let text = |n| async move { alias(n).await.expect_err("always").to_string() };
    shares(text(1), text(1), text(2)).await;
    shares(alias_with_clone(1), alias_with_clone(1), alias_with_clone(2)).await;
    let text = |n| async move { alias_without_parameters(n).await.expect("always") };
    shares(text(1), text(1), text(2)).await;
}

#[coalesce]
async fn our_error(n: u32) -> Result<u32, Error> {
    work().await;
    Ok(n)
}

#[tokio::test(start_paused = true)]
async fn a_result_with_our_error() {
    let value = |n| async move { our_error(n).await.expect("always") };
    shares(value(1), value(1), value(2)).await;
}

#[coalesce]
async fn option_of_result(n: u32) -> Option<Result<u32, Refusal>> {
    work().await;
    (n > 0).then_some(Err(Refusal(n)))
}

#[coalesce]
async fn result_of_result(n: u32) -> Result<Result<u32, Refusal>, Refusal> {
    work().await;
    Ok(Err(Refusal(n)))
}

#[tokio::test(start_paused = true)]
async fn results_inside_other_types() {
    shares(option_of_result(1), option_of_result(1), option_of_result(0)).await;
    shares(result_of_result(1), result_of_result(1), result_of_result(0)).await;
}

/// A value whose type has a parameter of its own.
#[derive(Clone, Debug, PartialEq)]
struct Page<T> {
    items: Vec<T>,
}

#[coalesce]
async fn page<T: From<u8> + Clone + Send + Sync + 'static>(n: u8) -> Page<T> {
    work().await;
    Page { items: vec![n.into()] }
}

#[tokio::test(start_paused = true)]
async fn a_generic_value() {
    shares(page::<u32>(1), page::<u32>(1), page::<u32>(2)).await;
}

#[coalesce]
async fn never_ok(n: u32) -> Result<std::convert::Infallible, Refusal> {
    work().await;
    Err(Refusal(n))
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be() {
    shares(never_ok(1), never_ok(1), never_ok(2)).await;
}

#[coalesce]
async fn early(n: u32) -> Result<u32, Refusal> {
    work().await;
    if n == 0 {
        return Err(Refusal(0));
    }
    for at in 0..n {
        if at > 2 {
            return Ok(at);
        }
    }
    let parsed: u32 = n.to_string().parse().map_err(|_| Refusal(n))?;
    match parsed {
        1 => Ok(1),
        other => Err(Refusal(other)),
    }
}

#[tokio::test(start_paused = true)]
async fn early_returns() {
    shares(early(0), early(0), early(1)).await;
    shares(early(2), early(2), early(7)).await;
}

#[coalesce]
async fn diverges(n: u32) -> u32 {
    work().await;
    panic!("no {n}")
}

#[coalesce]
async fn unfinished(n: u32) -> Vec<Box<str>> {
    work().await;
    todo!("{n}")
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_returns() {
    let panic = |call: tokio::task::JoinHandle<u32>| async { call.await.expect_err("always").is_panic() };
    let call = |n| panic(tokio::spawn(diverges(n)));
    assert_eq!(shares_all(call(1), call(1)).await, (true, true));
    let call = |n| async move { tokio::spawn(unfinished(n)).await.is_err() };
    assert_eq!(shares_all(call(1), call(1)).await, (true, true));
}
