//! What any cache of this kind has to pass, group by group, as far as one process can show it. The numbers are those of
//! the list of behaviours that the project began with; groups 2, 4 and 8 are about several processes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Barrier as Meeting, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Coalescer, Config, Settings, all_stats, cached, coalesce, coalesce_by_content};
use tokio::time::{Instant, advance, sleep};

use super::help::{
    Mood, Service, Trouble, World, add_up, all, alone, boarded, crowd, ending, in_time, in_time_blocking, panic_of,
    said, settle, until,
};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Group 1.
#[tokio::test(start_paused = true)]
async fn group_1_when_the_first_caller_is_cancelled_all_others_complete_without_delay() {
    #[cached(ttl = "1h", skip(world))]
    async fn detached(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    #[cached(ttl = "1h", attached, skip(world))]
    async fn attached(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    alone(async {
        let start = Instant::now();
        for round in 0..2 {
            let world = World::new();
            let call = || {
                let world = Arc::clone(&world);
                async move { if round == 0 { detached(1, world).await } else { attached(1, world).await } }
            };
            let mut calls = crowd(20, call).await;
            calls.remove(0).abort();
            settle().await;
            world.open_all();
            // Never an empty success: each has the number of a body that ran to its end.
            assert_eq!(all(calls).await, [round + 1; 19]);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    })
    .await;
}

/// Group 1.
#[tokio::test(start_paused = true)]
async fn group_1_when_the_body_panics_all_callers_hear_of_it_without_delay() {
    #[cached(ttl = "1h", skip(world))]
    async fn broken(_key: u32, world: Arc<World>) -> usize {
        world.body().await;
        panic!("broken")
    }

    alone(async {
        let (start, world) = (Instant::now(), World::new());
        let calls = crowd(20, || broken(1, Arc::clone(&world))).await;
        world.open_all();
        for call in calls {
            assert_eq!(panic_of(call).await, "broken");
        }
        assert_eq!((start.elapsed(), broken::stats().in_flight), (Duration::ZERO, 0));
    })
    .await;
}

/// Group 3.
#[tokio::test(start_paused = true)]
async fn group_3_waiting_for_one_key_delays_no_other() {
    #[cached(ttl = "1h", skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    alone(async {
        let (start, slow, quick) = (Instant::now(), World::new(), World::at_ease());
        let waiting = crowd(1_000, || load(0, Arc::clone(&slow))).await;
        for key in 1..=100 {
            assert_eq!(load(key, Arc::clone(&quick)).await, key as usize);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(waiting.iter().all(|call| !call.is_finished()));
        slow.open_all();
        assert_eq!(all(waiting).await, [1; 1_000]);
    })
    .await;
}

/// Group 3.
#[test]
fn group_3_a_thread_that_waits_for_one_key_delays_no_other() {
    #[cached(ttl = "1h", skip(release))]
    fn load(key: u32, release: Option<mpsc::Receiver<()>>) -> u32 {
        if let Some(release) = release {
            release.recv().expect("the test says so");
        }
        key
    }

    in_time_blocking(|| {
        let (release, released) = mpsc::channel();
        let first = thread::spawn(move || load(0, Some(released)));
        until(|| load::stats().in_flight == 1);
        let second = thread::spawn(|| load(0, None));
        until(|| load::stats().coalesce_hits == 1);
        for key in 1..100 {
            assert_eq!(load(key, None), key);
        }
        release.send(()).expect("the body listens");
        assert_eq!((first.join().expect("no panic"), second.join().expect("no panic")), (0, 0));
    });
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Request {
    topic: String,
    context: String,
}

fn request(topic: &str, context: &str) -> Request {
    Request { topic: topic.to_owned(), context: context.to_owned() }
}

/// Group 5: every argument list in here is a key of its own.
#[tokio::test(start_paused = true)]
async fn group_5_different_arguments_never_share_a_key() {
    #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
    #[serde(untagged)]
    enum Id {
        Number(i64),
        Wide(u128),
        Text(String),
        Texts(Vec<String>),
        Map(BTreeMap<String, i64>),
        Set(BTreeSet<String>),
        Time(SystemTime),
        Nothing(Option<()>),
        Request(Request),
    }

    #[cached(ttl = "1h")]
    async fn typed(first: Id, second: Id) -> (Id, Id) {
        (first, second)
    }

    #[coalesce_by_content(ttl = "1h", normalize = none)]
    async fn by_content(first: Id, second: Id) -> (Id, Id) {
        (first, second)
    }

    #[cached(ttl = "1h", key = "{first}:{second}")]
    async fn by_text(first: &str, second: &str) -> (String, String) {
        (first.to_owned(), second.to_owned())
    }

    alone(async {
        let text = |text: &str| Id::Text(text.to_owned());
        let texts = |texts: &[&str]| Id::Texts(texts.iter().map(ToString::to_string).collect());
        let map = |a, b| Id::Map([("a".to_owned(), a), ("b".to_owned(), b)].into());
        let epoch = SystemTime::UNIX_EPOCH;
        let all = [
            Id::Number(1),
            text("1"),
            Id::Number(-1),
            text("-1"),
            // 1.10 and 1.1 as decimal text, which are equal as numbers.
            text("1.10"),
            text("1.1"),
            Id::Wide(u128::MAX),
            Id::Wide(u128::MAX - 1),
            text(""),
            texts(&[]),
            texts(&[""]),
            texts(&["", ""]),
            texts(&["a", "b"]),
            texts(&["a:b"]),
            texts(&["b", "a"]),
            texts(&["ab"]),
            map(1, 2),
            map(2, 1),
            Id::Set(["c".to_owned(), "d".to_owned()].into()),
            Id::Time(epoch),
            Id::Time(epoch + Duration::from_nanos(1)),
            Id::Time(epoch + Duration::from_secs(1)),
            Id::Nothing(None),
            text("null"),
            text("None"),
            Id::Request(request("rust", "go")),
            Id::Request(request("go", "rust")),
            // The identifiers of users, as text.
            text("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
            text("6ba7b811-9dad-11d1-80b4-00c04fd430c8"),
        ];
        for first in &all {
            for second in &all {
                let pair = (first.clone(), second.clone());
                assert_eq!(typed(first.clone(), second.clone()).await, pair);
                assert_eq!(by_content(first.clone(), second.clone()).await, pair);
            }
        }
        let pairs = (all.len() * all.len()) as u64;
        assert_eq!((typed::stats().executions, by_content::stats().executions), (pairs, pairs));
        // And equal ones do, whoever asks.
        for first in &all {
            assert_eq!(by_content(first.clone(), all[0].clone()).await, (first.clone(), all[0].clone()));
        }
        assert_eq!(by_content::stats().executions, pairs);

        for (first, second) in [("a", "b"), ("a:b", ""), ("", "a:b"), ("a", ":b"), ("a:", "b"), ("a%3Ab", ""), ("", "")]
        {
            assert_eq!(by_text(first, second).await, (first.to_owned(), second.to_owned()));
        }
        assert_eq!(by_text::stats().executions, 7);
    })
    .await;
}

/// Group 5: what the first argument is makes no difference.
#[tokio::test(start_paused = true)]
async fn group_5_a_first_argument_of_any_kind_is_part_of_the_key() {
    #[cached(ttl = "1h")]
    async fn of_struct(request: Request) -> String {
        request.topic
    }

    #[cached(ttl = "1h")]
    async fn of_reference(request: &Request) -> String {
        request.topic.clone()
    }

    #[cached(ttl = "1h")]
    async fn of_list(texts: Vec<String>) -> usize {
        texts.len()
    }

    #[cached(ttl = "1h")]
    fn of_map(map: BTreeMap<String, u32>) -> u32 {
        map.into_values().sum()
    }

    #[coalesce_by_content(ttl = "1h", fields = [request.topic])]
    async fn of_field(request: Request) -> String {
        request.topic
    }

    alone(async {
        for topic in ["python", "rust"] {
            assert_eq!(of_struct(request(topic, "")).await, topic);
            assert_eq!(of_reference(&request(topic, "")).await, topic);
            assert_eq!(of_field(request(topic, topic)).await, topic);
        }
        assert_eq!(of_field(request(" RUST ", "else")).await, "rust", "a field alone is looked at");
        assert_eq!((of_list(Vec::new()).await, of_list(vec![String::new()]).await), (0, 1));
        assert_eq!((of_map(BTreeMap::new()), of_map([("a".to_owned(), 1)].into())), (0, 1));
    })
    .await;
}

/// Group 6.
#[tokio::test(start_paused = true)]
async fn group_6_ten_concurrent_misses_execute_once_whatever_the_attribute() {
    #[cached(ttl = "1h", skip(world))]
    async fn kept(_key: &str, world: Arc<World>) -> usize {
        world.body().await
    }

    #[cached(ttl = "1h", attached, skip(world))]
    async fn attached(_key: &str, world: Arc<World>) -> usize {
        world.body().await
    }

    #[coalesce(skip(world))]
    async fn in_flight(_key: &str, world: Arc<World>) -> usize {
        world.body().await
    }

    #[coalesce_by_content(fields = [key], ttl = "1h")]
    async fn by_content(key: &str, world: Arc<World>) -> usize {
        let _ = key;
        world.body().await
    }

    alone(async {
        macro_rules! once {
            ($($name:literal: $call:expr;)*) => {$(
                let world = World::new();
                let call = $call;
                let calls = crowd(10, || call(Arc::clone(&world))).await;
                world.open_all();
                assert_eq!(all(calls).await, [1; 10], $name);
                assert_eq!(world.runs(), 1, $name);
            )*};
        }
        let coalescer: Coalescer<String, usize> = Coalescer::builder().ttl(SECOND).build();
        once! {
            "cached": |world| kept("key", world);
            "attached": |world| attached("key", world);
            "coalesce": |world| in_flight("key", world);
            "coalesce_by_content": |world| by_content("key", world);
            "coalescer": |world: Arc<World>| {
                let coalescer = coalescer.clone();
                async move { coalescer.run("key", || async move { world.body().await }).await }
            };
        }
    })
    .await;
}

/// Group 6.
#[test]
fn group_6_ten_concurrent_misses_of_threads_execute_once() {
    #[cached(ttl = "1h", skip(world))]
    fn load(_key: &str, world: &World) -> usize {
        let number = world.begin();
        until(|| load::stats().coalesce_hits == 9);
        number
    }

    in_time_blocking(|| {
        let (world, meeting) = (World::new(), Arc::new(Meeting::new(10)));
        let calls = (0..10).map(|_| {
            let (world, meeting) = (Arc::clone(&world), Arc::clone(&meeting));
            thread::spawn(move || {
                meeting.wait();
                load("key", &world)
            })
        });
        let calls = calls.collect::<Vec<_>>();
        assert!(calls.into_iter().all(|call| call.join().expect("no panic") == 1));
        assert_eq!(world.runs(), 1);
    });
}

/// Group 7.
#[tokio::test(start_paused = true)]
async fn group_7_every_function_is_in_the_statistics() {
    #[cached(ttl = "1h", namespace = "seven")]
    async fn one(key: u32) -> u32 {
        key
    }

    #[coalesce(namespace = "seven")]
    async fn two(key: u32) -> u32 {
        key
    }

    #[coalesce_by_content(namespace = "seven")]
    async fn three(key: &str) -> String {
        key.to_owned()
    }

    #[cached(ttl = "1h", namespace = "seven")]
    fn four(key: u32) -> u32 {
        key
    }

    #[cached(ttl = "1h", namespace = "seven", attached)]
    async fn five(key: u32) -> u32 {
        key
    }

    #[cached(ttl = "1h", namespace = "seven")]
    async fn six<T: Clone + Default + Send + Sync + 'static>(_key: u32) -> T {
        T::default()
    }

    struct Seven;

    impl Seven {
        #[cached(ttl = "1h", namespace = "seven", key(key))]
        async fn seven(self: Arc<Self>, key: u32) -> u32 {
            key
        }
    }

    alone(async {
        one(1).await;
        two(1).await;
        three("1").await;
        four(1);
        five(1).await;
        six::<u8>(1).await;
        six::<u16>(1).await;
        Arc::new(Seven).seven(1).await;
        let eight: Coalescer<u32, u32> = Coalescer::builder().name("eight").build();
        eight.run(&1, || async { 1 }).await;
        let all = all_stats();
        let names = all.keys().map(String::as_str).collect::<BTreeSet<_>>();
        let expected = ["one", "two", "three", "four", "five", "six", "seven"].map(|name| format!("seven::{name}"));
        let expected = expected.iter().map(String::as_str).chain(["coalescer::eight"]).collect::<BTreeSet<_>>();
        assert_eq!(names, expected);
        for (name, stats) in &all {
            add_up(stats);
            assert_eq!(stats.executions, if name == "seven::six" { 2 } else { 1 }, "{name}");
        }
    })
    .await;
}

/// Group 7.
#[tokio::test(start_paused = true)]
async fn group_7_savings_never_count_an_execution() {
    #[cached(ttl = "10s", stale = "5s", stale_if_error = "1m", timeout = "5s", skip(service))]
    async fn load(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    alone(async {
        let service = Service::new();
        let mut random = fastrand::Rng::with_seed(7);
        let moods = [Mood::Well, Mood::Well, Mood::Failing, Mood::Panicking, Mood::Hanging];
        for _ in 0..500 {
            service.is(moods[random.usize(..moods.len())]);
            let key = random.u32(..3);
            let calls = crowd(random.usize(1..4), || load(key, Arc::clone(&service))).await;
            for call in calls {
                ending(call).await;
            }
            advance(random.u32(..4_000) * MILLISECOND).await;
            let stats = load::stats();
            add_up(&stats);
            let saved = stats.cache_hits + stats.stale_hits + stats.coalesce_hits;
            // Whoever brought an execution about was not saved one.
            assert_eq!(saved + stats.led, stats.requests, "{stats}");
            assert!((stats.savings_rate - saved as f64 / stats.requests as f64).abs() < 1e-12);
            assert_eq!(stats.executions, service.runs() as u64);
        }
        let stats = load::stats();
        assert!([stats.stale_hits, stats.fallbacks, stats.timeouts, stats.panics].iter().all(|count| *count > 0));
    })
    .await;
}

/// Group 9.
#[tokio::test(start_paused = true)]
async fn group_9_a_life_of_less_than_a_second_is_as_long_as_was_said() {
    #[cached(ttl = "500ms")]
    async fn half(key: u32) -> u32 {
        key
    }

    #[cached(ttl = "250us")]
    fn quarter(key: u32) -> u32 {
        key
    }

    alone(async {
        half(1).await;
        quarter(1);
        advance(Duration::from_micros(249)).await;
        assert_eq!(quarter::peek(1), Some(1));
        advance(Duration::from_micros(1)).await;
        assert_eq!(quarter::peek(1), None);
        advance(Duration::from_micros(499_749)).await;
        assert_eq!(half::peek(1), Some(1));
        advance(Duration::from_micros(1)).await;
        assert_eq!(half::peek(1), None);
    })
    .await;
}

/// Group 9.
#[tokio::test(start_paused = true)]
async fn group_9_a_ttl_of_zero_and_none_at_all_keep_nothing_anywhere() {
    fn zero() -> Duration {
        Duration::ZERO
    }

    #[coalesce]
    async fn none(key: u32) -> u32 {
        key
    }

    #[cached(ttl = zero())]
    async fn computed(key: u32) -> u32 {
        key
    }

    #[cached(ttl = |_| Duration::ZERO)]
    async fn of_value(key: u32) -> u32 {
        key
    }

    #[coalesce_by_content(ttl = zero())]
    async fn by_content(key: u32) -> u32 {
        key
    }

    #[cached(ttl = zero())]
    fn now(key: u32) -> u32 {
        key
    }

    #[cached(ttl = zero(), attached)]
    async fn attached(key: u32) -> u32 {
        key
    }

    #[cached(ttl = zero(), stale = "1h", stale_if_error = "2h", early)]
    async fn with_old(key: u32) -> u32 {
        key
    }

    #[cached(ttl = "1h", namespace = "nine")]
    async fn overridden(key: u32) -> u32 {
        key
    }

    let config = Config::builder().namespace("nine", Settings::new().ttl(Duration::ZERO)).build().expect("right");
    let _isolated = isolate_with(config);
    in_time(Box::pin(async {
        macro_rules! keeps_nothing {
            ($($function:ident $(. $await:ident)?),*) => {$(
                $function(1)$(. $await)?;
                $function::insert(1, 1);
                $function::refresh(1)$(. $await)?;
                assert_eq!($function::peek(1), None, stringify!($function));
                $function(1)$(. $await)?;
                let stats = $function::stats();
                assert_eq!((stats.executions, stats.cache_size, stats.cache_hits), (3, 0, 0), stringify!($function));
            )*};
        }
        keeps_nothing!(
            none.await,
            computed.await,
            of_value.await,
            by_content.await,
            now,
            attached.await,
            with_old.await,
            overridden.await
        );
        let coalescer: Coalescer<u32, u32> = Coalescer::builder().ttl(Duration::ZERO).build();
        for number in [1, 2] {
            assert_eq!(coalescer.run(&1, || async move { number }).await, number);
        }
    }))
    .await;
}

/// Group 10: the statistics as they are serialised, so that none can be forgotten here.
#[tokio::test(start_paused = true)]
async fn group_10_every_number_of_the_statistics_has_a_cause() {
    #[cached(
        ttl = "10s",
        stale = "1s",
        stale_if_error = "1m",
        timeout = "5s",
        soft_timeout = "1s",
        wait = "20s",
        max_concurrent = 1,
        capacity = 1,
        cost = |_| 0.5,
        namespace = "ten",
        skip(service)
    )]
    async fn load(key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        sleep(MILLISECOND).await;
        if key == 9 {
            return Box::pin(load(9, service)).await;
        }
        service.answer().await
    }

    alone(async {
        let service = Service::new();
        // Led, joined, kept, refreshed behind, and one inside itself, for which there is a limit of depth.
        all(crowd(2, || load(1, Arc::clone(&service))).await).await;
        said(load(1, Arc::clone(&service))).await;
        assert!(said(load(9, Arc::clone(&service))).await.contains("called itself"));
        said(load(1, Arc::clone(&service))).await;
        advance(10 * SECOND).await;
        said(load(1, Arc::clone(&service))).await;
        sleep(10 * MILLISECOND).await;
        // An error, a timeout and a panic, the first two with an old value.
        advance(11 * SECOND).await;
        service.is(Mood::Failing);
        assert!(said(load(1, Arc::clone(&service))).await.starts_with("value"));
        advance(SECOND).await;
        service.is(Mood::Hanging);
        assert!(said(load(1, Arc::clone(&service))).await.starts_with("value"));
        sleep(10 * SECOND).await;
        service.is(Mood::Panicking);
        assert!(said(load(2, Arc::clone(&service))).await.starts_with("panic"));
        // One abandoned, one refused in the queue, and one begun when nobody waited for it any more.
        service.is(Mood::Well);
        service.world.open(0);
        let running = boarded(load(3, Arc::clone(&service))).await;
        boarded(load(4, Arc::clone(&service))).await.abort();
        settle().await;
        running.abort();
        settle().await;
        service.world.open_all();
        said(load(5, Arc::clone(&service))).await;
        said(load(6, Arc::clone(&service))).await;
        service.world.open(0);
        let running = boarded(load(7, Arc::clone(&service))).await;

        // What begins anew, which only a call that drives its body can leave to others.
        #[coalesce(attached, namespace = "ten", skip(world))]
        async fn attached(_key: u32, world: Arc<World>) -> usize {
            world.body().await
        }
        let world = World::new();
        let mut calls = crowd(2, || attached(1, Arc::clone(&world))).await;
        calls.remove(0).abort();
        settle().await;
        world.open_all();
        all(calls).await;

        let mut numbers = BTreeMap::new();
        for stats in all_stats().values() {
            add_up(stats);
            let serde_json::Value::Object(stats) = serde_json::to_value(stats).expect("statistics can be written")
            else {
                panic!("they have names")
            };
            for (name, value) in stats {
                // Those need a backend, or an embedder.
                let of_backends =
                    ["backend_", "lock_", "redis_", "semantic"].iter().any(|start| name.starts_with(start));
                let of_entries = [
                    // Of caches that no function stands before.
                    "misses",
                    "decode_errors",
                    "encode_errors",
                    "fenced_writes",
                    "push_wakeups",
                    "poll_wakeups",
                    "exact_hits",
                    "embeddings_generated",
                ];
                if of_backends || of_entries.contains(&&*name) {
                    continue;
                }
                let number = match &value {
                    serde_json::Value::Object(time) => time["total"].as_f64(),
                    number => number.as_f64(),
                };
                *numbers.entry(name).or_insert(0.0) += number.expect("a number");
            }
        }
        for (name, number) in &numbers {
            assert!(*number > 0.0, "{name} {:?}", all_stats());
        }
        running.abort();
    })
    .await;
}
