//! `#[distributed_coalesce]`: what it does unasked, and that it needs no backend.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, ConfigBuilder, Settings, configure, distributed_coalesce};
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
