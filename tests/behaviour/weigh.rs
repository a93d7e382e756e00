//! `weigh`: values count by their weight, and together never more than the capacity.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, Settings, cached};
use tokio::time::advance;

use super::help::{Token, World, alone, freed, in_time, settle};

const SECOND: Duration = Duration::from_secs(1);

#[cached(ttl = "1h", capacity = 100, weigh = String::len, skip(length))]
async fn text(key: u32, length: usize) -> String {
    let _ = key;
    "a".repeat(length)
}

/// What the kept values weigh, and how many there are.
fn kept(keys: std::ops::Range<u32>) -> (usize, usize) {
    let texts = keys.filter_map(text::peek);
    texts.fold((0, 0), |(weight, number), text| (weight + text.len(), number + 1))
}

#[tokio::test(start_paused = true)]
async fn the_weight_of_all_is_bounded() {
    alone(async {
        for key in 0..500_u32 {
            text(key, (key as usize * 37) % 60 + 1).await;
            let (weight, number) = kept(0..500);
            assert!(weight <= 100, "{weight}");
            assert!(number >= 1);
            assert_eq!(text::stats().cache_size, number);
        }
        let stats = text::stats();
        assert_eq!(stats.evictions + stats.cache_size as u64, 500, "what made room is counted");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn as_many_are_kept_as_their_weight_allows() {
    alone(async {
        for key in 0..10 {
            text(key, 10).await;
        }
        assert_eq!((kept(0..10), text::stats().evictions), ((100, 10), 0));
        text(10, 1).await;
        assert_eq!(text::stats().evictions, 1, "one makes room for one");
        text(11, 100).await;
        assert_eq!((kept(0..12), text::peek(11).map(|text| text.len())), ((100, 1), Some(100)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_heavier_than_all_is_not_kept_and_drives_out_nobody() {
    alone(async {
        for key in 0..10 {
            text(key, 10).await;
        }
        assert_eq!(text(10, 101).await.len(), 101);
        assert_eq!((text::peek(10), kept(0..10), text::stats().evictions), (None, (100, 10), 0));
        text::insert(10, "a".repeat(1_000));
        assert_eq!((text::peek(10), kept(0..10), text::stats().evictions), (None, (100, 10), 0));
        // In the place of an older value of the same key it leaves nothing, which would not be the newest.
        text::insert(1, "a".repeat(101));
        assert_eq!((text::peek(1), kept(0..10)), (None, (90, 9)));
        text::refresh(2, 101).await;
        assert_eq!((text::peek(2), kept(0..10)), (None, (80, 8)));
        assert_eq!((text::stats().evictions, text::stats().cache_size), (0, 8));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_weight_takes_the_place_of_the_old_one() {
    alone(async {
        for length in [10, 90, 20, 100, 1, 50] {
            text::refresh(1, length).await;
            assert_eq!(kept(0..2), (length, 1));
            text::insert(1, "a".repeat(length + 1).split_off(1));
            assert_eq!(kept(0..2), (length, 1));
        }
        text(2, 50).await;
        assert_eq!((kept(0..3), text::stats().evictions), ((100, 2), 0));
        text::invalidate(1);
        text(3, 50).await;
        assert_eq!((kept(0..4), text::stats().evictions), ((100, 2), 0), "what was taken out weighs nothing");
        text::clear();
        text(4, 100).await;
        assert_eq!((kept(0..5), text::stats().evictions), ((100, 1), 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn old_values_weigh_until_they_are_replaced() {
    #[cached(ttl = "10s", stale = "1h", capacity = 10, weigh = |weight| *weight, skip(weight, world))]
    async fn heavy(_key: u32, weight: usize, world: Arc<World>) -> usize {
        world.body().await;
        weight
    }

    alone(async {
        let world = World::at_ease();
        heavy(1, 6, Arc::clone(&world)).await;
        advance(10 * SECOND).await;
        heavy(2, 4, Arc::clone(&world)).await;
        assert_eq!(heavy(1, 5, Arc::clone(&world)).await, 6);
        settle().await;
        assert_eq!((heavy::peek(1), heavy::peek(2), heavy::stats().evictions), (Some(5), Some(4), 0));
        heavy(3, 1, Arc::clone(&world)).await;
        assert_eq!((heavy::stats().cache_size, heavy::stats().evictions), (3, 0));
        // A refresh that has become too heavy.
        advance(10 * SECOND).await;
        assert_eq!(heavy(1, 11, Arc::clone(&world)).await, 5);
        settle().await;
        assert_eq!((heavy::peek(1), heavy::stats().cache_size, heavy::stats().evictions), (None, 2, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_capacity_beyond_one_shard_is_still_one_bound() {
    #[cached(ttl = "1h", capacity = 1_000_000, weigh = |weight| *weight)]
    async fn large(key: u32, weight: usize) -> usize {
        let _ = key;
        weight
    }

    alone(async {
        assert_eq!(large(1, 1_000_000).await, 1_000_000);
        assert_eq!(large::peek(1, 1_000_000), Some(1_000_000), "as heavy as all");
        for key in 0..2_000 {
            large(key, 1_000).await;
        }
        let stats = large::stats();
        assert_eq!((stats.cache_size, stats.evictions), (1_000, 1_001));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_weight_beyond_all_numbers_is_too_heavy() {
    #[cached(ttl = "1h", capacity = 10, weigh = |_| usize::MAX)]
    async fn endless(key: u32) -> u32 {
        key
    }

    alone(async {
        assert_eq!(endless(1).await, 1);
        assert_eq!((endless::peek(1), endless::stats().cache_size), (None, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn weightless_values_are_bounded_too() {
    #[cached(ttl = "1h", capacity = 100, weigh = String::len)]
    async fn empty(key: u32) -> String {
        let _ = key;
        String::new()
    }

    alone(async {
        for key in 0..10_000 {
            empty(key).await;
        }
        assert!(empty::stats().cache_size <= 100, "{}", empty::stats());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_too_heavy_or_made_room_is_dropped() {
    #[cached(ttl = "1h", capacity = 10, weigh = |held: &(usize, Token)| held.0, skip(weight, token))]
    async fn held(_key: u32, weight: usize, token: Token) -> (usize, Token) {
        (weight, token)
    }

    alone(async {
        let (heavy, out) = (Token::default(), Token::default());
        drop(held(1, 11, Arc::clone(&heavy)).await);
        held::insert(2, (11, Arc::clone(&heavy)));
        drop(held(3, 5, Arc::clone(&out)).await);
        for key in 4..10 {
            held(key, 10, Token::default()).await;
        }
        let change = || held::insert(100, (1, Token::default()));
        freed(&[&heavy, &out], change).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn results_attached_and_sync_functions_have_weights_too() {
    #[cached(ttl = "1h", capacity = 10, weigh = |number: &usize| *number)]
    async fn fallible(number: usize) -> Result<usize, String> {
        if number == 0 { Err("nothing".to_owned()) } else { Ok(number) }
    }

    #[cached(ttl = "1h", capacity = 10, weigh = |number: &usize| *number, attached)]
    async fn attached(number: usize) -> usize {
        number
    }

    #[cached(ttl = "1h", capacity = 10, weigh = |number: &usize| *number)]
    fn now(number: usize) -> usize {
        number
    }

    alone(async {
        for number in 0..=11 {
            let _ = fallible(number).await;
            attached(number).await;
            now(number);
        }
        let weights = |peek: &dyn Fn(usize) -> Option<usize>| (1..=11).filter_map(peek).sum::<usize>();
        assert!((1..=10).contains(&weights(&|number| fallible::peek(number).and_then(Result::ok))));
        assert!((1..=10).contains(&weights(&|number| attached::peek(number))));
        assert!((1..=10).contains(&weights(&|number| now::peek(number))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_capacity_can_be_configured() {
    #[cached(namespace = "weigh", ttl = "1h", capacity = 100, weigh = |number: &usize| *number)]
    async fn load(number: usize) -> usize {
        number
    }

    let config =
        Config::builder().namespace("weigh", Settings::new().capacity(5)).build().expect("the configuration is right");
    let _isolated = isolate_with(config);
    in_time(async {
        for number in 1..=6 {
            load(number).await;
        }
        assert_eq!((load::peek(5), load::peek(6), load::stats().cache_size), (Some(5), None, 1));
    })
    .await;
}
