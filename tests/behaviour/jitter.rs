//! `jitter`: values made together do not expire together, and none lives longer than its `ttl`.

use std::time::Duration;

use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, Settings, cached};
use tokio::time::advance;

use super::help::{alone, in_time};

const SECOND: Duration = Duration::from_secs(1);
const KEYS: u32 = 2_000;

/// How many values are left of so many made together, second by second from their making on.
async fn left(seconds: usize, is_there: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut left = Vec::new();
    for _ in 0..=seconds {
        left.push(u32::try_from((0..KEYS).filter(|key| is_there(*key)).count()).expect("few"));
        advance(SECOND).await;
    }
    left
}

/// Whether a number is what chance makes of a part of all keys: within five standard deviations.
fn is_about(number: u32, part: f64) -> bool {
    let mean = f64::from(KEYS) * part;
    (f64::from(number) - mean).abs() <= 5.0 * (mean * (1.0 - part)).sqrt()
}

#[tokio::test(start_paused = true)]
async fn lives_are_shortened_evenly_by_at_most_that_part() {
    #[cached(ttl = "100s", jitter = "40%", capacity = 4000)]
    async fn load(key: u32) -> u32 {
        key
    }

    alone(async {
        fastrand::seed(1);
        for key in 0..KEYS {
            load(key).await;
        }
        let left = left(100, |key| load::peek(key).is_some()).await;
        assert!(left[..=60].iter().all(|left| *left == KEYS), "none loses more than 40 s");
        for (second, left) in (0_u32..).zip(&left).skip(60) {
            assert!(is_about(*left, f64::from(100 - second) / 40.0), "{left} after {second} s");
        }
        assert_eq!(left[100], 0, "none lives longer than its ttl");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_it_all_live_as_long_as_was_said() {
    #[cached(ttl = "100s", capacity = 4000)]
    async fn load(key: u32) -> u32 {
        key
    }

    alone(async {
        for key in 0..KEYS {
            load(key).await;
        }
        let left = left(100, |key| load::peek(key).is_some()).await;
        assert_eq!((left[99], left[100]), (KEYS, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn all_of_a_life_may_be_left_to_chance() {
    #[cached(ttl = "10s", jitter = "100%", capacity = 4000)]
    async fn load(key: u32) -> u32 {
        key
    }

    alone(async {
        fastrand::seed(2);
        for key in 0..KEYS {
            load(key).await;
        }
        let left = left(10, |key| load::peek(key).is_some()).await;
        for (second, left) in (0_u32..).zip(&left).skip(1) {
            assert!(is_about(*left, f64::from(10 - second) / 10.0), "{left} after {second} s");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_holds_for_every_way_a_value_or_an_error_is_kept() {
    #[cached(ttl = |_| Duration::from_secs(100), jitter = 0.5, capacity = 4000)]
    async fn of_value(key: u32) -> u32 {
        key
    }

    #[cached(ttl = "1h", none_ttl = "100s", jitter = 0.5, capacity = 4000)]
    async fn nothing(_key: u32) -> Option<u32> {
        None
    }

    #[cached(ttl = "1h", cache_err = "100s", jitter = 0.5, capacity = 4000)]
    async fn failing(key: u32) -> Result<u32, u32> {
        Err(key)
    }

    #[cached(ttl = "100s", jitter = 0.5, capacity = 4000)]
    fn now(key: u32) -> u32 {
        key
    }

    #[cached(ttl = "100s", jitter = 0.5, capacity = 4000)]
    async fn inserted(key: u32) -> u32 {
        key
    }

    alone(async {
        fastrand::seed(3);
        macro_rules! half_of_it {
            ($function:ident) => {
                let left = left(100, |key| $function::peek(key).is_some()).await;
                assert_eq!((left[50], left[100]), (KEYS, 0), stringify!($function));
                assert!(is_about(left[75], 0.5), "{} {}", stringify!($function), left[75]);
            };
        }
        for key in 0..KEYS {
            of_value(key).await;
        }
        half_of_it!(of_value);
        for key in 0..KEYS {
            nothing(key).await;
        }
        half_of_it!(nothing);
        for key in 0..KEYS {
            failing(key).await.expect_err("it fails");
        }
        half_of_it!(failing);
        for key in 0..KEYS {
            now(key);
        }
        half_of_it!(now);
        for key in 0..KEYS {
            inserted::insert(key, key);
        }
        half_of_it!(inserted);
        for key in 0..KEYS {
            inserted::refresh(key).await;
        }
        half_of_it!(inserted);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_can_be_configured() {
    #[cached(namespace = "jitter::bare", ttl = "100s", capacity = 4000)]
    async fn bare(key: u32) -> u32 {
        key
    }

    #[cached(namespace = "jitter::none", ttl = "100s", jitter = "90%", capacity = 4000)]
    async fn none(key: u32) -> u32 {
        key
    }

    let config = Config::builder()
        .defaults(Settings::new().jitter(0.5))
        .namespace("jitter::none", Settings::new().jitter(0.0))
        .build()
        .expect("the configuration is right");
    let _isolated = isolate_with(config);
    in_time(async {
        fastrand::seed(4);
        for key in 0..KEYS {
            bare(key).await;
            none(key).await;
        }
        advance(75 * SECOND).await;
        assert!(is_about((0..KEYS).map(|key| u32::from(bare::peek(key).is_some())).sum(), 0.5));
        assert!((0..KEYS).all(|key| none::peek(key).is_some()));
    })
    .await;
}
