//! Generic functions.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::sync::Arc;

use stampede_runtime::coalesce;

use super::help::{shares, shares_all, shares_nothing, work};

#[coalesce]
async fn plain(topic: &str, n: u32) -> String {
    work().await;
    format!("{topic}{n}")
}

#[tokio::test(start_paused = true)]
async fn a_free_function() {
    shares(plain("a", 1), plain("a", 1), plain("a", 2)).await;
}

#[coalesce]
async fn by_value<T: Clone + Eq + Hash + Send + Sync + 'static>(item: T) -> T {
    work().await;
    item
}

#[tokio::test(start_paused = true)]
async fn a_type_parameter_by_value() {
    shares(by_value("a"), by_value("a"), by_value("b")).await;
}

#[coalesce]
async fn by_reference<T>(item: &T) -> T
where
    T: Clone + Eq + Hash + Send + Sync + 'static,
{
    work().await;
    item.clone()
}

#[tokio::test(start_paused = true)]
async fn a_type_parameter_by_reference_with_a_where_clause() {
    shares(by_reference(&1), by_reference(&1), by_reference(&2)).await;
}

#[coalesce]
async fn unsized_parameter<T>(item: &T) -> String
where
    T: ?Sized + Hash + Eq + ToOwned + Display + Sync + 'static,
    T::Owned: std::borrow::Borrow<T> + Clone + Eq + Send + Sync + 'static,
{
    work().await;
    item.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_type_parameter_that_may_be_unsized() {
    shares(unsized_parameter("a"), unsized_parameter("a"), unsized_parameter("b")).await;
}

#[coalesce(companion = none)]
async fn impl_by_value(item: impl Display + Clone + Eq + Hash + Send + Sync + 'static) -> String {
    work().await;
    item.to_string()
}

#[tokio::test(start_paused = true)]
async fn an_impl_trait_argument_by_value_with_the_bounds_of_a_key() {
    shares(impl_by_value("a"), impl_by_value("a"), impl_by_value("b")).await;
}

#[coalesce(key(name.as_ref()), companion = none)]
async fn impl_as_ref(name: impl AsRef<str> + Send + Sync + 'static) -> String {
    work().await;
    name.as_ref().to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_impl_as_ref_argument_through_key() {
    shares(impl_as_ref("a"), impl_as_ref("a"), impl_as_ref("b")).await;
}

#[coalesce(key(name.as_ref()), companion = none, attached)]
async fn impl_as_ref_attached(name: impl AsRef<str>) -> String {
    work().await;
    name.as_ref().to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_impl_as_ref_argument_attached_needs_no_bounds() {
    let owned = "a".to_owned();
    let call = || impl_as_ref_attached(&owned);
    shares(call(), call(), impl_as_ref_attached(&"b".to_owned())).await;
}

#[coalesce(key(item.to_string()), attached)]
async fn impl_by_reference(item: &impl Display) -> String {
    work().await;
    item.to_string()
}

#[tokio::test(start_paused = true)]
async fn an_impl_trait_argument_by_reference_attached() {
    shares(impl_by_reference(&1), impl_by_reference(&1), impl_by_reference(&2)).await;
}

#[coalesce]
async fn array<const N: usize>(items: [u8; N]) -> usize {
    work().await;
    N + usize::from(items[0])
}

#[tokio::test(start_paused = true)]
async fn a_const_parameter() {
    shares(array([1, 2]), array([1, 2]), array([2, 1])).await;
    shares_nothing(array([1, 2]), array([1, 2, 3])).await;
}

#[coalesce]
async fn repeated<const TIMES: usize, const LOUD: bool>(text: &str) -> String {
    work().await;
    if LOUD { text.repeat(TIMES).to_uppercase() } else { text.repeat(TIMES) }
}

#[tokio::test(start_paused = true)]
async fn const_parameters_that_no_argument_tells() {
    assert_eq!(shares_all(repeated::<2, true>("a"), repeated::<2, true>("a")).await, ("AA".into(), "AA".into()));
    shares_nothing(repeated::<2, true>("a"), repeated::<2, false>("a")).await;
    shares_nothing(repeated::<2, true>("a"), repeated::<3, true>("a")).await;
}

#[coalesce]
async fn named_lifetimes<'a, 'b: 'a>(one: &'a str, other: &'b str) -> String {
    work().await;
    format!("{one}/{other}")
}

#[tokio::test(start_paused = true)]
async fn lifetimes_that_are_named() {
    shares(named_lifetimes("a", "b"), named_lifetimes("a", "b"), named_lifetimes("b", "a")).await;
}

#[coalesce(attached)]
async fn lifetime_in_the_body<'a>(text: &'a str) -> usize {
    work().await;
    let longest: &'a str = text.split(' ').max_by_key(|word| word.len()).unwrap_or_default();
    longest.len()
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_named_in_an_attached_body() {
    shares(lifetime_in_the_body("a bcd"), lifetime_in_the_body("a bcd"), lifetime_in_the_body("a")).await;
}

#[coalesce]
async fn generic_error<E>(key: u32) -> Result<u32, E>
where
    E: From<std::num::ParseIntError> + Clone + Send + Sync + 'static,
{
    work().await;
    Ok("x".repeat(key as usize).parse::<u32>()?)
}

#[tokio::test(start_paused = true)]
async fn a_generic_error_that_is_clone() {
    #[derive(Clone, Debug, PartialEq)]
    struct Mine(String);

    impl From<std::num::ParseIntError> for Mine {
        fn from(error: std::num::ParseIntError) -> Mine {
            Mine(error.to_string())
        }
    }

    shares(generic_error::<Mine>(1), generic_error(1), generic_error(0)).await;
}

#[coalesce(timeout = "1h")]
async fn generic_error_from_ours<E>(key: u32) -> Result<u32, E>
where
    E: std::error::Error + From<stampede_runtime::Error> + From<std::num::ParseIntError> + Send + Sync + 'static,
{
    work().await;
    Ok("x".repeat(key as usize).parse::<u32>()?)
}

#[tokio::test(start_paused = true)]
async fn a_generic_error_that_is_made_from_ours() {
    #[derive(Debug)]
    enum Mine {
        Parse(std::num::ParseIntError),
        Stampede(stampede_runtime::Error),
    }

    impl Display for Mine {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self {
                Mine::Parse(error) => Display::fmt(error, f),
                Mine::Stampede(error) => Display::fmt(error, f),
            }
        }
    }

    impl std::error::Error for Mine {}

    impl From<std::num::ParseIntError> for Mine {
        fn from(error: std::num::ParseIntError) -> Mine {
            Mine::Parse(error)
        }
    }

    impl From<stampede_runtime::Error> for Mine {
        fn from(error: stampede_runtime::Error) -> Mine {
            Mine::Stampede(error)
        }
    }

    let text = |call: Result<u32, Mine>| call.expect_err("no number").to_string();
    let call = |key| async move { text(generic_error_from_ours::<Mine>(key).await) };
    shares(call(1), call(1), call(0)).await;
}

/// What asks; it has nothing to do with the key.
trait Transport: Clone + Send + Sync + 'static {
    fn name(&self) -> &'static str;
}

#[derive(Clone)]
struct Tcp;

impl Transport for Tcp {
    fn name(&self) -> &'static str {
        "tcp"
    }
}

#[derive(Clone)]
struct Udp;

impl Transport for Udp {
    fn name(&self) -> &'static str {
        "udp"
    }
}

#[coalesce(skip(transport))]
async fn two_parameters<T: Transport, K>(transport: &T, key: K) -> String
where
    K: Clone + Eq + Hash + Debug + Send + Sync + 'static,
{
    work().await;
    format!("{}{key:?}", transport.name())
}

#[tokio::test(start_paused = true)]
async fn two_type_parameters_one_of_them_outside_the_key() {
    shares(two_parameters(&Tcp, 1), two_parameters(&Tcp, 1), two_parameters(&Tcp, 2)).await;
    shares_nothing(two_parameters(&Tcp, 1), two_parameters(&Udp, 1)).await;
}

#[coalesce(skip(transport), attached)]
async fn borrowed_parameter<T: Debug + ?Sized>(transport: &T, key: u32) -> String {
    work().await;
    format!("{transport:?}{key}")
}

#[tokio::test(start_paused = true)]
async fn a_type_parameter_without_bounds_outside_the_key_attached() {
    shares(borrowed_parameter("tcp", 1), borrowed_parameter("tcp", 1), borrowed_parameter("tcp", 2)).await;
}

#[coalesce]
async fn associated<I>(items: I) -> u64
where
    I: IntoIterator<Item = u64> + Clone + Eq + Hash + Send + Sync + 'static,
    I::IntoIter: Send,
{
    work().await;
    items.into_iter().sum()
}

#[tokio::test(start_paused = true)]
async fn bounds_on_associated_types() {
    shares(associated(vec![1, 2]), associated(vec![1, 2]), associated(vec![2])).await;
}

#[coalesce]
async fn higher_ranked<F>(key: u32, read: Arc<F>) -> usize
where
    F: for<'a> Fn(&'a str) -> &'a str + Eq + Hash + Send + Sync + 'static,
{
    work().await;
    read("text").len() + key as usize
}

#[tokio::test(start_paused = true)]
async fn higher_ranked_bounds() {
    fn trim(text: &str) -> &str {
        text.trim()
    }

    let read: Arc<fn(&str) -> &str> = Arc::new(trim);
    let call = |key| higher_ranked(key, Arc::clone(&read));
    shares(call(1), call(1), call(2)).await;
}

#[coalesce]
async fn default_companion<T: Clone + Eq + Hash + Send + Sync + 'static>(item: T) -> T {
    work().await;
    item
}

#[tokio::test(start_paused = true)]
async fn the_companion_of_a_generic_function_names_the_instantiation() {
    let _isolated = stampede_runtime::testing::isolate();
    default_companion(1_u8).await;
    assert_eq!(default_companion::stats::<u8>().executions, 1);
    assert_eq!(default_companion::stats::<u16>().executions, 0);
}
