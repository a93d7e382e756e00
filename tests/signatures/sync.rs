//! Functions that are not `async`: their bodies stay in the call, or leave it where the policy may have them go on alone.

use std::borrow::Cow;
use std::cell::RefCell;
use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use stampede_runtime::{Error, cached, coalesce, coalesce_by_content};

/// The number of this run, on whatever thread: who is answered with the same one has shared it.
fn run() -> usize {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    RUNS.fetch_add(1, Relaxed)
}

/// Two equal calls make one execution, and a call with another key makes its own.
#[track_caller]
#[allow(clippy::needless_pass_by_value)]
fn shares<T: Debug + PartialEq>(one: T, equal: T, other: T) {
    assert_eq!(one, equal);
    assert_ne!(one, other);
}

/// One function and one test: the claim, the type, and three values of which the first two are equal.
macro_rules! argument {
    ($($claim:ident: $type:ty = $one:expr, $equal:expr, $other:expr;)*) => {$(
        #[test]
        fn $claim() {
            #[cached(ttl = 60)]
            fn stays(argument: $type) -> String {
                format!("{argument:?} {}", run())
            }

            #[cached(ttl = 60, stale = 60)]
            fn leaves(argument: $type) -> String {
                format!("{argument:?} {}", run())
            }

            shares(stays($one), stays($equal), stays($other));
            shares(leaves($one), leaves($equal), leaves($other));
        }
    )*};
}

/// A struct of a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Point {
    x: i32,
    y: i32,
}

argument! {
    a_value: u64 = 1, 1, 2;
    a_struct: Point = Point { x: 1, y: 2 }, Point { x: 1, y: 2 }, Point { x: 2, y: 1 };
    a_reference: &Point = &Point { x: 1, y: 2 }, &Point { x: 1, y: 2 }, &Point { x: 2, y: 1 };
    a_str: &str = "a", &String::from("a"), "b";
    a_slice: &[u8] = b"a", b"a", b"b";
    a_path: &Path = Path::new("a"), Path::new("a"), Path::new("b");
    an_option_of_a_reference: Option<&str> = Some("a"), Some("a"), None;
    a_cow: Cow<'_, str> = Cow::Borrowed("a"), Cow::Owned("a".into()), Cow::Borrowed("b");
    a_float: f64 = 0.0, -0.0, 1.0;
}

#[test]
fn patterns_and_mut_arguments() {
    #[cached(ttl = 60, skip(trace))]
    fn stays(mut n: u32, (left, trace): (u32, u32), [first, ..]: [u32; 2], _: u8) -> (u32, usize) {
        n += left + first;
        (n, run() + trace as usize * 1_000_000)
    }

    #[cached(ttl = 60, early, key(n, left))]
    fn leaves(mut n: u32, (left, mut right): (u32, u32), &d: &u32) -> (u32, usize) {
        n += left + d;
        right += 1;
        (n + right, run())
    }

    shares(stays(1, (1, 1), [1, 1], 0), stays(1, (1, 2), [1, 1], 0), stays(2, (1, 1), [1, 1], 0));
    assert_eq!(stays(1, (1, 1), [1, 1], 0).0, 3);
    shares(leaves(1, (1, 1), &1), leaves(1, (1, 2), &1), leaves(2, (1, 1), &1));
    assert_eq!(leaves(1, (1, 1), &1).0, 5);
}

#[test]
fn what_cannot_be_owned_stays() {
    #[cached(ttl = 60, key(id))]
    fn stays<'a>(id: u32, names: &[&'a str], show: &dyn Fn(&str), log: &RefCell<Vec<&'a str>>) -> usize {
        let first: &'a str = names[0];
        show(first);
        log.borrow_mut().push(first);
        run()
    }

    let log = RefCell::new(Vec::new());
    let call = |id| stays(id, &["a", "b"], &|_| (), &log);
    shares(call(1), call(1), call(2));
    assert_eq!(log.into_inner(), ["a", "a"]);
}

#[test]
fn closures_that_are_skipped() {
    #[cached(ttl = 60, skip(make))]
    fn stays<F: FnOnce() -> usize>(id: u32, make: F) -> usize {
        id as usize + make()
    }

    #[cached(ttl = 60, skip(make), companion = none)]
    fn unnamed(id: u32, make: impl FnOnce() -> usize) -> usize {
        id as usize + make()
    }

    let run = || run() * 100;
    shares(stays(1, run), stays(1, run), stays(2, run));
    shares(unnamed(1, run), unnamed(1, run), unnamed(2, run));
}

#[test]
fn arguments_of_one_thread() {
    #[cached(ttl = 60, key(*name))]
    fn stays(name: Rc<str>) -> (usize, usize) {
        (Rc::strong_count(&name), run())
    }

    shares(stays("a".into()), stays("a".into()), stays("b".into()));
}

#[test]
fn generics() {
    #[cached(ttl = 60)]
    fn stays<T, const N: usize>(items: [T; N]) -> (String, usize)
    where
        T: Clone + Display + Eq + Hash + Send + Sync + 'static,
    {
        (items.iter().map(ToString::to_string).collect(), run())
    }

    #[cached(ttl = 60, stale = 60)]
    fn leaves<T>(item: &T) -> (String, usize)
    where
        T: Clone + Display + Eq + Hash + Send + Sync + 'static,
    {
        (item.to_string(), run())
    }

    shares(stays([1]), stays([1]), stays([2]));
    shares(leaves(&"a"), leaves(&"a"), leaves(&"b"));
    assert_ne!(leaves(&1), leaves(&"1"), "instantiations share nothing");
    assert_eq!((leaves::stats::<i32>().executions, stays::stats::<i32, 1>().executions), (1, 2));
}

/// A failure that is not `Clone`.
#[derive(Debug)]
enum Failure {
    Empty,
    Ours(Error),
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Empty => write!(f, "empty"),
            Failure::Ours(error) => Display::fmt(error, f),
        }
    }
}

impl StdError for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Ours(error)
    }
}

#[test]
fn results_and_early_ends() {
    #[cached(ttl = 60)]
    fn stays(text: &str) -> Result<(u32, usize), Arc<std::num::ParseIntError>> {
        if text == "early" {
            return Ok((0, run()));
        }
        Ok((text.parse()?, run()))
    }

    #[cached(ttl = 60, timeout = "10m")]
    fn leaves(text: &str) -> Result<usize, Failure> {
        if text.is_empty() {
            return Err(Failure::Empty);
        }
        let first = text.chars().next().ok_or(Failure::Empty)?;
        Ok(first.len_utf8() + run() * 10)
    }

    #[coalesce]
    fn never() -> anyhow::Result<u32> {
        anyhow::bail!("never")
    }

    #[coalesce]
    async fn never_async() -> anyhow::Result<u32> {
        anyhow::bail!("never")
    }

    shares(stays("1"), stays("1"), stays("early"));
    assert!(stays("x").is_err());
    shares(leaves("a").unwrap(), leaves("a").unwrap(), leaves("b").unwrap());
    assert_eq!(leaves("").unwrap_err().to_string(), "empty");
    assert_eq!(never().unwrap_err().to_string(), "never");
    drop(never_async());
}

#[test]
fn nothing_at_all() {
    #[cached(ttl = 60)]
    fn nothing() {
        run();
    }

    nothing();
    nothing();
    assert_eq!((nothing::stats().requests, nothing::stats().executions), (2, 1));
}

#[test]
#[should_panic(expected = "not yet implemented")]
fn a_body_that_never_returns() {
    #[cached(ttl = 60)]
    fn unfinished(_id: u32) -> String {
        todo!()
    }

    unfinished(1);
}

#[test]
fn a_recursion() {
    #[cached(ttl = 60)]
    fn fibonacci(n: u32) -> u64 {
        if n < 2 { u64::from(n) } else { fibonacci(n - 1) + fibonacci(n - 2) }
    }

    #[cached(ttl = 60, early)]
    fn factorial(n: u64) -> u64 {
        if n == 0 { 1 } else { n * factorial(n - 1) }
    }

    assert_eq!(fibonacci(50), 12_586_269_025);
    assert_eq!(fibonacci::stats().executions, 51);
    assert_eq!(factorial(10), 3_628_800);
}

#[test]
fn by_content() {
    #[coalesce_by_content(fields = [topic], ttl = 60)]
    fn explain(topic: &str, user: u32) -> usize {
        user as usize + run() * 100
    }

    shares(explain("Rust", 1), explain(" rust ", 2), explain("rusty", 1));
}

#[test]
fn the_companion() {
    #[cached(ttl = 60)]
    fn load(id: u32, name: &str) -> Result<String, Error> {
        Ok(format!("{id}{name} {}", run()))
    }

    let first = load(1, "a").unwrap();
    assert_eq!(load::peek(1, "a").unwrap().unwrap(), first);
    let newer = load::refresh(1, "a").unwrap();
    assert_ne!(newer, first);
    assert_eq!(load(1, "a").unwrap(), newer);
    load::insert(1, "a", "kept".to_owned());
    assert_eq!(load(1, "a").unwrap(), "kept");
    load::invalidate(1, "a");
    assert!(load::peek(1, "a").is_none());
    load::insert(2, "a", Ok("kept".to_owned()));
    load::clear();
    assert!(load::peek(2, "a").is_none());
    assert_eq!(load::stats().executions, 2);
}

/// Not `Clone`, not `Sync`, and borrowing.
struct Store<'a> {
    rows: &'a [&'static str],
    reads: RefCell<usize>,
}

impl<'a> Store<'a> {
    #[cached(ttl = 60, skip(self), companion = row)]
    fn row(&self, at: usize) -> Option<(&'static str, usize)> {
        let rows: &'a [&'static str] = self.rows;
        *self.reads.borrow_mut() += 1;
        Some((*rows.get(at)?, run()))
    }

    #[cached(ttl = 60, key(self.rows.len()))]
    fn consumed(mut self) -> (usize, usize) {
        self.rows = &self.rows[1..];
        (self.rows.len(), run())
    }
}

#[test]
fn methods_whose_body_stays() {
    let store = |rows| Store { rows, reads: RefCell::default() };
    let one = store(&["a", "b"]);
    shares(one.row(0), one.row(0), one.row(1));
    assert_eq!(*one.reads.borrow(), 2);
    let refreshed = one.row_refresh(0);
    assert_eq!(one.row(0), refreshed);
    assert!(Store::row_stats().executions >= 3);
    shares(one.consumed(), store(&["c", "d"]).consumed(), store(&["a"]).consumed());
}

/// A cheap handle.
#[derive(Clone)]
struct Handle {
    base: Arc<str>,
}

impl Handle {
    #[cached(ttl = 60, stale = 60, key(self.base, id), companion = read)]
    fn read(&self, id: u32) -> (String, usize) {
        (format!("{}{id}", self.base), run())
    }

    #[cached(ttl = 60, early, skip(self))]
    fn pointed(self: &Arc<Self>, id: u32) -> (usize, usize) {
        (self.base.len() + id as usize, run())
    }

    #[cached(ttl = 60, early, skip(self))]
    fn shared(self: Arc<Self>, id: u32) -> (usize, usize) {
        (self.base.len() + id as usize, run())
    }

    #[cached(ttl = 60, method, companion = made)]
    fn made(base: &str) -> (Self, usize) {
        (Handle { base: base.into() }, run())
    }
}

#[test]
fn methods_whose_body_leaves() {
    let handle = Handle { base: "a".into() };
    shares(handle.read(1), handle.read(1), handle.read(2));
    assert_ne!(handle.read_refresh(1).1, handle.read(2).1);
    let handle = Arc::new(handle);
    shares(handle.pointed(1), handle.pointed(1), handle.pointed(2));
    let shared = |id| Arc::clone(&handle).shared(id);
    shares(shared(1), shared(1), shared(2));
    assert_eq!(Handle::made("a").1, Handle::made("a").1);
    assert_eq!(Handle::made_stats().executions, 1);
}

/// A trait without a word of async.
trait Source {
    fn read(&self, id: u32) -> (String, usize);

    #[cached(ttl = 60, skip(self))]
    fn twice(&self, id: u32) -> (String, usize)
    where
        Self: 'static,
    {
        let (text, run) = self.read(id);
        (text.repeat(2), run)
    }
}

impl Source for Handle {
    #[cached(ttl = 60, key(self.base, id))]
    fn read(&self, id: u32) -> (String, usize) {
        (format!("{}/{id}", self.base), run())
    }
}

#[test]
fn methods_of_traits() {
    let handle: &dyn Source = &Handle { base: "a".into() };
    shares(handle.read(1), handle.read(1), handle.read(2));
    let handle = Handle { base: "a".into() };
    shares(handle.twice(1), handle.twice(1), handle.twice(2));
    assert_eq!(handle.twice(1).0, "a/1a/1");
}

#[test]
fn a_function_as_a_value_and_inside_async_code() {
    #[cached(ttl = 60)]
    fn load(id: u32) -> (u32, usize) {
        (id, run())
    }

    let function: fn(u32) -> (u32, usize) = load;
    shares(function(1), load(1), function(2));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(async { load(1) }), load(1));
}

/// Reachable through the attribute's other names.
mod places {
    use super::{cached, run};

    #[must_use]
    #[cached(ttl = 60)]
    #[inline]
    pub(super) fn seen(id: u32) -> (u32, usize) {
        #![allow(clippy::needless_return)]
        return (id, run());
    }
}

#[test]
fn functions_of_any_visibility_and_with_attributes() {
    use places::seen;
    shares(seen(1), seen(1), seen(2));
    assert_eq!(seen::stats().executions, 2);
}
