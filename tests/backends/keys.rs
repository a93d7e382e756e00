//! Whose an entry is: what differs never meets outside of the process, and what is the same does.

use std::path::PathBuf;
use std::sync::Arc;

use stampede_runtime::testing::{FaultyBackend, Verb};
use stampede_runtime::{Config, Settings, cached, coalesce_by_content};
use tracing::Level;

use super::help::{World, settle};
use super::process::{Given, HOUR, Log, check, process, process_with};

#[cached(namespace = "one", ttl = "1h", backend = "main")]
async fn load(key: u32) -> String {
    format!("one::load of {key}")
}

#[cached(namespace = "one", ttl = "1h", backend = "main")]
async fn fetch(key: u32) -> String {
    format!("one::fetch of {key}")
}

mod elsewhere {
    use super::*;

    #[cached(namespace = "two", ttl = "1h", backend = "main")]
    pub(super) async fn load(key: u32) -> String {
        format!("two::load of {key}")
    }
}

mod newer {
    use super::*;

    #[cached(namespace = "one", version = 2, ttl = "1h", backend = "main")]
    pub(super) async fn load(key: u32) -> String {
        format!("the newer one::load of {key}")
    }
}

/// Calls that take what the others left, in whatever order.
#[tokio::test(start_paused = true)]
async fn functions_namespaces_and_versions_never_meet() {
    let fake = FaultyBackend::new();
    for _ in 0..2 {
        process(&fake, async {
            assert_eq!(load(1).await, "one::load of 1");
            assert_eq!(newer::load(1).await, "the newer one::load of 1");
            assert_eq!(elsewhere::load(1).await, "two::load of 1");
            assert_eq!(fetch(1).await, "one::fetch of 1");
        })
        .await;
    }
    assert_eq!(fake.on(Verb::Set).asked(), 4);
    let keys = fake.keys();
    assert_eq!(keys.len(), 4);
    for (key, start) in keys.iter().zip(["one::fetch:v0:#", "one::load:v0:#", "one::load:v2:#", "two::load:v0:#"]) {
        assert!(key.starts_with(&format!("stampede:{{{start}")) && key.ends_with('}'), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn backends_never_meet() {
    let (main, other) = (FaultyBackend::new(), FaultyBackend::new());
    process(&main, load(1)).await;
    let config = || Config::builder().backend("main", main.clone()).backend("other", other.clone());
    // The configuration of a namespace is stronger than the attribute.
    process_with(config().namespace("one", Settings::new().backend("other")), async {
        load(1).await;
        assert_eq!(load::stats().executions, 1);
    })
    .await;
    assert_eq!((main.keys(), main.asked()), (other.keys(), other.asked()));
    process_with(config(), async {
        load(1).await;
        assert_eq!(load::stats().backend_hits, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn clearing_one_function_leaves_the_others() {
    let fake = FaultyBackend::new();
    let all = async || {
        load(1).await;
        newer::load(1).await;
        elsewhere::load(1).await;
        fetch(1).await;
        [load::stats(), newer::load::stats(), elsewhere::load::stats(), fetch::stats()].map(|stats| stats.executions)
    };
    process(&fake, all()).await;
    process(&fake, async {
        load(2).await;
        assert!(load::clear().await.is_ok());
    })
    .await;
    assert_eq!(process(&fake, all()).await, [1, 1, 0, 0], "of all versions, and of no other function");
}

#[tokio::test(start_paused = true)]
async fn arguments_that_differ_never_meet() {
    #[cached(ttl = "1h", backend = "main")]
    async fn texts(one: &str, two: &str) -> String {
        format!("{one}|{two}")
    }

    #[cached(ttl = "1h", backend = "main", key(first, last))]
    async fn parts(first: Option<&str>, last: Vec<u8>) -> String {
        format!("{first:?} {last:?}")
    }

    let fake = FaultyBackend::new();
    for _ in 0..2 {
        process(&fake, async {
            for (one, two) in [("a", "b"), ("b", "a"), ("ab", ""), ("", "ab"), ("a:b", ""), ("a", ":b"), ("", "")] {
                assert_eq!(texts(one, two).await, format!("{one}|{two}"));
            }
            for (first, last) in [(None, vec![]), (Some(""), vec![]), (None, vec![0]), (Some("\0"), vec![0, 0])] {
                assert_eq!(parts(first, last.clone()).await, format!("{first:?} {last:?}"));
            }
        })
        .await;
    }
    assert_eq!(fake.on(Verb::Set).asked(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_text_key_stays_readable() {
    #[cached(namespace = "shop::users", ttl = "1h", backend = "main", version = 3, key = "user:{id}")]
    async fn profile(id: u32, _how: &str) -> String {
        format!("profile {id}")
    }

    #[cached(namespace = "shop", ttl = "1h", backend = "main", key = "{name}")]
    async fn named(name: &str) -> String {
        name.to_owned()
    }

    let fake = FaultyBackend::new();
    for _ in 0..2 {
        process(&fake, async {
            assert_eq!(profile(42, "this way").await, "profile 42");
            assert_eq!(profile(42, "that way").await, "profile 42");
            for name in ["}", "{shop::named:v0:a}", "#", "~", "ä b", "x".repeat(1000).as_str()] {
                assert_eq!(named(name).await, name);
            }
        })
        .await;
    }
    assert_eq!(fake.on(Verb::Set).asked(), 7);
    let keys = fake.keys();
    assert!(keys.contains(&"stampede:{shop::users::profile:v3:user:42}".to_owned()), "{keys:?}");
    assert!(keys.contains(&"stampede:{shop::named:v0:%C3%A4%20b}".to_owned()), "{keys:?}");
    assert!(keys.iter().all(|key| key.len() <= 512 && key.matches(['{', '}']).count() == 2), "{keys:?}");
}

#[tokio::test(start_paused = true)]
async fn equal_content_meets() {
    #[coalesce_by_content(fields = [topic], ttl = "1h", backend = "main")]
    async fn answer(topic: &str, trace: u32) -> String {
        format!("{topic} {trace}")
    }

    let fake = FaultyBackend::new();
    process(&fake, async { assert_eq!(answer("What is Rust?", 1).await, "What is Rust? 1") }).await;
    process(&fake, async {
        for topic in ["what is rust?", "  What\t is\n RUST? ", "Ｗhat is Rust?"] {
            assert_eq!(answer(topic, 2).await, "What is Rust? 1");
        }
        assert_eq!(answer("What is Rust", 2).await, "What is Rust 2");
        let stats = answer::stats();
        check(&stats, 4);
        assert_eq!((stats.backend_hits, stats.executions), (1, 1));
    })
    .await;
}

mod twin {
    use super::*;

    #[cached(namespace = "twins", ttl = "1h", backend = "main")]
    pub(super) async fn load(key: u32) -> String {
        format!("the twin's {key}")
    }
}

mod other_twin {
    use super::*;

    #[cached(namespace = "twins", ttl = "1h", backend = "main")]
    pub(super) async fn load(key: u32) -> String {
        format!("the other twin's {key}")
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_functions_of_one_name_the_second_stays_in_memory_and_says_so() {
    let (log, _guard) = Log::install();
    let fake = FaultyBackend::new();
    process(&fake, async {
        for _ in 0..2 {
            assert_eq!(twin::load(1).await, "the twin's 1");
            assert_eq!(other_twin::load(1).await, "the other twin's 1");
        }
        let errors = log.lines(Level::ERROR);
        assert!(errors.len() == 1 && errors[0].contains("twins::load"), "{errors:?}");
        let stats = other_twin::load::stats();
        check(&stats, 2);
        assert_eq!((stats.cache_hits, stats.backend_misses), (1, 0));
        settle().await;
        assert_eq!(fake.on(Verb::Set).asked(), 1);
        assert!(other_twin::load::invalidate(1).await.is_ok());
        assert_eq!(other_twin::load(1).await, "the other twin's 1");
        assert_eq!(fake.on(Verb::Remove).asked(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_not_there_is_reported_at_the_first_call_and_done_without() {
    let (log, _guard) = Log::install();
    let other = FaultyBackend::new();
    process_with(Config::builder().backend("other", other.clone()), async {
        for _ in 0..3 {
            assert_eq!(load(1).await, "one::load of 1");
        }
        let stats = load::stats();
        check(&stats, 3);
        assert_eq!((stats.executions, stats.cache_hits), (1, 2));
        assert!(load::invalidate(1).await.is_ok() && load::clear().await.is_ok());
        let errors = log.lines(Level::ERROR);
        assert_eq!(errors.len(), 1, "{errors:?}");
        for word in ["one::load", "`main`", "`other`"] {
            assert!(errors[0].contains(word), "{errors:?}");
        }
        // Each function that names it says so.
        fetch(1).await;
        assert_eq!(log.lines(Level::ERROR).len(), 2);
    })
    .await;
    assert_eq!(other.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_default_backend_is_only_for_functions_that_name_one() {
    #[cached(ttl = "1h", skip(world))]
    async fn plain(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    let fake = FaultyBackend::new();
    let config = Config::builder().backend("main", fake.clone()).defaults(Settings::new().backend("main"));
    process_with(config, async {
        plain(1, World::at_ease()).await;
        assert!(plain::invalidate(1).await.is_ok());
    })
    .await;
    assert_eq!(fake.asked(), 0);
}

trait Kind: Send + Sync + 'static {
    const NAME: &'static str;
}

struct Left;
struct Right;

impl Kind for Left {
    const NAME: &'static str = "left";
}

impl Kind for Right {
    const NAME: &'static str = "right";
}

#[cached(namespace = "generic", ttl = "1h", backend = "main")]
async fn name<K: Kind>(key: u32) -> String {
    format!("{} {key}", K::NAME)
}

#[tokio::test(start_paused = true)]
async fn instantiations_of_a_generic_function_never_meet_in_one_process() {
    let fake = FaultyBackend::new();
    process(&fake, async {
        for _ in 0..2 {
            assert_eq!(name::<Left>(1).await, "left 1");
            assert_eq!(name::<Right>(1).await, "right 1");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn instantiations_of_a_generic_function_never_meet_in_another_process() {
    let fake = FaultyBackend::new();
    process(&fake, async { assert_eq!(name::<Left>(1).await, "left 1") }).await;
    process(&fake, async { assert_eq!(name::<Right>(1).await, "right 1") }).await;
}

#[tokio::test(start_paused = true)]
async fn every_instantiation_of_a_generic_function_keeps_its_values() {
    let fake = FaultyBackend::new();
    for hits in [0, 2] {
        process(&fake, async {
            name::<Left>(1).await;
            name::<Right>(1).await;
            let all = stampede_runtime::all_stats();
            assert_eq!(all["generic::name"].backend_hits, hits);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_argument_that_cannot_be_written_stays_in_memory() {
    use std::os::unix::ffi::OsStringExt as _;

    #[cached(ttl = "1h", backend = "main", skip(world))]
    async fn size(_path: PathBuf, world: Arc<World>) -> usize {
        world.body().await
    }

    let fake = FaultyBackend::new();
    process(&fake, async {
        // A file name that is no UTF-8 has no `Serialize`.
        let path = || PathBuf::from(std::ffi::OsString::from_vec(vec![0xFF]));
        let world = World::at_ease();
        for _ in 0..2 {
            let call = tokio::spawn(size(path(), Arc::clone(&world)));
            assert_eq!(call.await.expect("no panic"), 1);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_services_share_a_store_without_meeting() {
    // Two programs whose modules have one name give their functions one place: a namespace is what tells them apart.
    let fake = FaultyBackend::new();
    process(&fake, load(7)).await;
    process(&fake, elsewhere::load(7)).await;
    let keys = fake.keys();
    assert_eq!(keys.len(), 2);
    let digests = keys.iter().map(|key| key.rsplit('#').next()).collect::<Vec<_>>();
    assert_eq!(digests[0], digests[1], "the same arguments, in two places");
    assert_eq!(fake.last().1, HOUR);
}
