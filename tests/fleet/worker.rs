//! A worker: a process of its own that does as it is told.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use stampede_runtime::semantic::PgvectorIndex;
use stampede_runtime::store::RedisBackend;
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, Settings, configure};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::{AbortHandle, JoinError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};

use super::directions::DIMENSIONS;
use super::events::{Command, DECODED, Got, Setup, Task, What};
use super::functions::{GATE, SETUP, call, insert, made, next_number, refresh, report, setup, stats, take_out};

/// The variable that holds a worker's [`Setup`].
pub(super) const VARIABLE: &str = "FLEET_WORKER";
/// The test that is the worker.
pub(super) const TEST: &str = "fleet::worker::work";

#[test]
#[ignore = "run in a process of its own"]
fn work() {
    let setup = std::env::var(VARIABLE).expect("a worker is set up by its host");
    let setup: Setup = serde_json::from_str(&setup).expect("the host writes what is read here");
    SETUP.set(setup).expect("it is set once");
    // The harness has begun a line.
    println!();
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        if !text.contains("on purpose") {
            eprintln!("worker {}: {text}", setup_process());
        }
    }));
    tracing::subscriber::set_global_default(Log).expect("nobody else listens");
    let (sender, mut commands) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { break };
            let command: Command = serde_json::from_str(&line).expect("the host writes what is read here");
            if sender.send(command).is_err() {
                break;
            }
        }
        // The host is gone, or wants no more.
        std::process::exit(0);
    });
    let runtime = runtime();
    runtime.block_on(async {
        configure(config()).expect("the configuration is right");
        report(What::Ready);
        while let Some(command) = commands.recv().await {
            obey(command);
        }
    });
}

fn setup_process() -> usize {
    SETUP.get().map_or(0, |setup| setup.process)
}

fn runtime() -> Runtime {
    let mut builder =
        if setup().is_current_thread { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

fn config() -> Config {
    let setup = setup();
    let millis = Duration::from_millis;
    let mut settings = Settings::new().lease(millis(setup.lease)).ttl(millis(setup.ttl));
    if let Some(wait) = setup.wait {
        settings = settings.wait(millis(wait));
    }
    if let Some(timeout) = setup.timeout {
        settings = settings.timeout(millis(timeout));
    }
    if let Some(most) = setup.max_concurrent {
        settings = settings.max_concurrent(most);
    }
    if let Some(stale) = setup.stale {
        settings = settings.stale(millis(stale));
    }
    if let Some(early) = setup.early {
        settings = settings.early(early);
    }
    if let Some(share) = setup.share_errors {
        settings = settings.share_errors(share);
    }
    if let Some(most) = setup.payload_bytes_max {
        settings = settings.payload_bytes_max(most);
    }
    if let Some(patience) = setup.patience {
        settings = settings.backend_timeout(millis(patience));
    }
    let mut config = Config::builder().defaults(settings);
    if let Some(url) = &setup.url {
        let mut redis = RedisBackend::builder(url);
        if let Some(patience) = setup.patience {
            redis = redis.connect_timeout(millis(patience)).response_timeout(millis(patience));
        }
        config = config.backend("redis", redis.build().expect("the url is right"));
    }
    if let Some(url) = &setup.postgres {
        let mut index = PgvectorIndex::builder(url).dimensions(DIMENSIONS);
        if let Some(patience) = setup.patience {
            index = index.connect_timeout(millis(patience)).query_timeout(millis(patience));
        }
        config = config.index("pgvector", index.build().expect("the url is right"));
    }
    config.build().expect("the configuration is right")
}

/// The calls that can be dropped.
static CALLS: Mutex<Option<HashMap<u64, AbortHandle>>> = Mutex::new(None);

fn obey(command: Command) {
    match command {
        Command::Call { calls, function, key, task } => {
            for call in calls {
                begin(call, &function, key.clone(), task.clone());
            }
        }
        Command::Crowd { done, function, key, count, task } => gather(done, function, key, count, task),
        Command::Fresh { call: number, function, key, task } => {
            std::thread::spawn(move || {
                let runtime = runtime();
                runtime.block_on(async {
                    let _isolated = isolate_with(config());
                    report(What::Begins {
                        call: number,
                        function: function.clone(),
                        key: key.clone(),
                        is_fresh: true,
                        is_refresh: false,
                    });
                    let got = tokio::spawn(call(function, key.clone(), task)).await.unwrap_or_else(of_join);
                    // What is on its way to the server arrives first.
                    stampede_runtime::shutdown(Duration::from_secs(10)).await;
                    report(What::Got { call: number, key, got });
                });
            });
        }
        Command::Doomed { call: number, function, key, task, after } => {
            std::thread::spawn(move || {
                let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
                report(What::Begins {
                    call: number,
                    function: function.clone(),
                    key: key.clone(),
                    is_fresh: false,
                    is_refresh: false,
                });
                runtime.spawn(call(function, key.clone(), task));
                std::thread::sleep(Duration::from_millis(after));
                runtime.shutdown_timeout(Duration::from_secs(1));
                report(What::Got { call: number, key, got: Got::Cancelled });
            });
        }
        Command::Cancel => {
            for (_, handle) in CALLS.lock().expect("nobody panics here").iter_mut().flat_map(HashMap::drain) {
                handle.abort();
            }
        }
        Command::Invalidate { done, function, key, then } => {
            invalidate(done, &function, Some(key.clone()), || {
                if let Some((call, task)) = then {
                    begin(call, &function, key, task);
                }
            });
        }
        Command::Clear { done, function } => invalidate(done, &function, None, || ()),
        Command::Refresh { call, function, key, task } => {
            report(What::Begins {
                call,
                function: function.clone(),
                key: key.clone(),
                is_fresh: false,
                is_refresh: true,
            });
            tokio::spawn(async move {
                let got = refresh(&function, key.clone(), task).await;
                report(What::Got { call, key, got });
            });
        }
        Command::Insert { done, function, key } => {
            let number = next_number();
            report(What::Inserts { done, key: key.clone(), number });
            insert(&function, key, made(number, 0));
        }
        Command::Gate { is_open } => GATE.store(is_open, SeqCst),
        Command::Leave { within } => {
            tokio::spawn(async move {
                stampede_runtime::shutdown(Duration::from_millis(within)).await;
                std::process::exit(0);
            });
        }
        Command::Stats { done, function, is_idle } => {
            tokio::spawn(async move {
                if is_idle {
                    stampede_runtime::shutdown(Duration::from_secs(10)).await;
                }
                report(What::Stats { done, stats: stats(&function) });
            });
        }
    }
}

/// So many calls at once, each of which has begun before anybody is told.
fn gather(done: u64, function: String, key: String, count: usize, task: Task) {
    tokio::spawn(async move {
        let decoded = DECODED.load(SeqCst);
        let called = Arc::new(AtomicUsize::new(0));
        let call_once = || {
            let (called, call) = (Arc::clone(&called), call(function.clone(), key.clone(), task.clone()));
            tokio::spawn(async move {
                let mut call = pin!(call);
                let first = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
                if called.fetch_add(1, SeqCst) + 1 == count {
                    report(What::Gathered { done });
                }
                if let Poll::Ready(got) = first { got } else { call.await }
            })
        };
        let calls: Vec<_> = (0..count).map(|_| call_once()).collect();
        let mut got = Vec::with_capacity(count);
        for call in calls {
            got.push(call.await.unwrap_or_else(of_join));
        }
        let others = got.iter().filter(|other| **other != got[0]).count();
        let decoded = DECODED.load(SeqCst) - decoded;
        report(What::Crowd { done, got: got.swap_remove(0), others, decoded });
    });
}

/// `then` comes before it is known whether the servers were told.
fn invalidate(done: u64, function: &str, key: Option<String>, then: impl FnOnce()) {
    report(What::Invalidates { done, function: function.to_owned(), key: key.clone() });
    let invalidation = take_out(function, key);
    report(What::Invalidated { done });
    then();
    tokio::spawn(async move {
        report(What::Done { done, has_arrived: invalidation.await.is_ok() });
    });
}

fn begin(number: u64, function: &str, key: String, task: Task) {
    let function = function.to_owned();
    // Polled after the lock is given back, by when the call can be dropped.
    let may_begin = Arc::new(Notify::new());
    let may = Arc::clone(&may_begin);
    let of_key = key.clone();
    let task = tokio::spawn(async move {
        may.notified().await;
        report(What::Begins {
            call: number,
            function: function.clone(),
            key: of_key.clone(),
            is_fresh: false,
            is_refresh: false,
        });
        call(function, of_key, task).await
    });
    CALLS.lock().expect("nobody panics here").get_or_insert_default().insert(number, task.abort_handle());
    may_begin.notify_one();
    tokio::spawn(async move {
        let got = task.await.unwrap_or_else(of_join);
        if let Some(calls) = &mut *CALLS.lock().expect("nobody panics here") {
            calls.remove(&number);
        }
        report(What::Got { call: number, key, got });
    });
}

fn of_join(error: JoinError) -> Got {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Got::Panic(text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
        }
        Err(_) => Got::Cancelled,
    }
}

/// Reports what people would be told.
struct Log;

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("stampede") && *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                _ = write!(self.0, "{field}={value:?} ");
            }
        }
        let mut text = Text(format!("{} ", event.metadata().level()));
        event.record(&mut text);
        report(What::Log { text: text.0 });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
