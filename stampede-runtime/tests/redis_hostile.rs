//! A server that is not to be trusted, and one that does not trust us: rights that are missing, bytes that are nobody's, keys that
//! are anything; and secrets, which show nowhere.

use std::fmt::Write as _;
use std::future::IntoFuture;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, Once};
use std::time::Duration;

use stampede_runtime::store::{Backend, RedisBackend, StoreKey};
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{
    Cache, Config, Settings, all_stats, distributed_coalesce, invalidate_all, invalidate_tags, shutdown,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[path = "support/redis_cluster.rs"]
mod redis_cluster;
#[path = "support/redis_server.rs"]
mod redis_server;

use redis_cluster::RedisCluster;
use redis_server::{PATIENCE, RedisServer};

/// All that is logged while these tests run, by anybody.
static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Log;

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                _ = write!(self.0, "{field}={value:?} ");
            }
        }
        let mut text = Text(format!("{} ", event.metadata().level()));
        event.record(&mut text);
        LOGGED.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Log).expect("nobody else listens"));
}

/// What was logged with this in it.
fn logged(with: &str) -> Vec<String> {
    LOGGED.lock().unwrap().iter().filter(|line| line.contains(with)).cloned().collect()
}

async fn soon<T>(what: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what.into_future()).await.expect("it ends")
}

static EXECUTIONS: AtomicUsize = AtomicUsize::new(0);

/// The answer to a text is made of the text: a wrong one shows.
fn answer(text: &str) -> String {
    format!("the answer to {} bytes, {}", text.len(), blake3::hash(text.as_bytes()))
}

#[distributed_coalesce(namespace = "hostile", backend = "main", ttl = "1h", lease = "1s", key = "{text}", tags("all"))]
async fn readable(text: &str) -> String {
    EXECUTIONS.fetch_add(1, SeqCst);
    answer(text)
}

#[distributed_coalesce(namespace = "hostile", backend = "main", ttl = "1h", lease = "1s")]
async fn digested(text: &str) -> String {
    EXECUTIONS.fetch_add(1, SeqCst);
    answer(text)
}

/// A process of its own: nothing in its memory. What it says has arrived when it ends.
async fn process<T>(redis: RedisBackend, test: impl AsyncFnOnce() -> T) -> T {
    let settings = Settings::new().backend_timeout(PATIENCE);
    let _isolated = isolate_with(Config::builder().backend("main", redis).defaults(settings).build().unwrap());
    let result = soon(test()).await;
    assert_eq!(shutdown(PATIENCE).await, 0);
    result
}

fn patient(url: &str) -> RedisBackend {
    RedisBackend::builder(url).connect_timeout(PATIENCE).response_timeout(PATIENCE).build().unwrap()
}

/// One at a time: they count executions of the same functions.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn keys_may_be_any_text() {
    let name = "keys_may_be_any_text";
    let _alone = ALONE.lock().await;
    let Some(server) = RedisServer::start(name) else { return };
    let Some(cluster) = RedisCluster::start(name) else { return };
    let long = "é{}\n".repeat(200_000);
    let texts = [
        "",
        " ",
        "\0",
        "\r\n",
        "a\r\n$3\r\nGET\r\n",
        "{",
        "}",
        "{}",
        "}{",
        "{a}:lease",
        "a}:lease",
        ":outcome",
        "#",
        "~",
        "%7D",
        "*",
        "\u{1b}[2J",
        "\u{202e}",
        "e\u{301}",
        "\u{e9}",
        "a",
        "A",
        &long,
    ];
    for url in [server.url(), cluster.url()] {
        EXECUTIONS.store(0, SeqCst);
        for round in 0..2 {
            process(patient(&url), async || {
                for text in texts {
                    assert_eq!(readable(text).await, answer(text), "{text:?}");
                    assert_eq!(digested(text).await, answer(text), "{text:?}");
                }
            })
            .await;
            assert_eq!(EXECUTIONS.load(SeqCst), 2 * texts.len(), "round {round}: the second process finds all of them");
        }
        process(patient(&url), async || invalidate_tags(["all"]).await.unwrap()).await;
        process(patient(&url), async || {
            for text in texts {
                readable(text).await;
            }
        })
        .await;
        assert_eq!(EXECUTIONS.load(SeqCst), 3 * texts.len(), "none has survived its tag");
        process(patient(&url), async || invalidate_all().await.unwrap()).await;
        process(patient(&url), async || {
            for text in texts {
                digested(text).await;
            }
        })
        .await;
        assert_eq!(EXECUTIONS.load(SeqCst), 4 * texts.len(), "none has survived");
    }
}

#[tokio::test]
async fn what_stands_where_entries_leases_and_tokens_should_is_never_an_answer() {
    let _alone = ALONE.lock().await;
    let name = "what_stands_where_entries_leases_and_tokens_should_is_never_an_answer";
    let Some(server) = RedisServer::start(name) else { return };
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let url = server.url();
    let value = "stampede:{hostile::readable:v0:a}";
    // As it is when it is right.
    process(patient(&url), async || readable("a").await).await;
    let right: Vec<u8> = redis::cmd("GET").arg(value).query(&mut connection).unwrap();
    let token = redis::cmd("KEYS").arg("stampede:{#*").query::<Vec<String>>(&mut connection).unwrap().remove(0);

    let mut spoiled: Vec<Vec<u8>> = (0..right.len()).step_by(3).map(|length| right[..length].to_vec()).collect();
    for at in 0..right.len() {
        let mut flipped = right.clone();
        flipped[at] ^= 1 << (at % 8);
        spoiled.push(flipped);
    }
    spoiled.extend([b"plain text".to_vec(), vec![0; 1 << 20], vec![0xFF; 8 << 20]]);
    // Lists in lists, and a length that nothing stands behind.
    spoiled.extend([vec![0x91; 100_000], vec![0xDD, 0xFF, 0xFF, 0xFF, 0xFF], vec![0xC6, 0xFF, 0xFF, 0xFF, 0xFF]]);
    for payload in [vec![0x91; 100_000], vec![0xDD, 0xFF, 0xFF, 0xFF, 0xFF]] {
        spoiled.push([&right[..48], &payload].concat());
    }
    for bytes in &spoiled {
        let () = redis::cmd("SET").arg(value).arg(bytes).query(&mut connection).unwrap();
        let got = process(patient(&url), async || readable("a").await).await;
        assert_eq!(got, answer("a"), "{} bytes", bytes.len());
    }

    // A key of another kind, wherever stampede has one of its own.
    let lease = format!("{value}:lease");
    let outcome = format!("{value}:outcome");
    let kinds: [&[&str]; 6] = [
        &["LPUSH", "", "x"],
        &["SADD", "", "x"],
        &["ZADD", "", "1", "x"],
        &["XADD", "", "*", "f", "v"],
        &["HSET", "", "o", "x", "f", "not a number"],
        &["SET", "", "x"],
    ];
    for key in [value, &lease, &outcome, &token] {
        for kind in kinds {
            if key == lease && kind[0] == "HSET" {
                // That is a lease of somebody's, without an end, which is waited for.
                continue;
            }
            server.ask(&["FLUSHALL"]);
            let mut command = kind.to_vec();
            command[1] = key;
            server.ask(&command);
            for _ in 0..2 {
                let got = process(patient(&url), async || readable("a").await).await;
                assert_eq!(got, answer("a"), "{command:?}");
            }
        }
    }
    // Tokens that are no numbers, or larger than any.
    for text in ["-1", "1e300", "18446744073709551616", "99999999999999999999999", "", "7\0"] {
        server.ask(&["SET", &token, text]);
        let got = process(patient(&url), async || readable("a").await).await;
        assert_eq!(got, answer("a"), "{text:?}");
    }
    // What it wrote at last is right.
    let before = EXECUTIONS.load(SeqCst);
    process(patient(&url), async || readable("a").await).await;
    assert_eq!(EXECUTIONS.load(SeqCst), before);
}

#[tokio::test]
async fn without_a_right_calls_go_on_and_one_line_says_so() {
    listen();
    let _alone = ALONE.lock().await;
    let Some(server) = RedisServer::start("without_a_right_calls_go_on_and_one_line_says_so") else { return };
    for (right, refused) in [
        ("-evalsha", true),
        ("-script|load", true),
        ("-get", true),
        ("-mget", true),
        ("-scan", true),
        ("-hmget", true),
        ("-time", true),
        ("-publish", false),
        ("-subscribe", false),
        ("-pttl", true),
        ("resetkeys", true),
        ("-@all", true),
    ] {
        server.ask(&["SCRIPT", "FLUSH"]);
        server.ask(&["FLUSHALL"]);
        server.ask(&[
            "ACL",
            "SETUSER",
            "ann",
            "reset",
            "on",
            ">hunter2",
            "~stampede:{*",
            "&stampede:*",
            "+@all",
            right,
        ]);
        for _ in 0..2 {
            let before = logged("backend=\"main\"").len();
            let faults = process(patient(&server.url_of("ann", "hunter2")), async || {
                let users: Cache<u32> = Cache::builder("users").backend("main").build();
                for number in 0..5 {
                    let key = format!("user:{number}");
                    let got = users.get_or_set(&key, || async move { Ok::<_, String>(number) }).await;
                    assert_eq!(got, Ok(number), "{right}");
                    assert_eq!(readable(&key).await, answer(&key), "{right}");
                }
                users.get_many(["other:1", "other:2"]).await;
                let _ = users.clear().await;
                let faults = [users.stats(), readable::stats()].map(|stats| stats.backend_faults);
                // Nothing else is wrong, and no breaker is open.
                assert!(faults.iter().all(|it| it.resting + it.other + it.unreachable + it.timed_out == 0), "{right}");
                faults.map(|faults| faults.refused).iter().sum::<u64>()
            })
            .await;
            assert_eq!(faults > 0, refused, "{right}: {faults:?}");
            let lines = logged("backend=\"main\"").split_off(before);
            assert_eq!(lines.len(), usize::from(refused), "{right}: {lines:#?}");
            assert!(
                lines.iter().all(|line| line.starts_with("WARN") && line.contains("the store refused")),
                "{lines:#?}"
            );
        }
    }
    let heard = logged("does not let this user subscribe");
    assert!(!heard.is_empty(), "without messages, that is said");
}

#[tokio::test]
async fn secrets_show_nowhere() {
    listen();
    let name = "secrets_show_nowhere";
    let Some(server) = RedisServer::start(name) else { return };
    let Some(cluster) = RedisCluster::start(name) else { return };
    for node in cluster.nodes.iter().chain([&server]) {
        node.ask(&["ACL", "SETUSER", "sesame-user", "on", ">sesame-right", "~*", "&*", "+@all"]);
    }
    let (port, nodes) = (server.port(), cluster.url().replace("redis-cluster://", ""));
    let socket = server.folder().join("sesame-socket").display().to_string();
    let mut shown = String::new();
    let mut urls = Vec::new();
    for password in ["sesame-right", "sesame-wrong"] {
        let user = format!("sesame-user:{password}@");
        urls.extend([
            format!("redis://{user}127.0.0.1:{port}"),
            format!("redis://{user}127.0.0.1:1"),
            format!("redis://{user}sesame-host.invalid:1"),
            format!("unix://{socket}?user=sesame-user&pass={password}"),
            format!("redis-cluster://{user}{nodes}"),
            format!("redis-cluster://{user}127.0.0.1:1,sesame-host.invalid:1"),
            format!("redis-cluster://{user}127.0.0.1:{port}"),
            format!("redis-sentinel://{user}127.0.0.1:{port},sesame-host.invalid:1/sesame-master"),
            format!("rediss://{user}127.0.0.1:{port}"),
            // These say what is wrong with them.
            format!("redis://{user}127.0.0.1:{port}/sesame-database#sesame-fragment"),
            format!("redis-cluster://{user}sesame host,other/sesame-path?sesame=sesame"),
            format!("redis-sentinel://{user}sesame-host"),
            format!("sesame://{user}sesame-host"),
        ]);
    }
    for (at, url) in urls.iter().enumerate() {
        let builder = RedisBackend::builder(url).connect_timeout(Duration::from_secs(2));
        let builder = if url.contains("sentinel") { builder.sentinel_password("sesame-sentinel") } else { builder };
        _ = write!(shown, "{builder:?} ");
        let redis = match builder.build() {
            Ok(redis) => redis,
            Err(error) => {
                _ = write!(shown, "{error} {error:?} ");
                continue;
            }
        };
        if let Err(error) = soon(redis.ping()).await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            _ = write!(shown, "{error} {error:?} {cause:?} ");
        }
        let config = Config::builder().backend(format!("secrets-{at}"), redis.clone()).build().unwrap();
        _ = write!(shown, "{redis:?} {config:?} ");
        let _isolated = isolate_with(config);
        let users: Cache<u32> = Cache::builder("users").backend(&format!("secrets-{at}")).build();
        for _ in 0..5 {
            assert_eq!(soon(users.get_or_set("user", || async { Ok::<_, String>(7) })).await, Ok(7));
            if let Err(error) = soon(users.set("user", 7)).await {
                _ = write!(shown, "{error} {error:?} ");
            }
        }
        if let Err(error) = soon(invalidate_tags(["sesame".replace("sesame", "tag")])).await {
            _ = write!(shown, "{error} {error:?} ");
        }
        for (name, stats) in all_stats() {
            _ = write!(shown, "{name} {stats} {stats:?} {} ", serde_json::to_string(&stats).unwrap());
        }
        soon(shutdown(Duration::from_secs(5))).await;
    }
    let lines = LOGGED.lock().unwrap().join("\n");
    assert!(lines.contains("secrets-"), "something was logged");
    for (what, text) in [("shown", &shown), ("logged", &lines)] {
        for word in ["sesame", "127.0.0.1", &port.to_string()] {
            let at = text.find(word).map(|at| text[at.saturating_sub(200)..].chars().take(300).collect::<String>());
            assert_eq!(at, None, "{what}");
        }
    }
}

#[test]
fn keys_are_plain_whatever_the_text_is() {
    let place = stampede_runtime::store::Place::new("hostile", "f", 0);
    let key = StoreKey::new(&place, stampede_runtime::store::Id::Text("a\r\n}{\0"));
    assert_eq!(key.as_str(), "stampede:{hostile::f:v0:a%0D%0A%7D%7B%00}");
}
