//! A broken backend fails no call, delays none beyond its budget, and gives nobody a wrong value. It is counted, and
//! logged once for each change.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::de::Deserializer;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use stampede_runtime::store::{BackendErrorKind, Codec, Envelope, PAYLOAD_BYTES_MAX, Tags, Times, UnixMillis, encode};
use stampede_runtime::testing::{Fault, FaultyBackend, Verb};
use stampede_runtime::{Config, Error, Settings, cached};
use tokio::time::{Instant, advance};
use tracing::Level;

use super::help::{Trouble, World, all, crowd, in_a_process_of_its_own, settle};
use super::process::{BUDGET, DOWN, Given, HOUR, Log, SECOND, check, process, process_with};

#[cached(namespace = "broken", ttl = "1h", backend = "main", skip(world))]
async fn load(_key: u32, world: Arc<World>) -> usize {
    world.body().await
}

/// All that goes wrong in a verb, and how long each takes until it is given up.
const BROKEN: [(Fault, Duration); 3] = [(DOWN, Duration::ZERO), (Fault::Hang, BUDGET), (Fault::Delay(SECOND), BUDGET)];

#[tokio::test(start_paused = true)]
async fn a_broken_look_up_costs_its_budget_and_the_call_is_answered() {
    for (fault, cost) in BROKEN {
        let fake = FaultyBackend::new();
        process(&fake, async {
            fake.on(Verb::Get).always(fault.clone());
            let world = World::at_ease();
            let start = Instant::now();
            let calls = crowd(10, || load(1, Arc::clone(&world))).await;
            assert_eq!(all(calls).await, [1; 10], "{fault:?}");
            assert_eq!(start.elapsed(), cost, "{fault:?}");
            assert_eq!(load(1, Arc::clone(&world)).await, 1);
            settle().await;
            let stats = load::stats();
            check(&stats, 11);
            assert_eq!((stats.led, stats.backend_failures, stats.backend_misses, stats.backend_writes), (1, 1, 0, 1));
            assert_eq!(stats.decode_errors, 0);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_write_costs_no_call_anything() {
    for (fault, _) in BROKEN {
        let fake = FaultyBackend::new();
        let world = World::at_ease();
        process(&fake, async {
            fake.on(Verb::Set).always(fault.clone());
            let start = Instant::now();
            assert_eq!(load(1, Arc::clone(&world)).await, 1);
            assert_eq!(load(1, Arc::clone(&world)).await, 1);
            assert_eq!(start.elapsed(), Duration::ZERO);
        })
        .await;
        process(&fake, async {
            fake.on(Verb::Set).always(Fault::None);
            assert_eq!(load(1, Arc::clone(&world)).await, 2);
            check(&load::stats(), 1);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_given_up_is_a_failure_and_no_write() {
    for (fault, _) in BROKEN {
        let fake = FaultyBackend::new();
        process(&fake, async {
            fake.on(Verb::Set).always(fault.clone());
            load(1, World::at_ease()).await;
            tokio::time::sleep(SECOND).await;
            let stats = load::stats();
            assert_eq!((stats.backend_writes, stats.backend_failures, stats.in_flight), (0, 1, 0), "{fault:?}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn with_every_verb_broken_everything_works_in_memory() {
    for (fault, cost) in BROKEN {
        let fake = FaultyBackend::new();
        process(&fake, async {
            fake.always(fault.clone());
            let world = World::at_ease();
            assert_eq!(load(1, Arc::clone(&world)).await, 1);
            assert_eq!(load(1, Arc::clone(&world)).await, 1);
            let start = Instant::now();
            assert!(matches!(load::invalidate(1).await, Err(Error::Backend { .. })));
            assert_eq!(start.elapsed(), cost);
            assert_eq!(load(1, Arc::clone(&world)).await, 2);
            assert_eq!(load::refresh(1, Arc::clone(&world)).await, 3);
            load::insert(1, 40);
            assert_eq!(load(1, Arc::clone(&world)).await, 40);
            assert!(matches!(load::clear().await, Err(Error::Backend { .. })));
            assert_eq!(load(1, Arc::clone(&world)).await, 4);
            check(&load::stats(), 5);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_backend_within_its_budget_is_no_broken_one() {
    let fake = FaultyBackend::new();
    process(&fake, load(1, World::at_ease())).await;
    process(&fake, async {
        fake.always(Fault::Delay(BUDGET.saturating_sub(Duration::from_millis(1))));
        assert_eq!(load(1, World::new()).await, 1);
        assert_eq!(load::stats().backend_failures, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_budget_can_be_configured() {
    let fake = FaultyBackend::new();
    fake.on(Verb::Get).always(Fault::Hang);
    let config = |budget| {
        let budget = Settings::new().backend_timeout(budget);
        Config::builder().backend("main", fake.clone()).namespace("broken", budget)
    };
    for budget in [SECOND / 1000, 3 * SECOND] {
        process_with(config(budget), async {
            let start = Instant::now();
            load(1, World::at_ease()).await;
            assert_eq!(start.elapsed(), budget);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_change_is_logged_once() {
    let (log, _guard) = Log::install();
    let fake = FaultyBackend::new();
    process(&fake, async {
        let world = World::at_ease();
        let both = || [Level::WARN, Level::INFO].map(|level| log.lines(level).len());
        for (fault, logged) in [(Fault::None, [0, 0]), (DOWN, [1, 0]), (Fault::None, [1, 1]), (Fault::Hang, [2, 1])] {
            fake.always(fault.clone());
            for _ in 0..5 {
                load::clear();
                load(1, Arc::clone(&world)).await;
                load(2, Arc::clone(&world)).await;
                load::refresh(2, Arc::clone(&world)).await;
                tokio::time::sleep(SECOND).await;
            }
            assert_eq!(both(), logged, "{fault:?}");
        }
        let warned = log.lines(Level::WARN).join("\n");
        assert!(warned.contains("broken::load") && warned.contains("cannot be reached"), "{warned}");
        assert!(warned.contains("did not answer in time"), "{warned}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_only_reads_is_logged_once() {
    let (log, _guard) = Log::install();
    let fake = FaultyBackend::new();
    process(&fake, async {
        fake.on(Verb::Set).always(Fault::Fail(BackendErrorKind::ReadOnly));
        for key in 0..10 {
            load(key, World::at_ease()).await;
            settle().await;
        }
        assert_eq!(
            (log.lines(Level::WARN).len(), log.lines(Level::INFO).len()),
            (1, 0),
            "{:?}",
            log.lines(Level::INFO)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_answers_again_is_used_again() {
    let fake = FaultyBackend::new();
    let world = World::at_ease();
    process(&fake, async {
        fake.always(DOWN);
        load(1, Arc::clone(&world)).await;
        settle().await;
        fake.always(Fault::None);
        // Its rest is over, and somebody looks.
        tokio::time::sleep(3 * SECOND).await;
        load(3, Arc::clone(&world)).await;
        settle().await;
        load(2, Arc::clone(&world)).await;
    })
    .await;
    process(&fake, async {
        assert_eq!(load(1, Arc::clone(&world)).await, 4);
        assert_eq!(load(2, Arc::clone(&world)).await, 3);
    })
    .await;
}

fn times() -> Times {
    Times::new(UnixMillis::now(), HOUR, Duration::ZERO, Duration::ZERO)
}

fn entry<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    encode(value, times(), Codec::default(), PAYLOAD_BYTES_MAX).expect("it can be written")
}

/// Reads this entry, which cannot be understood, and says what the statistics say of it.
async fn misreads(bytes: &[u8], what: &str) {
    let fake = FaultyBackend::new();
    process(&fake, load(1, World::at_ease())).await;
    fake.put(bytes).await;
    let world = World::at_ease();
    world.begin();
    process(&fake, async {
        let start = Instant::now();
        assert_eq!(load(1, Arc::clone(&world)).await, 2, "{what}");
        assert_eq!(start.elapsed(), Duration::ZERO);
        let stats = load::stats();
        check(&stats, 1);
        assert_eq!((stats.decode_errors, stats.backend_misses, stats.backend_hits), (1, 0, 0), "{what}");
        assert_eq!((stats.backend_failures, stats.led), (0, 1), "{what}");
    })
    .await;
    process(&fake, async {
        assert_eq!(load(1, Arc::clone(&world)).await, 2, "{what}: overwritten");
        assert_eq!(load::stats().backend_hits, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_understood_is_counted_and_made_anew() {
    misreads(b"", "nothing").await;
    misreads(b"garbage", "garbage").await;
    misreads(&[0xFF; 1000], "much garbage").await;
    misreads(br#"{"value": 1}"#, "another program's").await;
    misreads(&entry("text"), "another type's").await;
    misreads(&entry(&Some(vec![1])), "another function's").await;
    misreads(&entry(&(1, 2)), "a longer one").await;
    misreads(&entry(&-1), "out of range").await;
    misreads(&[entry(&1), vec![0]].concat(), "a trailing byte").await;
    misreads(&entry(&1)[..Envelope::HEADER_BYTES], "a header alone").await;
    let mut newer = entry(&1);
    newer[4] = 2;
    misreads(&newer, "a newer format").await;
    // What a payload claims to hold takes no memory.
    let bomb = Envelope {
        times: times(),
        codec: Codec::MessagePack,
        payload: &[0xDD, 0xFF, 0xFF, 0xFF, 0xFF],
        tags: Tags::NONE,
    };
    misreads(&bomb.encode().expect("it can be written"), "a bomb").await;
}

#[tokio::test(start_paused = true)]
async fn no_cut_and_no_flipped_bit_is_taken_for_a_value() {
    let whole = entry(&1);
    for length in 0..whole.len() {
        misreads(&whole[..length], &format!("cut to {length}")).await;
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        misreads(&damaged, &format!("byte {at} is damaged")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn both_codecs_are_read_by_all() {
    let fake = FaultyBackend::new();
    let json = Settings::new().codec(Codec::Json);
    let config = Config::builder().backend("main", fake.clone()).namespace("broken", json);
    process_with(config, load(1, World::at_ease())).await;
    assert!(fake.entry().await.expect("kept").ends_with(b"1"));
    process(&fake, async { assert_eq!(load(1, World::new()).await, 1) }).await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_past_its_end_is_a_miss() {
    let fake = FaultyBackend::new();
    process(&fake, load(1, World::at_ease())).await;
    // A store that does not let go in time.
    fake.on(Verb::Get).always(Fault::Replace(fake.entry().await.expect("kept").into()));
    advance(HOUR).await;
    let world = World::at_ease();
    world.begin();
    process(&fake, async {
        assert_eq!(load(1, world).await, 2);
        let stats = load::stats();
        assert_eq!((stats.backend_misses, stats.decode_errors), (1, 0));
    })
    .await;
}

mod before {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Quote {
        pub(super) price: f64,
        pub(super) venue: String,
    }

    #[cached(namespace = "evolving", ttl = "1h", backend = "main")]
    pub(super) async fn quote(key: u32) -> Quote {
        Quote { price: f64::from(key), venue: "here".to_owned() }
    }
}

mod after {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Quote {
        #[serde(default)]
        pub(super) currency: Option<String>,
        pub(super) price: f64,
    }

    #[cached(namespace = "evolving", ttl = "1h", backend = "main")]
    pub(super) async fn quote(_key: u32) -> Quote {
        Quote { currency: Some("EUR".to_owned()), price: -1.0 }
    }
}

#[tokio::test(start_paused = true)]
async fn a_type_may_gain_lose_and_reorder_fields() {
    let fake = FaultyBackend::new();
    process(&fake, before::quote(7)).await;
    process(&fake, async {
        let read = after::quote(7).await;
        assert_eq!(read, after::Quote { currency: None, price: 7.0 });
        after::quote(8).await;
    })
    .await;
    process(&fake, async {
        // A field that the old one needs is missing.
        assert_eq!(before::quote(8).await.venue, "here");
        assert_eq!(before::quote::stats().decode_errors, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_panics_in_a_look_up_fails_no_call() {
    let fake = FaultyBackend::new();
    process(&fake, async {
        fake.on(Verb::Get).always(Fault::Panic);
        let call = tokio::spawn(load(1, World::at_ease()));
        assert_eq!(call.await.expect("no panic"), 1);
        assert_eq!(load::stats().backend_failures, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_panics_in_a_look_up_leaves_the_key_free() {
    let fake = FaultyBackend::new();
    process(&fake, async {
        fake.on(Verb::Get).always(Fault::Panic);
        let _either = tokio::spawn(load(1, World::at_ease())).await;
        fake.on(Verb::Get).always(Fault::None);
        assert_eq!(load(1, World::at_ease()).await, 1);
        assert_eq!(load::stats().in_flight, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_panics_elsewhere_fails_no_call() {
    let fake = FaultyBackend::new();
    process(&fake, async {
        for verb in [fake.on(Verb::Set), fake.on(Verb::Remove), fake.on(Verb::Clear)] {
            verb.always(Fault::Panic);
        }
        let world = World::at_ease();
        assert_eq!(load(1, Arc::clone(&world)).await, 1);
        settle().await;
        assert!(load::invalidate(1).await.is_err());
        assert_eq!(load(1, Arc::clone(&world)).await, 2);
        assert!(load::clear().await.is_err());
        assert_eq!(load(1, Arc::clone(&world)).await, 3);
        settle().await;
        let stats = load::stats();
        check(&stats, 3);
        assert_eq!((stats.in_flight, stats.backend_writes, stats.panics), (0, 0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_panics_is_counted_as_failing() {
    let fake = FaultyBackend::new();
    process(&fake, async {
        fake.on(Verb::Set).always(Fault::Panic);
        fake.on(Verb::Remove).always(Fault::Panic);
        load(1, World::at_ease()).await;
        settle().await;
        assert_eq!(load::stats().backend_failures, 2, "what was not written was to be taken out");
        let text = load::invalidate(1).await.expect_err("it panics").to_string();
        assert!(!text.contains("runtime"), "{text}");
    })
    .await;
}

/// Panics when it is written, or read, or neither.
#[derive(Clone, Debug, PartialEq)]
struct Touchy(&'static str);

impl Serialize for Touchy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.0, "writing", "expected");
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Touchy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Touchy, D::Error> {
        let text = String::deserialize(deserializer)?;
        assert_ne!(text, "reading", "expected");
        Ok(Touchy("read"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_panics_when_it_is_written_or_read_is_kept_in_memory() {
    #[cached(ttl = "1h", backend = "main", skip(how))]
    async fn touchy(_key: u32, how: &'static str) -> Touchy {
        Touchy(how)
    }

    let fake = FaultyBackend::new();
    process(&fake, async {
        assert_eq!(touchy(1, "writing").await, Touchy("writing"));
        assert_eq!(touchy(1, "writing").await, Touchy("writing"));
        touchy(2, "reading").await;
        touchy(3, "neither").await;
        settle().await;
        let stats = touchy::stats();
        check(&stats, 4);
        assert_eq!((stats.encode_errors, stats.backend_writes, stats.panics, stats.cache_hits), (1, 2, 0, 1));
    })
    .await;
    process(&fake, async {
        assert_eq!(touchy(2, "reading").await, Touchy("reading"));
        assert_eq!(touchy(3, "neither").await, Touchy("read"));
        let stats = touchy::stats();
        check(&stats, 2);
        assert_eq!((stats.decode_errors, stats.backend_hits, stats.executions, stats.panics), (1, 1, 1, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_value_that_would_not_come_back_as_it_was_is_kept_in_memory() {
    #[cached(ttl = "1h", backend = "main", skip(world))]
    async fn nested(_key: u32, world: Arc<World>) -> Option<Option<u32>> {
        world.body().await;
        Some(None)
    }

    let fake = FaultyBackend::new();
    let world = World::at_ease();
    for run in 1..=2 {
        process(&fake, async {
            assert_eq!(nested(1, Arc::clone(&world)).await, Some(None));
            assert_eq!(nested(1, Arc::clone(&world)).await, Some(None));
            assert_eq!((world.runs(), nested::stats().encode_errors), (run, 1));
        })
        .await;
    }
    assert_eq!(fake.on(Verb::Set).asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_value_too_large_is_kept_in_memory() {
    #[cached(namespace = "large", ttl = "1h", backend = "main", skip(world))]
    async fn large(bytes: usize, world: Arc<World>) -> String {
        world.body().await;
        "x".repeat(bytes)
    }

    let fake = FaultyBackend::new();
    let world = World::at_ease();
    let config = |bytes| {
        let limit = Settings::new().payload_bytes_max(bytes);
        Config::builder().backend("main", fake.clone()).namespace("large", limit)
    };
    process_with(config(100), async {
        for bytes in [98, 98, 99, 99] {
            assert_eq!(large(bytes, Arc::clone(&world)).await.len(), bytes);
        }
        settle().await;
        let stats = large::stats();
        check(&stats, 4);
        assert_eq!((stats.encode_errors, stats.backend_writes, stats.cache_hits), (1, 1, 2));
        assert_eq!((fake.on(Verb::Set).asked(), fake.last().1), (1, HOUR));
    })
    .await;
    // A reader who takes less.
    process_with(config(50), async {
        large(98, Arc::clone(&world)).await;
        let stats = large::stats();
        assert_eq!((stats.decode_errors, stats.encode_errors, stats.executions), (1, 1, 1));
    })
    .await;
    // A mebibyte is the end of it, unless one says otherwise.
    process(&fake, async {
        large(PAYLOAD_BYTES_MAX - 5, Arc::clone(&world)).await;
        large(PAYLOAD_BYTES_MAX - 4, Arc::clone(&world)).await;
        settle().await;
        assert_eq!((large::stats().backend_writes, large::stats().encode_errors), (1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_too_large_for_the_store_is_no_failing_store() {
    let (log, _guard) = Log::install();
    let fake = FaultyBackend::new();
    process(&fake, async {
        fake.on(Verb::Set).always(Fault::Fail(BackendErrorKind::TooLarge));
        for key in 0..5 {
            load(key, World::at_ease()).await;
            settle().await;
        }
        assert!(log.lines(Level::WARN).len() + log.lines(Level::INFO).len() <= 1, "{:?}", log.lines(Level::WARN));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_misses_everything_costs_nothing_but_the_looks() {
    let fake = FaultyBackend::new();
    let world = World::at_ease();
    fake.on(Verb::Set).always(Fault::Fail(BackendErrorKind::OutOfMemory));
    process(&fake, async {
        let mut seen = HashMap::new();
        for key in [1, 2, 1, 2, 3] {
            let number = load(key, Arc::clone(&world)).await;
            assert_eq!(*seen.entry(key).or_insert(number), number);
        }
        settle().await;
        let stats = load::stats();
        check(&stats, 5);
        assert_eq!((stats.backend_misses, stats.backend_failures, stats.cache_hits), (3, 3, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_reaches_nobody() {
    let fake = FaultyBackend::new();
    process(&fake, load(1, World::at_ease())).await;
    let world = World::at_ease();
    world.begin();
    process(&fake, async {
        fake.on(Verb::Get).always(Fault::Delay(SECOND));
        assert_eq!(load(1, Arc::clone(&world)).await, 2, "the 1 came too late");
        advance(10 * SECOND).await;
        assert_eq!(load(1, Arc::clone(&world)).await, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn time_in_the_budget_is_no_time_of_the_body() {
    #[cached(ttl = "1h", timeout = "100ms", backend = "main", skip(world))]
    async fn quick(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
        Ok(world.body().await)
    }

    let fake = FaultyBackend::new();
    process(&fake, async {
        fake.on(Verb::Get).always(Fault::Hang);
        assert!(matches!(quick(1, World::at_ease()).await, Ok(1)));
        let stats = quick::stats();
        check(&stats, 1);
        assert_eq!((stats.timeouts, stats.execution_time.max), (0, Duration::ZERO));
        // And the body's time begins then.
        let start = Instant::now();
        assert!(quick(2, World::new()).await.is_err());
        assert_eq!(start.elapsed(), BUDGET + Duration::from_millis(100));
    })
    .await;
}

#[test]
fn the_wall_clock_moves_for_each_test() {
    in_a_process_of_its_own("backends::broken::the_wall_clock_moves", &[]);
}

#[test]
#[ignore = "run in a process of its own, where nobody has looked at the clock"]
fn the_wall_clock_moves() {
    let test = |first: Duration| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            advance(first).await;
            let before = UnixMillis::now();
            advance(SECOND).await;
            UnixMillis::now().since(before)
        })
    };
    assert_eq!(test(HOUR), SECOND);
    assert_eq!(test(Duration::ZERO), SECOND, "another test, on a clock of its own");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_breaks_while_it_is_asked_hangs_nobody() {
    for fault in [DOWN, Fault::Hang, Fault::Panic] {
        let fake = FaultyBackend::new();
        process(&fake, async {
            fake.on(Verb::Get).always(Fault::HoldCall);
            let world = World::at_ease();
            let calls = crowd(3, || load(1, Arc::clone(&world))).await;
            fake.on(Verb::Set).always(fault.clone());
            fake.on(Verb::Get).release();
            assert_eq!(all(calls).await, [1; 3]);
        })
        .await;
    }
}
