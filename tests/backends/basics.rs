//! What is kept in a backend is found there: by other processes, and by this one when it begins anew.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::store::{Backend, MemoryBackend};
use stampede_runtime::testing::{Fault, FaultyBackend, Verb};
use stampede_runtime::{Config, Settings, cached, coalesce};
use tokio::time::{advance, sleep};

use super::help::{Trouble, World, all, crowd, settle};
use super::process::{DOWN, Given, HOUR, SECOND, check, lives, patient_process, process, process_with};

#[cached(ttl = "1h", backend = "main", skip(world))]
async fn load(_key: u32, world: Arc<World>) -> usize {
    world.body().await
}

/// Old for 20 seconds, and then good enough in the place of an error.
#[cached(ttl = "10s", stale = "20s", stale_if_error = "1h", backend = "main", skip(how, world))]
async fn aged(_key: u32, how: &'static str, world: Arc<World>) -> Result<usize, Trouble> {
    let number = world.body().await;
    if how == "fire" { Err(Trouble::Fire) } else { Ok(number) }
}

/// Makes a 1 of 15, 35 or more seconds ago.
async fn made(seconds: u32) -> FaultyBackend {
    let fake = FaultyBackend::new();
    process(&fake, async { aged(1, "", World::at_ease()).await.expect("no fire") }).await;
    advance(seconds * SECOND).await;
    fake
}

#[tokio::test(start_paused = true)]
async fn ten_misses_are_one_execution_and_none_in_the_other_process() {
    let fake = FaultyBackend::new();
    let world = World::new();
    process(&fake, async {
        let calls = crowd(10, || load(1, Arc::clone(&world))).await;
        world.open_all();
        assert_eq!(all(calls).await, [1; 10]);
        let stats = load::stats();
        check(&stats, 10);
        assert_eq!((stats.led, stats.coalesce_hits, stats.cache_hits), (1, 9, 0));
        assert_eq!((stats.backend_hits, stats.backend_misses), (0, 1));
        settle().await;
        assert_eq!(load::stats().backend_writes, 1);
    })
    .await;
    process(&fake, async {
        let calls = crowd(10, || load(1, Arc::clone(&world))).await;
        assert_eq!(all(calls).await, [1; 10]);
        assert_eq!(load(1, Arc::clone(&world)).await, 1);
        let stats = load::stats();
        check(&stats, 11);
        assert_eq!((stats.executions, stats.in_flight), (0, 0));
        assert_eq!((stats.backend_hits, stats.backend_misses, stats.backend_writes), (1, 0, 0));
        assert_eq!(stats.cache_size, 1);
    })
    .await;
    assert_eq!((world.runs(), fake.on(Verb::Get).asked(), fake.on(Verb::Set).asked()), (1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn ten_misses_are_one_execution_with_every_store() {
    async fn stores(backend: impl Backend) {
        let backend = Arc::new(backend);
        let world = World::new();
        for number in [1, 1] {
            let config = Config::builder().backend("main", Arc::clone(&backend));
            process_with(config, async {
                let calls = crowd(10, || load(1, Arc::clone(&world))).await;
                world.open_all();
                assert_eq!(all(calls).await, [number; 10]);
            })
            .await;
        }
        assert_eq!(world.runs(), 1);
    }

    stores(MemoryBackend::new(1 << 20)).await;
    // Through an `Arc` of anything.
    stores(Arc::new(MemoryBackend::new(1 << 20)) as Arc<dyn Backend>).await;
}

#[tokio::test(start_paused = true)]
async fn joiners_wait_for_the_look_up() {
    let fake = FaultyBackend::new();
    patient_process(&fake, async {
        let world = World::at_ease();
        fake.on(Verb::Get).always(Fault::HoldCall);
        let calls = crowd(5, || load(1, Arc::clone(&world))).await;
        assert_eq!((world.runs(), fake.on(Verb::Get).asked()), (0, 1));
        assert_eq!(load::stats().in_flight, 1);
        fake.on(Verb::Get).release();
        assert_eq!(all(calls).await, [1; 5]);
        check(&load::stats(), 5);
        assert_eq!(load::stats().coalesce_hits, 4);
    })
    .await;
    patient_process(&fake, async {
        let world = World::at_ease();
        fake.on(Verb::Get).always(Fault::HoldCall);
        let calls = crowd(5, || load(1, Arc::clone(&world))).await;
        fake.on(Verb::Get).release();
        assert_eq!(all(calls).await, [1; 5]);
        let stats = load::stats();
        check(&stats, 5);
        assert_eq!((stats.cache_hits, stats.coalesce_hits, world.runs()), (1, 4, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_ttl_nothing_is_kept_there() {
    #[coalesce(backend = "main", skip(world))]
    async fn unkept(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    let fake = FaultyBackend::new();
    for _ in 0..2 {
        process(&fake, async {
            let world = World::new();
            let calls = crowd(10, || unkept(1, Arc::clone(&world))).await;
            world.open_all();
            assert_eq!((all(calls).await, world.runs()), (vec![1; 10], 1));
            check(&unkept::stats(), 10);
        })
        .await;
    }
    assert_eq!(fake.on(Verb::Set).asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_value_found_old_answers_at_once_and_is_refreshed_once_behind() {
    let fake = made(15).await;
    let world = World::new();
    process(&fake, async {
        // The gate is shut: nobody waits for the new one.
        let calls = crowd(5, || aged(1, "", Arc::clone(&world))).await;
        let results = all(calls).await;
        assert!(results.iter().all(|result| matches!(result, Ok(1))), "{results:?}");
        assert!(aged(1, "", Arc::clone(&world)).await.is_ok());
        world.begun(1).await;
        let stats = aged::stats();
        check(&stats, 6);
        assert_eq!((stats.refreshes, stats.led, stats.backend_hits), (1, 0, 1));
        assert!(stats.stale_hits >= 1 && stats.cache_hits == 0, "{stats:?}");
        world.open_all();
        settle().await;
        assert_eq!(world.runs(), 1);
        let stats = aged::stats();
        assert_eq!((stats.backend_writes, stats.in_flight), (1, 0));
    })
    .await;
    let other = World::new();
    process(&fake, async {
        advance(9 * SECOND).await;
        assert!(matches!(aged(1, "", Arc::clone(&other)).await, Ok(1)));
        let stats = aged::stats();
        assert_eq!((stats.cache_hits, stats.stale_hits, stats.executions), (1, 0, 0), "it is the new one, and fresh");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_old_value_that_was_found_is_refreshed_until_a_refresh_succeeds() {
    let fake = made(15).await;
    let world = World::at_ease();
    process(&fake, async {
        assert!(aged(1, "fire", Arc::clone(&world)).await.is_ok());
        world.gone(1).await;
        settle().await;
        assert_eq!(aged::stats().errors, 1);
        assert!(aged(1, "fire", Arc::clone(&world)).await.is_ok(), "it rests, and still answers");
        assert_eq!(world.runs(), 1);
        advance(2 * SECOND).await;
        assert!(aged(1, "", Arc::clone(&world)).await.is_ok());
        world.gone(2).await;
        settle().await;
        assert!(matches!(aged(1, "", Arc::clone(&world)).await, Ok(2)));
        check(&aged::stats(), 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_value_found_very_old_stands_in_for_an_error_only() {
    let fake = made(35).await;
    process(&fake, async {
        let world = World::at_ease();
        assert!(matches!(aged(1, "fire", Arc::clone(&world)).await, Ok(1)));
        let stats = aged::stats();
        check(&stats, 1);
        assert_eq!((stats.led, stats.errors, stats.fallbacks, stats.cache_hits, stats.stale_hits), (1, 1, 1, 0, 0));
    })
    .await;
    process(&fake, async {
        // Told from the 1 that is there by its number.
        let world = World::at_ease();
        world.begin();
        assert!(matches!(aged(1, "", world).await, Ok(2)));
        assert_eq!((aged::stats().led, aged::stats().fallbacks), (1, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_value_found_old_is_as_old_here_as_anywhere() {
    let fake = made(15).await;
    process(&fake, async {
        assert!(aged(1, "fire", World::at_ease()).await.is_ok());
        settle().await;
        advance(14 * SECOND).await;
        assert!(aged::peek(1).is_some());
        advance(2 * SECOND).await;
        assert!(aged::peek(1).is_none(), "31 seconds after it was made");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_old_value_in_memory_is_not_replaced_by_an_older_one_that_is_found() {
    let fake = FaultyBackend::new();
    let world = World::at_ease();
    process(&fake, async {
        assert!(matches!(aged(1, "", Arc::clone(&world)).await, Ok(1)));
        settle().await;
        fake.on(Verb::Set).always(DOWN);
        assert!(matches!(aged::refresh(1, "", Arc::clone(&world)).await, Ok(2)));
        settle().await;
        advance(40 * SECOND).await;
        assert!(matches!(aged(1, "fire", Arc::clone(&world)).await, Ok(2)));
        assert_eq!(aged::stats().cache_size, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn beyond_its_use_a_value_is_not_found() {
    let fake = made(3_611).await;
    process(&fake, async {
        assert!(matches!(aged(1, "fire", World::at_ease()).await, Err(Trouble::Fire)));
        let stats = aged::stats();
        check(&stats, 1);
        assert_eq!((stats.led, stats.backend_hits, stats.backend_misses, stats.fallbacks), (1, 0, 1, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_ttl_may_be_shorter_than_a_second() {
    #[cached(ttl = "50ms", backend = "main", skip(world))]
    async fn brief(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    const MILLISECOND: Duration = Duration::from_millis(1);

    let fake = FaultyBackend::new();
    let world = World::at_ease();
    process(&fake, brief(1, Arc::clone(&world))).await;
    advance(40 * MILLISECOND).await;
    process(&fake, async {
        assert_eq!(brief(1, Arc::clone(&world)).await, 1);
        advance(9 * MILLISECOND).await;
        assert_eq!(brief::peek(1), Some(1));
        advance(2 * MILLISECOND).await;
        assert_eq!(brief::peek(1), None, "found after 40 ms, it had 10 left");
    })
    .await;
    process(&fake, async { assert_eq!(brief(1, Arc::clone(&world)).await, 2) }).await;
    assert_eq!(fake.last().1, Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn none_and_unit_are_values() {
    #[cached(ttl = "1h", backend = "main", skip(world))]
    async fn option(_key: u32, world: Arc<World>) -> Option<usize> {
        world.body().await;
        None
    }

    #[cached(ttl = "1h", backend = "main", skip(world))]
    async fn unit(_key: u32, world: Arc<World>) {
        world.body().await;
    }

    #[cached(ttl = "1h", backend = "main", skip(world))]
    async fn result(_key: u32, world: Arc<World>) -> Result<Option<String>, Trouble> {
        world.body().await;
        Ok(None)
    }

    let fake = FaultyBackend::new();
    let world = World::at_ease();
    for process_hits in [0, 1] {
        process(&fake, async {
            assert_eq!(option(1, Arc::clone(&world)).await, None);
            unit(1, Arc::clone(&world)).await;
            assert!(matches!(result(1, Arc::clone(&world)).await, Ok(None)));
            for stats in [option::stats(), unit::stats(), result::stats()] {
                check(&stats, 1);
                assert_eq!((stats.backend_hits, stats.encode_errors), (process_hits, 0));
            }
        })
        .await;
    }
    assert_eq!(world.runs(), 3);
}

#[tokio::test(start_paused = true)]
async fn errors_are_never_kept_there() {
    #[cached(ttl = "1h", cache_err = "1h", backend = "main", skip(world))]
    async fn fails(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
        world.body().await;
        Err(Trouble::Fire)
    }

    let fake = FaultyBackend::new();
    let world = World::at_ease();
    for run in 1..=2 {
        process(&fake, async {
            for _ in 0..3 {
                assert!(matches!(fails(1, Arc::clone(&world)).await, Err(Trouble::Fire)));
            }
            assert_eq!(world.runs(), run, "kept in memory");
            check(&fails::stats(), 3);
        })
        .await;
    }
    assert_eq!(fake.on(Verb::Set).asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_decided_as_in_memory() {
    #[cached(ttl = "1h", cache_if = |value| *value > 10, backend = "main")]
    async fn large(value: u32) -> u32 {
        value
    }

    #[cached(ttl = |value| Duration::from_secs(u64::from(*value)), backend = "main")]
    async fn lasting(value: u32) -> u32 {
        value
    }

    #[cached(ttl = "1h", none_ttl = "2s", backend = "main")]
    async fn perhaps(value: u32) -> Option<u32> {
        (value > 10).then_some(value)
    }

    let fake = FaultyBackend::new();
    let all = async || {
        for value in [5, 50] {
            large(value).await;
            lasting(value).await;
            perhaps(value).await;
        }
        lasting(0).await;
        [large::stats(), lasting::stats(), perhaps::stats()]
    };
    process(&fake, async { all().await }).await;
    // Not the 5 of `large`, nor the 0 of `lasting`.
    assert_eq!(fake.on(Verb::Set).asked(), 5);
    advance(SECOND).await;
    let stats = process(&fake, all()).await.map(|stats| (stats.backend_hits, stats.executions));
    assert_eq!(stats, [(1, 1), (2, 1), (2, 0)]);
    advance(5 * SECOND).await;
    let stats = process(&fake, all()).await.map(|stats| (stats.backend_hits, stats.executions));
    assert_eq!(stats, [(1, 1), (1, 2), (1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_one_life_for_all() {
    #[cached(ttl = "100s", jitter = 0.5, backend = "main")]
    async fn jittery(key: u32) -> u32 {
        key
    }

    let fake = FaultyBackend::new();
    let mut seen = Vec::new();
    for key in 0..20 {
        process(&fake, jittery(key)).await;
        let entry = fake.entry().await.expect("kept");
        let (fresh, of_use) = lives(&entry);
        assert!((50 * SECOND..=100 * SECOND).contains(&fresh) && fresh == of_use, "{fresh:?}");
        assert_eq!(fake.last().1, of_use);
        seen.push(fresh);
        process(&fake, async {
            advance(10 * SECOND).await;
            jittery(key).await;
            advance(fresh.saturating_sub(11 * SECOND)).await;
            assert_eq!(jittery::peek(key), Some(key));
            advance(2 * SECOND).await;
            assert_eq!(jittery::peek(key), None, "found, it ends when it would have ended where it was made");
        })
        .await;
    }
    seen.dedup();
    assert!(seen.len() > 10, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn an_entry_lasts_as_long_as_its_value_is_of_use() {
    let fake = made(0).await;
    let entry = fake.entry().await.expect("kept");
    assert_eq!(lives(&entry), (10 * SECOND, 10 * SECOND + HOUR));
    assert_eq!(fake.last().1, 10 * SECOND + HOUR);
}

#[tokio::test(start_paused = true)]
async fn what_it_cost_to_make_is_known_to_all() {
    #[cached(ttl = "1h", early = 100.0, backend = "main", skip(world))]
    async fn costly(_key: u32, world: Arc<World>) -> usize {
        sleep(60 * SECOND).await;
        world.body().await
    }

    let fake = FaultyBackend::new();
    let world = World::at_ease();
    process(&fake, costly(1, Arc::clone(&world))).await;
    process(&fake, async {
        // By then all but certain at each look: 6000 s · -ln(u) against 600 s.
        advance(3_000 * SECOND).await;
        for _ in 0..20 {
            assert_eq!(costly(1, Arc::clone(&world)).await, 1);
        }
        settle().await;
        let stats = costly::stats();
        assert_eq!((stats.backend_hits, stats.led, stats.refreshes), (2, 0, 1), "it looks whether another was faster");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn insert_and_refresh_reach_the_other_process() {
    let fake = FaultyBackend::new();
    let world = World::at_ease();
    process(&fake, async { load::insert(1, 100) }).await;
    process(&fake, async {
        assert_eq!(load(1, Arc::clone(&world)).await, 100);
        assert_eq!(load::refresh(1, Arc::clone(&world)).await, 1);
        assert_eq!(load::stats().backend_hits, 1, "a refresh wants what is newer than anything there");
    })
    .await;
    process(&fake, async {
        assert_eq!(load(1, Arc::clone(&world)).await, 1);
        load::insert(1, 200);
        assert_eq!(load(1, Arc::clone(&world)).await, 200);
    })
    .await;
    process(&fake, async { assert_eq!(load(1, Arc::clone(&world)).await, 200) }).await;
    assert_eq!(world.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_insert_that_is_not_kept_takes_the_older_value_out_everywhere() {
    #[cached(ttl = "1h", none_ttl = "0s", backend = "main", skip(world))]
    async fn perhaps(_key: u32, world: Arc<World>) -> Option<usize> {
        Some(world.body().await)
    }

    let fake = FaultyBackend::new();
    let world = World::at_ease();
    process(&fake, async {
        assert_eq!(perhaps(1, Arc::clone(&world)).await, Some(1));
        settle().await;
        perhaps::insert(1, None);
        assert_eq!(perhaps(1, Arc::clone(&world)).await, Some(2));
    })
    .await;
    assert!(fake.on(Verb::Remove).asked() >= 1);
}

#[tokio::test(start_paused = true)]
async fn eviction_leaves_the_entry_outside() {
    #[cached(ttl = "1h", capacity = 1, backend = "main", skip(world))]
    async fn narrow(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    let fake = FaultyBackend::new();
    let world = World::at_ease();
    process(&fake, async {
        for key in 1..=5 {
            narrow(key, Arc::clone(&world)).await;
        }
        settle().await;
        assert_eq!(narrow::stats().cache_size, 1);
        for key in 1..=5 {
            assert_eq!(narrow(key, Arc::clone(&world)).await, key as usize);
        }
        let stats = narrow::stats();
        check(&stats, 10);
        assert!(stats.backend_hits >= 4 && stats.evictions >= 4 && stats.executions == 5, "{stats:?}");
    })
    .await;
    assert_eq!(fake.on(Verb::Remove).asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn peek_is_memory_only() {
    let fake = FaultyBackend::new();
    process(&fake, load(1, World::at_ease())).await;
    process(&fake, async {
        assert_eq!(load::peek(1), None);
        assert_eq!(fake.on(Verb::Get).asked(), 1);
        load(1, World::new()).await;
        assert_eq!(load::peek(1), Some(1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_ttl_says_how_old_a_value_may_be_wherever_it_comes_from() {
    #[cached(namespace = "shortened", ttl = "1h", backend = "main", skip(world))]
    async fn shortened(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    let fake = FaultyBackend::new();
    let world = World::at_ease();
    process(&fake, shortened(1, Arc::clone(&world))).await;
    advance(600 * SECOND).await;
    let shorter = Settings::new().ttl(SECOND);
    let config = Config::builder().backend("main", fake.clone()).namespace("shortened", shorter);
    process_with(config, async { assert_eq!(shortened(1, Arc::clone(&world)).await, 2) }).await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_keeps_nothing_finds_nothing() {
    #[cached(namespace = "switched_off", ttl = "1h", backend = "main", skip(world))]
    async fn switched_off(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    let fake = FaultyBackend::new();
    let world = World::at_ease();
    process(&fake, switched_off(1, Arc::clone(&world))).await;
    let nothing = Settings::new().ttl(Duration::ZERO);
    let config = Config::builder().backend("main", fake.clone()).namespace("switched_off", nothing);
    process_with(config, async {
        assert_eq!(switched_off(1, Arc::clone(&world)).await, 2);
        assert_eq!(switched_off::peek(1), None);
    })
    .await;
}
