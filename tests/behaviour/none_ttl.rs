//! `none_ttl`: how long a `None` is kept, where that is another time than that of a value.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, Settings, cached, coalesce_by_content};
use tokio::time::advance;

use super::help::{World, add_up, all, alone, crowd, in_time, just_before, settle};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

#[cached(ttl = "1h", none_ttl = "10s", skip(world))]
async fn find(key: u32, world: Arc<World>) -> Option<usize> {
    let number = world.body().await;
    (key > 0).then_some(number)
}

#[tokio::test(start_paused = true)]
async fn a_none_is_kept_for_its_own_time_and_a_value_for_another() {
    alone(async {
        let world = World::at_ease();
        assert_eq!(find(0, Arc::clone(&world)).await, None);
        assert_eq!(find(1, Arc::clone(&world)).await, Some(2));
        advance(just_before(10 * SECOND)).await;
        assert_eq!(find(0, Arc::clone(&world)).await, None);
        assert_eq!((world.runs(), find::peek(0), find::stats().cache_hits), (2, Some(None), 1));
        advance(MILLISECOND).await;
        assert_eq!(find::peek(0), None);
        assert_eq!(find(0, Arc::clone(&world)).await, None);
        assert_eq!(find(1, Arc::clone(&world)).await, Some(2));
        assert_eq!(world.runs(), 3);
        advance(3600 * SECOND).await;
        assert_eq!(find::peek(1), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_may_be_longer_than_the_ttl() {
    #[cached(ttl = "10s", none_ttl = "1h")]
    async fn find(key: u32) -> Option<u32> {
        (key > 0).then_some(key)
    }

    alone(async {
        find(0).await;
        find(1).await;
        advance(3599 * SECOND).await;
        assert_eq!((find::peek(0), find::peek(1)), (Some(None), None));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_zero_none_is_shared_and_not_kept() {
    #[cached(ttl = "1h", none_ttl = 0, skip(world))]
    async fn find(key: u32, world: Arc<World>) -> Option<usize> {
        let number = world.body().await;
        (key > 0).then_some(number)
    }

    alone(async {
        let world = World::new();
        let calls = crowd(3, || find(0, Arc::clone(&world))).await;
        world.open_all();
        assert_eq!(all(calls).await, [None; 3]);
        assert_eq!((world.runs(), find::peek(0), find::stats().cache_size), (1, None, 0));
        assert_eq!(find(0, Arc::clone(&world)).await, None);
        assert_eq!(find(1, Arc::clone(&world)).await, Some(3));
        assert_eq!(find(1, world).await, Some(3));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_none_inside_a_result_is_a_none_and_an_error_is_not() {
    #[cached(ttl = "1h", none_ttl = "10s", skip(world))]
    async fn find(key: u32, world: Arc<World>) -> Result<Option<u32>, String> {
        world.body().await;
        if key == 2 { Err("no".to_owned()) } else { Ok((key > 0).then_some(key)) }
    }

    alone(async {
        let world = World::at_ease();
        for _ in 0..2 {
            assert_eq!(find(0, Arc::clone(&world)).await, Ok(None));
            assert_eq!(find(1, Arc::clone(&world)).await, Ok(Some(1)));
            assert_eq!(find(2, Arc::clone(&world)).await, Err("no".to_owned()));
        }
        assert_eq!(world.runs(), 4);
        advance(10 * SECOND).await;
        assert_eq!((find::peek(0), find::peek(1)), (None, Some(Ok(Some(1)))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn cache_if_and_insert_and_refresh_see_a_none_too() {
    #[cached(ttl = "1h", none_ttl = "10s", cache_if = Option::is_none)]
    async fn missing(key: u32) -> Option<u32> {
        (key > 0).then_some(key)
    }

    alone(async {
        missing(0).await;
        missing(1).await;
        assert_eq!((missing::peek(0), missing::peek(1)), (Some(None), None));
        advance(10 * SECOND).await;
        assert_eq!(missing::peek(0), None);

        find::insert(5, None);
        find::insert(6, Some(6));
        advance(10 * SECOND).await;
        assert_eq!((find::peek(5), find::peek(6)), (None, Some(Some(6))));
        // A `None` that takes the place of a value has its own time, and the other way round.
        find::insert(6, None);
        advance(9 * SECOND).await;
        assert_eq!(find::peek(6), Some(None));
        let world = World::at_ease();
        assert_eq!(find::refresh(6, world).await, Some(1));
        advance(11 * SECOND).await;
        assert_eq!(find::peek(6), Some(Some(1)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_none_may_be_stale() {
    #[cached(ttl = "1h", none_ttl = "10s", stale = "1m", skip(world))]
    async fn found_later(_key: u32, world: Arc<World>) -> Option<usize> {
        let number = world.body().await;
        (number > 1).then_some(number)
    }

    alone(async {
        let world = World::at_ease();
        found_later(1, Arc::clone(&world)).await;
        advance(10 * SECOND).await;
        assert_eq!(found_later(1, Arc::clone(&world)).await, None);
        settle().await;
        assert_eq!(found_later(1, Arc::clone(&world)).await, Some(2));
        let stats = found_later::stats();
        add_up(&stats);
        assert_eq!((stats.stale_hits, stats.refreshes), (1, 1));
        advance(3599 * SECOND).await;
        assert_eq!(found_later(1, world).await, Some(2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_holds_for_every_kind_of_function() {
    #[cached(ttl = "1h", none_ttl = "10s")]
    fn now(_key: u32) -> Option<u32> {
        None
    }

    #[cached(ttl = "1h", none_ttl = "10s", attached)]
    async fn attached(_key: u32) -> Option<u32> {
        None
    }

    #[coalesce_by_content(ttl = "1h", none_ttl = "10s")]
    async fn by_content(_text: &str) -> Option<u32> {
        None
    }

    #[cached(ttl = "1h", none_ttl = "10s")]
    async fn generic<T: Clone + Send + Sync + 'static>(_key: u32) -> Option<T> {
        None
    }

    alone(async {
        now(1);
        attached(1).await;
        by_content(" A ").await;
        generic::<u8>(1).await;
        advance(just_before(10 * SECOND)).await;
        assert_eq!((now::peek(1), attached::peek(1), by_content::peek("a")), (Some(None), Some(None), Some(None)));
        generic::<u8>(1).await;
        assert_eq!(generic::stats::<u8>().cache_hits, 1);
        advance(MILLISECOND).await;
        assert_eq!((now::peek(1), attached::peek(1), by_content::peek("a")), (None, None, None));
        generic::<u8>(1).await;
        assert_eq!(generic::stats::<u8>().cache_hits, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_can_be_configured_for_functions_that_name_it() {
    #[cached(namespace = "none_ttl::named", ttl = "1h", none_ttl = "10s")]
    async fn named(_key: u32) -> Option<u32> {
        None
    }

    #[cached(namespace = "none_ttl::silent", ttl = "1h")]
    async fn silent(_key: u32) -> Option<u32> {
        None
    }

    let config = Config::builder()
        .defaults(Settings::new().none_ttl(SECOND))
        .namespace("none_ttl::named", Settings::new().none_ttl(2 * SECOND))
        .build()
        .expect("the configuration is right");
    let _isolated = isolate_with(config);
    in_time(async {
        named(1).await;
        silent(1).await;
        advance(just_before(2 * SECOND)).await;
        assert_eq!(named::peek(1), Some(None));
        advance(MILLISECOND).await;
        assert_eq!((named::peek(1), silent::peek(1)), (None, Some(None)));
    })
    .await;
}
