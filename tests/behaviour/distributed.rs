//! `#[distributed_coalesce]`: what it does unasked, which words it takes, and that it needs no backend.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stampede_runtime::store::MemoryBackend;
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, ConfigBuilder, Error, Settings, configure, distributed_coalesce};
use tokio::time::advance;

use super::help::{World, all, crowd, in_time};

const SECOND: Duration = Duration::from_secs(1);

#[distributed_coalesce(namespace = "bare", skip(world))]
async fn bare(_key: u32, world: Arc<World>) -> usize {
    world.body().await
}

#[distributed_coalesce(namespace = "in flight only", ttl = none, skip(world))]
async fn in_flight_only(_key: u32, world: Arc<World>) -> usize {
    world.body().await
}

async fn configured<T>(config: ConfigBuilder, test: impl Future<Output = T>) -> T {
    let _isolated = isolate_with(config.build().expect("the configuration is right"));
    in_time(test).await
}

/// For how many seconds the value of a call is kept.
macro_rules! kept {
    ($function:ident) => {{
        let world = World::at_ease();
        $function(1, world).await;
        let mut seconds = 0;
        while $function::peek(1).is_some() {
            advance(SECOND).await;
            seconds += 1;
        }
        seconds
    }};
}

#[tokio::test(start_paused = true)]
async fn without_a_backend_calls_are_shared_in_this_process() {
    configured(Config::builder(), async {
        let world = World::new();
        let calls = crowd(10, || bare(1, Arc::clone(&world))).await;
        world.open_all();
        assert_eq!(all(calls).await, [1; 10]);
        assert_eq!((world.runs(), bare::stats().coalesce_hits), (1, 9));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_value_is_kept_for_a_minute_unless_something_else_is_said() {
    configured(Config::builder(), async {
        assert_eq!(kept!(bare), 60);
        assert_eq!(kept!(in_flight_only), 0);
    })
    .await;
    let defaults = || Config::builder().defaults(Settings::new().ttl(5 * SECOND));
    configured(defaults(), async {
        assert_eq!(kept!(bare), 5);
        assert_eq!(kept!(in_flight_only), 0);
    })
    .await;
    let settings = Settings::new().ttl(7 * SECOND);
    configured(defaults().namespace("bare", settings.clone()).namespace("in flight only", settings), async {
        assert_eq!(kept!(bare), 7);
        assert_eq!(kept!(in_flight_only), 7);
    })
    .await;
}

#[distributed_coalesce(namespace = "named", backend = "main")]
async fn named(key: u32) -> u32 {
    key
}

#[tokio::test]
async fn a_backend_that_is_written_must_be_there_and_the_one_that_is_not_need_not() {
    let _isolated = isolate_with(Config::default());
    let report = configure(Config::default()).expect_err("it is not there").to_string();
    assert!(report.contains("`named::named`: no backend is called `main`"), "{report}");
    assert!(!report.contains("redis"), "{report}");
    assert_eq!(named(1).await, 1);
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
async fn errors_of_every_kind() {
    #[distributed_coalesce(share_errors, lease = "10s")]
    async fn itself(key: u16) -> Result<u16, Refused> {
        Err(Refused { code: key })
    }

    #[distributed_coalesce(share_errors = true)]
    async fn as_text(key: u16) -> Result<u16, Failed> {
        Err(Failed::Refused(key))
    }

    #[distributed_coalesce(share_errors)]
    async fn pointed_at(key: u16) -> anyhow::Result<u16> {
        anyhow::bail!("refused with {key}")
    }

    #[distributed_coalesce(share_errors = false)]
    async fn kept_here(key: u16) -> Result<u16, Refused> {
        Err(Refused { code: key })
    }

    #[distributed_coalesce]
    async fn not_carried(_key: u16) -> Result<u16, Borrows> {
        Err(Borrows { text: "a" })
    }

    #[distributed_coalesce(key = "{key}", share_errors)]
    fn sync(key: u16) -> Result<u16, String> {
        Err(key.to_string())
    }

    let _isolated = isolate_with(Config::default());
    assert_eq!(itself(4).await, Err(Refused { code: 4 }));
    assert_eq!(as_text(4).await.expect_err("it fails").to_string(), "refused with 4");
    assert_eq!(pointed_at(4).await.expect_err("it fails").to_string(), "refused with 4");
    assert_eq!(kept_here(4).await, Err(Refused { code: 4 }));
    assert_eq!(not_carried(4).await, Err(Borrows { text: "a" }));
    assert_eq!(sync(4), Err("4".to_owned()));
}

#[derive(Clone)]
struct Store<T>(T);

impl<T: Copy + Into<u64> + Send + Sync + 'static> Store<T> {
    #[distributed_coalesce(namespace = "stores", key(self.0.into(), key), attached, companion = load)]
    async fn load(&self, key: u64) -> u64 {
        self.0.into() + key
    }
}

#[tokio::test]
async fn methods_and_generic_functions_that_name_their_namespace() {
    #[distributed_coalesce(namespace = "lists", version = 2)]
    async fn list<E, const N: usize>(items: Vec<u8>) -> Result<[u8; 2], E>
    where
        E: Clone + Serialize + for<'de> Deserialize<'de> + Send + Sync + 'static,
    {
        Ok([items[0], items[N]])
    }

    let config = Config::builder().backend("redis", MemoryBackend::new(1 << 20)).build().expect("it is right");
    let _isolated = isolate_with(config);
    assert_eq!(Store(1_u32).load(2).await, 3);
    assert_eq!(list::<String, 1>(vec![1, 2]).await, Ok([1, 2]));
    assert_eq!((Store::<u32>::load_stats().executions, list::stats::<String, 1>().executions), (1, 1));
}
