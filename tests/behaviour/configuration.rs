//! Built-in default < configured default < attribute < configured override of a namespace.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::store::MemoryBackend;
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Coalescer, Config, ConfigError, Settings, coalesce, configure};
use tokio::time::{Instant, advance};

use super::help::{Trouble, World, alone, boarded, ending, in_a_process_of_its_own, in_time, settle};

const SECOND: Duration = Duration::from_secs(1);

#[coalesce(namespace = "bare")]
async fn bare(key: u32) -> u32 {
    key
}

#[coalesce(namespace = "said", ttl = "10s", capacity = 5)]
async fn said(key: u32) -> u32 {
    key
}

async fn configured<T>(config: stampede_runtime::ConfigBuilder, test: impl Future<Output = T>) -> T {
    let _isolated = isolate_with(config.build().expect("the configuration is right"));
    in_time(test).await
}

/// With the backends that the functions of these tests name.
fn complete(config: stampede_runtime::ConfigBuilder) -> stampede_runtime::ConfigBuilder {
    config.backend("main", MemoryBackend::new(1 << 20)).backend("other", MemoryBackend::new(1 << 20))
}

#[tokio::test(start_paused = true)]
async fn a_configured_default_applies_where_the_attribute_is_silent() {
    let config = Config::builder().defaults(Settings::new().ttl(SECOND).capacity(2));
    configured(config, async {
        for key in 0..10 {
            bare(key).await;
            said(key).await;
        }
        assert_eq!((bare::stats().cache_size, said::stats().cache_size), (2, 5));
        advance(2 * SECOND).await;
        assert!((0..10).all(|key| bare::peek(key).is_none()));
        assert!((0..10).any(|key| said::peek(key).is_some()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_configured_namespace_wins_over_the_attribute() {
    let config = Config::builder()
        .defaults(Settings::new().ttl(100 * SECOND))
        .namespace("said", Settings::new().ttl(SECOND).capacity(1));
    configured(config, async {
        for key in 0..10 {
            said(key).await;
        }
        assert_eq!(said::stats().cache_size, 1);
        advance(2 * SECOND).await;
        assert!((0..10).all(|key| said::peek(key).is_none()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_configured_namespace_wins_over_a_ttl_that_depends_on_the_value() {
    #[coalesce(namespace = "choosy", ttl = |_| Duration::from_secs(100))]
    async fn choosy(key: u32) -> u32 {
        key
    }

    configured(Config::builder().namespace("choosy", Settings::new().ttl(SECOND)), async {
        choosy(1).await;
        advance(2 * SECOND).await;
        assert_eq!(choosy::peek(1), None, "an override of the namespace is stronger than the attribute");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_can_be_told_to_keep_nothing() {
    configured(Config::builder().namespace("said", Settings::new().ttl(Duration::ZERO)), async {
        said(1).await;
        assert_eq!(said::peek(1), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bounds_can_be_configured() {
    #[coalesce(namespace = "slow", timeout = "1h")]
    async fn slow(_key: u32) -> Result<usize, Trouble> {
        pending().await
    }

    #[coalesce(namespace = "narrow", max_concurrent = 100, wait = "1h", skip(world))]
    async fn narrow(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
        Ok(world.body().await)
    }

    let config = Config::builder()
        .namespace("slow", Settings::new().timeout(SECOND))
        .namespace("narrow", Settings::new().max_concurrent(1).wait(2 * SECOND));
    configured(config, async {
        let start = Instant::now();
        assert_eq!(ending(boarded(slow(1)).await).await, "timeout");
        assert_eq!(start.elapsed(), SECOND);

        let world = World::new();
        let running = boarded(narrow(1, Arc::clone(&world))).await;
        let queued = boarded(narrow(2, Arc::clone(&world))).await;
        settle().await;
        assert_eq!(world.runs(), 1);
        assert_eq!(ending(running).await, "wait");
        // Its turn came with the other's end, at the very moment its own patience ran out.
        assert!(["refused", "wait"].contains(&&*ending(queued).await));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn named_coalescers_are_of_the_namespace_coalescer() {
    configured(Config::builder().namespace("coalescer", Settings::new().ttl(SECOND)), async {
        let named: Coalescer<u32, u32> = Coalescer::builder().name("named").ttl(100 * SECOND).build();
        named.run(&1, || async { 1 }).await;
        advance(2 * SECOND).await;
        assert_eq!(named.run(&1, || async { 2 }).await, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_file_and_the_environment_have_effect() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file can be made");
    let toml = "[defaults]\nttl = 1\ncapacity = 2\n[namespaces.said]\ncapacity = 3\n";
    std::fs::write(&file, toml).expect("it can be written");
    let config = Config::builder()
        .defaults(Settings::new().capacity(7))
        .file(file.path())
        .variables([("STAMPEDE_DEFAULTS__TTL", "5s"), ("STAMPEDE_NAMESPACES__SAID__TTL", "2s")]);
    configured(config, async {
        for key in 0..10 {
            bare(key).await;
            said(key).await;
        }
        assert_eq!((bare::stats().cache_size, said::stats().cache_size), (2, 3));
        advance(3 * SECOND).await;
        assert!((0..10).all(|key| said::peek(key).is_none()), "a namespace is stronger than the attribute");
        assert!((0..10).any(|key| bare::peek(key).is_some()), "a variable is stronger than a file");
        advance(3 * SECOND).await;
        assert!((0..10).all(|key| bare::peek(key).is_none()));
    })
    .await;
}

#[test]
fn the_environment_is_that_of_the_process() {
    let variables = [("STAMPEDE_DEFAULTS__CAPACITY", "4"), ("STAMPEDE_DEFAULTS__TTL", "1h")];
    in_a_process_of_its_own("behaviour::configuration::configured_by_the_environment", &variables);
}

#[tokio::test]
#[ignore = "run in a process of its own, which has the variables"]
async fn configured_by_the_environment() {
    let config = complete(Config::builder().env()).build().expect("the variables are right");
    assert_eq!(configure(config), Ok(()));
    for key in 0..10 {
        bare(key).await;
    }
    assert_eq!(bare::stats().cache_size, 4);
}

/// What each wrong configuration is told stands in `stampede-runtime/src/config/tests.rs`.
#[test]
fn a_wrong_configuration_names_every_problem() {
    let wrong = Config::builder()
        .defaults(Settings::new().capacity(0).timeout(Duration::ZERO))
        .namespace("a", Settings::new())
        .namespace("a", Settings::new())
        .variables([("STAMPEDE_DEFAULTS__WAIT", "0"), ("STAMPEDE_DEFAULTS__TLL", "5m")])
        .build();
    let Err(ConfigError::Invalid(problems)) = &wrong else { panic!("{wrong:?}") };
    assert_eq!(problems.len(), 5, "{problems:?}");
    let text = wrong.expect_err("seen above").to_string();
    for word in
        ["capacity", "timeout", "STAMPEDE_DEFAULTS__WAIT", "`STAMPEDE_DEFAULTS__TTL`", "`a` is configured twice"]
    {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(text.lines().count(), 6, "a title, and a line for each: {text}");
}

#[tokio::test(start_paused = true)]
async fn an_isolated_test_has_its_configuration_already() {
    alone(async {
        let config = complete(Config::builder()).build().expect("it is right");
        assert_eq!(configure(config), Err(ConfigError::Twice));
    })
    .await;
}

#[test]
fn configure_is_for_the_start() {
    in_a_process_of_its_own("behaviour::configuration::configured_once", &[]);
    in_a_process_of_its_own("behaviour::configuration::configured_too_late", &[]);
}

#[tokio::test(start_paused = true)]
#[ignore = "run in a process of its own, which can be configured once"]
async fn configured_once() {
    let config = || {
        let config = Config::builder().defaults(Settings::new().ttl(SECOND));
        complete(config).build().expect("it is right")
    };
    assert_eq!(configure(config()), Ok(()));
    bare(1).await;
    assert_eq!(bare::peek(1), Some(1));
    let twice = configure(config());
    assert_eq!(twice, Err(ConfigError::Twice), "it is the second call, whatever has been called in between");
    advance(2 * SECOND).await;
    assert_eq!(bare::peek(1), None);
}

#[tokio::test(start_paused = true)]
#[ignore = "run in a process of its own, which can be configured once"]
async fn configured_too_late() {
    bare(1).await;
    let config = complete(Config::builder()).build().expect("it is right");
    let Err(ConfigError::TooLate(functions)) = configure(config) else { panic!("it is too late") };
    assert_eq!(functions, ["bare::bare"]);
}
