//! Functions whose values are kept in a backend, too.

use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stampede_runtime::store::MemoryBackend;
use stampede_runtime::testing::{Isolated, isolate_with};
use stampede_runtime::{Config, cached, coalesce_by_content};

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
