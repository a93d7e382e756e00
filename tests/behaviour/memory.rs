//! What is kept, for how long, and how much of it.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::{coalesce, ttl};
use tokio::time::advance;

use super::help::{Token, World, all, alone, crowd, freed, in_a_process_of_its_own, in_time, is_last};

const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_value_lives_as_long_as_its_ttl() {
    const HALF: Duration = Duration::from_millis(500);

    #[coalesce(ttl = 60, skip(world))]
    async fn seconds(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    #[coalesce(ttl = "1h30m", skip(world))]
    async fn text(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    #[coalesce(ttl = HALF, skip(world))]
    async fn path(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    #[coalesce(ttl = ttl::MINUTE * 2, skip(world))]
    async fn expression(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    alone(async {
        macro_rules! lives {
            ($function:ident, $life:expr) => {
                let world = World::at_ease();
                $function(1, Arc::clone(&world)).await;
                advance($life.saturating_sub(MILLISECOND)).await;
                assert_eq!($function(1, Arc::clone(&world)).await, 1);
                assert_eq!($function::peek(1), Some(1));
                // A hit does not make it live longer.
                advance(2 * MILLISECOND).await;
                assert_eq!($function::peek(1), None);
                assert_eq!($function(1, Arc::clone(&world)).await, 2);
            };
        }
        lives!(seconds, ttl::MINUTE);
        lives!(text, ttl::MINUTE * 90);
        lives!(path, HALF);
        lives!(expression, ttl::MINUTE * 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_life_begins_when_the_value_is_there() {
    #[coalesce(ttl = "10s")]
    async fn slow(_key: u32) -> u32 {
        tokio::time::sleep(ttl::MINUTE).await;
        1
    }

    alone(async {
        slow(1).await;
        advance(Duration::from_secs(9)).await;
        assert_eq!(slow::peek(1), Some(1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_ttl_may_depend_on_the_value() {
    #[coalesce(ttl = |seconds| Duration::from_secs(*seconds))]
    async fn choose(_key: u32, seconds: u64) -> Result<u64, String> {
        Ok(seconds)
    }

    alone(async {
        choose(1, 10).await.expect("no error");
        choose(2, 20).await.expect("no error");
        choose(3, 0).await.expect("no error");
        assert_eq!(choose::peek(3, 0), None, "a computed zero keeps nothing");
        advance(Duration::from_secs(15)).await;
        assert_eq!((choose::peek(1, 10), choose::peek(2, 20)), (None, Some(Ok(20))));
        choose::insert(4, 30, 30);
        advance(Duration::from_secs(29)).await;
        assert_eq!(choose::peek(4, 30), Some(Ok(30)));
        advance(Duration::from_secs(2)).await;
        assert_eq!(choose::peek(4, 30), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_computed_zero_keeps_nothing_and_still_shares() {
    fn none() -> Duration {
        Duration::ZERO
    }

    #[coalesce(ttl = none(), skip(world))]
    async fn zero(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    alone(async {
        let world = World::new();
        let calls = crowd(3, || zero(1, Arc::clone(&world))).await;
        world.open_all();
        assert_eq!(all(calls).await, [1; 3]);
        assert_eq!(zero(1, Arc::clone(&world)).await, 2);
        zero::insert(1, 7);
        assert_eq!(zero::peek(1), None);
        assert_eq!(zero::stats().cache_size, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_ttl_beyond_all_time_is_for_ever() {
    #[coalesce(ttl = Duration::MAX)]
    async fn eternal(key: u32) -> u32 {
        key
    }

    alone(async {
        eternal(1).await;
        advance(ttl::WEEK * 52 * 20).await;
        assert_eq!(eternal::peek(1), Some(1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn cache_if_decides_what_is_kept_and_not_what_is_shared() {
    #[coalesce(ttl = "1h", cache_if = |number| *number > 1, skip(world))]
    async fn picky(_key: u32, world: Arc<World>) -> Result<usize, String> {
        Ok(world.body().await)
    }

    alone(async {
        let world = World::new();
        let calls = crowd(3, || picky(1, Arc::clone(&world))).await;
        world.open_all();
        assert_eq!(all(calls).await, vec![Ok(1); 3]);
        assert_eq!(picky::peek(1), None);
        assert_eq!(picky(1, Arc::clone(&world)).await, Ok(2));
        assert_eq!(picky(1, Arc::clone(&world)).await, Ok(2));
        picky::insert(1, 0);
        assert_ne!(picky::peek(1), Some(Ok(0)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_and_none_are_values_like_any_other() {
    #[coalesce(ttl = "1h", skip(world))]
    async fn none(_key: u32, world: Arc<World>) -> Option<u32> {
        world.begin();
        None
    }

    #[coalesce(ttl = "1h", skip(world))]
    async fn unit(_key: u32, world: Arc<World>) {
        world.begin();
    }

    alone(async {
        let world = World::new();
        for _ in 0..3 {
            assert_eq!(none(1, Arc::clone(&world)).await, None);
            unit(1, Arc::clone(&world)).await;
        }
        assert_eq!(world.runs(), 2);
        assert_eq!((none::peek(1), unit::peek(1)), (Some(None), Some(())));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn capacity_bounds_what_is_kept() {
    /// Not a multiple of anything.
    const CAPACITY: usize = 10_007;

    #[coalesce(ttl = "1h", capacity = 1)]
    async fn one(key: usize) -> usize {
        key
    }

    #[coalesce(ttl = "1h")]
    async fn default(key: usize) -> usize {
        key
    }

    #[coalesce(ttl = "1h", capacity = CAPACITY)]
    async fn large(key: usize) -> usize {
        key
    }

    alone(async {
        for key in 0..30_000 {
            one(key).await;
            default(key).await;
            large(key).await;
        }
        assert_eq!((one::stats().cache_size, default::stats().cache_size), (1, 1000));
        let size = large::stats().cache_size;
        assert!(size <= CAPACITY, "{size} values are kept where {CAPACITY} may be");
        assert!(size > CAPACITY * 9 / 10, "{size}");
        let kept = (0..30_000).filter(|key| large::peek(*key).is_some()).count();
        assert_eq!(kept, size);
        assert_eq!(large::stats().evictions, 30_000 - size as u64);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_often_outlives_what_is_asked_for_once() {
    #[coalesce(ttl = "1h", capacity = 100)]
    async fn popular(key: u32) -> u32 {
        key
    }

    alone(async {
        for round in 0..20 {
            for key in 0..50 {
                popular(key).await;
                popular(key).await;
            }
            // Passers-by, ten times the capacity in all.
            for passer in 0..50 {
                popular(1000 + round * 50 + passer).await;
            }
        }
        let kept = (0..50).filter(|key| popular::peek(*key).is_some()).count();
        assert!(kept >= 45, "only {kept} of 50 popular keys are kept");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_evicted_invalidated_or_replaced_is_dropped() {
    #[coalesce(ttl = "1h", capacity = 2, skip(token))]
    async fn holds(_key: u32, token: Token) -> Token {
        token
    }

    alone(async {
        let tokens = [(); 5].map(|()| Token::default());
        for (key, token) in (0..).zip(&tokens) {
            holds(key, Arc::clone(token)).await;
        }
        // Changes the map and leaves it as it was.
        let change = || {
            holds::insert(100, Token::default());
            holds::invalidate(100);
        };
        assert!(tokens.iter().filter(|token| !is_last(token)).count() >= 2);
        holds::clear();
        freed(&tokens.each_ref(), change).await;

        holds(1, Arc::clone(&tokens[0])).await;
        holds::insert(1, Arc::clone(&tokens[1]));
        freed(&[&tokens[0]], change).await;
        holds::refresh(1, Arc::clone(&tokens[2])).await;
        freed(&[&tokens[1]], change).await;
        assert!(!is_last(&tokens[2]));
        holds::invalidate(1);
        freed(&[&tokens[2]], change).await;

        // An expired value goes when its place is taken.
        holds(1, Arc::clone(&tokens[0])).await;
        advance(ttl::HOUR + MILLISECOND).await;
        assert!(holds::peek(1).is_none());
        holds(1, Arc::clone(&tokens[1])).await;
        freed(&[&tokens[0]], change).await;
        assert!(!is_last(&tokens[1]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_value_dies_with_its_isolation() {
    #[coalesce(ttl = "1h", skip(token))]
    async fn holds(_key: u32, token: Token) -> Token {
        token
    }

    let token = Token::default();
    alone(async { drop(holds(1, Arc::clone(&token)).await) }).await;
    assert!(is_last(&token));
}

#[test]
fn a_paused_test_hours_ahead_does_not_make_another_s_values_immortal() {
    in_a_process_of_its_own("behaviour::memory::two_tests_with_clocks_of_their_own", &[]);
}

#[test]
#[ignore = "run in a process of its own, whose clock nobody has looked at yet"]
fn two_tests_with_clocks_of_their_own() {
    #[coalesce(ttl = "1m")]
    async fn short(key: u32) -> u32 {
        key
    }

    for ahead in [ttl::DAY, Duration::ZERO, ttl::HOUR] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("no resources are needed").block_on(in_time(async {
            advance(ahead).await;
            let _isolated = stampede_runtime::testing::isolate();
            short(1).await;
            advance(ttl::MINUTE / 2).await;
            assert_eq!(short::peek(1), Some(1), "{ahead:?} ahead");
            advance(ttl::MINUTE).await;
            assert_eq!(short::peek(1), None, "{ahead:?} ahead");
        }));
    }
}
