//! Functions whose values are kept in a backend, too.

use std::fmt::{self, Display};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stampede_runtime::store::MemoryBackend;
use stampede_runtime::testing::{Isolated, isolate_with};
use stampede_runtime::{Config, Error, cached, coalesce_by_content, distributed_coalesce};

fn isolate() -> Isolated {
    isolate_with(Config::builder().backend("memory", MemoryBackend::new(1 << 20)).build().expect("it is right"))
}

/// The number of this run.
fn run() -> usize {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    RUNS.fetch_add(1, Relaxed)
}

/// A value that can leave the process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Quote {
    symbol: String,
    run: usize,
}

#[tokio::test]
async fn an_async_function() {
    #[cached(ttl = 60, backend = "memory", version = 2)]
    async fn load(symbol: &str, day: u32, part: Option<f64>) -> Result<Quote, String> {
        if day == 0 { Err("no day".to_owned()) } else { Ok(Quote { symbol: format!("{symbol}{part:?}"), run: run() }) }
    }

    let _isolated = isolate();
    let first = load("a", 1, Some(0.5)).await;
    assert_eq!(first, load("a", 1, Some(0.5)).await);
    assert_ne!(first, load("b", 1, Some(0.5)).await);
    assert!(load("a", 0, None).await.is_err());
}

#[test]
fn sync_functions() {
    #[cached(ttl = 60, backend = "memory", key(symbol, trace.is_some()))]
    fn stays(symbol: &str, trace: Option<&dyn Display>) -> Quote {
        Quote { symbol: symbol.to_owned(), run: run() + trace.map_or(0, |trace| trace.to_string().len()) }
    }

    #[cached(ttl = 60, stale = 60, backend = "memory", key = "quote/{symbol}")]
    fn leaves(symbol: &str) -> Quote {
        Quote { symbol: symbol.to_owned(), run: run() }
    }

    #[coalesce_by_content(ttl = 60, backend = "memory")]
    fn content(symbol: &str) -> usize {
        symbol.len() + 100 * run()
    }

    let _isolated = isolate();
    assert_eq!(stays("a", None), stays("a", None));
    assert_ne!(stays("a", None), stays("a", Some(&1)));
    assert_eq!(leaves("a"), leaves("a"));
    assert_eq!(content("A"), content("a"));
}

#[derive(Clone)]
struct Store<T> {
    id: T,
}

impl<T: Clone + Display + Eq + Hash + Serialize + Send + Sync + 'static> Store<T> {
    #[cached(ttl = 60, backend = "memory", namespace = "stores", key(self.id, symbol), companion = quote)]
    async fn quote(&self, symbol: &str) -> Quote {
        Quote { symbol: format!("{}{symbol}", self.id), run: run() }
    }
}

#[tokio::test]
async fn a_method_that_names_its_namespace() {
    let _isolated = isolate();
    let store = Store { id: 1 };
    assert_eq!(store.quote("a").await, store.quote("a").await);
    assert_ne!(store.quote("a").await, Store { id: 2 }.quote("a").await);
    assert_eq!(Store::<i32>::quote_stats().executions, 2);
}

#[test]
fn a_generic_function_that_names_its_namespace() {
    #[cached(ttl = 60, backend = "memory", namespace = "lists")]
    fn list<T, const N: usize>(items: [T; N]) -> (Vec<T>, usize)
    where
        T: Clone + Eq + Hash + Serialize + DeserializeOwned + Send + Sync + 'static,
        [T; N]: Serialize,
    {
        (items.into(), run())
    }

    #[cached(ttl = 60, backend = "memory", namespace = "texts")]
    fn text<T>(item: &T) -> Arc<str>
    where
        T: ?Sized + Display + Hash + Eq + ToOwned + Serialize + Sync + 'static,
        T::Owned: std::borrow::Borrow<T> + Clone + Eq + Send + Sync + 'static,
    {
        format!("{item}{}", run()).into()
    }

    let _isolated = isolate();
    assert_eq!(list([1_u8]), list([1_u8]));
    assert_ne!(list([1_u8]).1, list([1_u16]).1);
    assert_eq!(text("a"), text("a"));
    assert_ne!(text("1"), text(&1));
}

impl<T: Clone + Display + Eq + Hash + Serialize + Send + Sync + 'static> Store<T> {
    #[distributed_coalesce(
        backend = "memory",
        namespace = "distributed stores",
        key(self.id, symbol),
        attached,
        companion = asked
    )]
    async fn ask(&self, symbol: &str, log: &dyn Fn(&str)) -> Quote {
        log(symbol);
        Quote { symbol: format!("{}{symbol}", self.id), run: run() }
    }
}

#[tokio::test]
async fn distributed_functions() {
    #[distributed_coalesce(backend = "memory", version = 2, lease = "10s", stale = "1m", early)]
    async fn load(symbol: &str, day: u32, part: Option<f64>) -> Option<Quote> {
        Some(Quote { symbol: format!("{symbol}{day}{part:?}"), run: run() })
    }

    #[distributed_coalesce(backend = "memory", key = "quote/{symbol}")]
    fn sync(symbol: &str) -> usize {
        symbol.len() + 100 * run()
    }

    #[distributed_coalesce(backend = "memory", namespace = "distributed lists")]
    async fn list<T, E, const N: usize>(items: Vec<T>) -> Result<Vec<T>, E>
    where
        T: Clone + Eq + Hash + Serialize + DeserializeOwned + Send + Sync + 'static,
        E: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        Ok(items.into_iter().take(N).collect())
    }

    let _isolated = isolate();
    assert_eq!(load("a", 1, Some(0.5)).await, load("a", 1, Some(0.5)).await);
    assert_ne!(load("a", 1, Some(0.5)).await, load("b", 1, Some(0.5)).await);
    assert_eq!(sync("a"), sync("a"));
    assert_eq!(list::<u8, String, 1>(vec![1, 2]).await, Ok(vec![1]));
    assert_eq!(list::<u8, String, 2>(vec![1, 2]).await, Ok(vec![1, 2]));
    let store = Store { id: 1 };
    assert_eq!(store.ask("a", &|_| ()).await, store.ask("a", &|_| ()).await);
    assert_eq!(Store::<i32>::asked_stats().executions, 1);
}

/// Crosses to other processes as itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Refused {
    code: u16,
}

/// Crosses as its text.
#[derive(Debug)]
enum Failed {
    Refused(u16),
    Stampede(Error),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Refused(code) => write!(f, "refused with {code}"),
            Failed::Stampede(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Failed {}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Stampede(error)
    }
}

/// Looks like one of serde's and is none, since it borrows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Borrows {
    text: &'static str,
}

#[tokio::test]
async fn errors_of_distributed_functions() {
    #[distributed_coalesce(backend = "memory", share_errors, lease = "10s")]
    async fn itself(key: u16) -> Result<u16, Refused> {
        Err(Refused { code: key })
    }

    #[distributed_coalesce(backend = "memory", share_errors = true)]
    async fn as_text(key: u16) -> Result<u16, Failed> {
        Err(Failed::Refused(key))
    }

    #[distributed_coalesce(backend = "memory", share_errors)]
    async fn pointed_at(key: u16) -> anyhow::Result<u16> {
        anyhow::bail!("refused with {key}")
    }

    #[distributed_coalesce(backend = "memory", share_errors = false)]
    async fn kept_here(key: u16) -> Result<u16, Refused> {
        Err(Refused { code: key })
    }

    #[distributed_coalesce(backend = "memory")]
    async fn not_carried(_key: u16) -> Result<u16, Borrows> {
        Err(Borrows { text: "a" })
    }

    #[distributed_coalesce(backend = "memory", key = "{key}", share_errors)]
    fn sync(key: u16) -> Result<u16, String> {
        Err(key.to_string())
    }

    let _isolated = isolate();
    assert_eq!(itself(4).await, Err(Refused { code: 4 }));
    assert_eq!(as_text(4).await.expect_err("it fails").to_string(), "refused with 4");
    assert_eq!(pointed_at(4).await.expect_err("it fails").to_string(), "refused with 4");
    assert_eq!(kept_here(4).await, Err(Refused { code: 4 }));
    assert_eq!(not_carried(4).await, Err(Borrows { text: "a" }));
    assert_eq!(sync(4), Err("4".to_owned()));
}
