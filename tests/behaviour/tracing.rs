//! Each execution has a span: which function, how many waited, how it ended. Never what the key was.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use stampede_runtime::coalesce;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Metadata, Subscriber, info, info_span, subscriber};

use super::help::{Bell, Trouble, World, alone, boarded, crowd, ending, settle};

/// What a span was told.
#[derive(Clone, Debug, Default)]
struct Span {
    name: &'static str,
    target: &'static str,
    parent: Option<u64>,
    fields: BTreeMap<&'static str, String>,
    events: usize,
}

/// Writes down spans, by number.
#[derive(Clone, Default)]
struct Recorder(Arc<Records>);

#[derive(Default)]
struct Records {
    spans: Mutex<BTreeMap<u64, Span>>,
    entered: Mutex<Vec<u64>>,
    next: AtomicU64,
}

impl Recorder {
    /// A recorder of what happens on this thread while the guard lives.
    fn install() -> (Recorder, DefaultGuard) {
        // With one subscriber in the process, `tracing` asks the thread that first comes to a span whether anyone wants
        // it, and remembers the answer for all threads. Most of ours have no subscriber. With two it asks both.
        static OTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Recorder::default()));
        LazyLock::force(&OTHER);
        let recorder = Recorder::default();
        let guard = subscriber::set_default(recorder.clone());
        (recorder, guard)
    }

    fn spans(&self) -> MutexGuard<'_, BTreeMap<u64, Span>> {
        self.0.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entered(&self) -> MutexGuard<'_, Vec<u64>> {
        self.0.entered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The spans of executions, in the order of their beginning.
    fn executions(&self) -> Vec<Span> {
        self.spans().values().filter(|span| span.name == "execute").cloned().collect()
    }
}

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.0.next.fetch_add(1, SeqCst) + 1;
        let parent = span.parent().map(Id::into_u64);
        let parent = parent.or_else(|| self.entered().last().copied().filter(|_| span.is_contextual()));
        let metadata = span.metadata();
        let mut new = Span { name: metadata.name(), target: metadata.target(), parent, ..Span::default() };
        span.record(&mut Fields(&mut new.fields));
        self.spans().insert(id, new);
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, record: &Record<'_>) {
        if let Some(span) = self.spans().get_mut(&id.into_u64()) {
            record.record(&mut Fields(&mut span.fields));
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        let current = self.entered().last().copied();
        if let Some(span) = self.spans().get_mut(&current.unwrap_or_default()) {
            span.events += 1;
        }
    }

    fn enter(&self, id: &Id) {
        self.entered().push(id.into_u64());
    }

    fn exit(&self, id: &Id) {
        let mut entered = self.entered();
        if let Some(at) = entered.iter().rposition(|entered| *entered == id.into_u64()) {
            entered.remove(at);
        }
    }
}

#[coalesce(namespace = "traced", ttl = "1h", timeout = "1h", skip(how, world))]
async fn load(_secret: &str, how: &'static str, world: Arc<World>) -> Result<usize, Trouble> {
    info!("before");
    let number = world.body().await;
    info!("after");
    match how {
        "error" => Err(Trouble::Fire),
        "panic" => panic!("expected"),
        "timeout" => std::future::pending().await,
        _ => Ok(number),
    }
}

#[tokio::test(start_paused = true)]
async fn each_execution_has_a_span_that_says_how_it_ended() {
    let (recorder, _guard) = Recorder::install();
    alone(async {
        for how in ["value", "error", "panic", "timeout"] {
            let world = World::new();
            let calls = crowd(3, || load(how, how, Arc::clone(&world))).await;
            world.open_all();
            for call in calls {
                ending(call).await;
            }
            settle().await;
            let span = recorder.executions().pop().expect("there was an execution");
            assert_eq!(span.target, "stampede");
            assert_eq!(span.fields["function"], "traced::load");
            assert_eq!(span.fields["outcome"], how);
            assert_eq!(span.fields["waiters"], "3", "{how}");
        }
        let world = World::new();
        for call in crowd(2, || load("abandoned", "value", Arc::clone(&world))).await {
            call.abort();
        }
        settle().await;
        let span = recorder.executions().pop().expect("there was an execution");
        assert_eq!(span.fields["outcome"], "abandoned");
        assert_eq!(recorder.executions().len(), 5, "a span for each execution and none for joined calls");

        load::insert("kept", 1);
        load("kept", "value", world).await.expect("kept");
        assert_eq!(recorder.executions().len(), 5, "and none for hits");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_finishes_in_any_case_is_no_waiter() {
    #[coalesce(ttl = "1h", on_abandon = "finish", skip(world))]
    async fn finishing(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    let (recorder, _guard) = Recorder::install();
    alone(async {
        let world = World::new();
        let mut calls = crowd(2, || finishing(1, Arc::clone(&world))).await;
        calls.pop().expect("there are two").abort();
        settle().await;
        world.open_all();
        calls.pop().expect("one is left").await.expect("no panic");
        settle().await;
        assert_eq!(recorder.executions()[0].fields["waiters"], "1");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_span_tells_a_key() {
    let (recorder, _guard) = Recorder::install();
    alone(async {
        load("tell nobody", "value", World::at_ease()).await.expect("no error");
        load::invalidate("tell nobody");
        let spans = format!("{:?}", recorder.spans());
        assert!(spans.contains("traced::load") && !spans.contains("nobody"), "{spans}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_runs_in_the_span_of_its_first_caller() {
    let (recorder, _guard) = Recorder::install();
    alone(async {
        let world = World::new();
        let first = {
            let _request = info_span!("request", number = 1).entered();
            let mut call = Box::pin(load("key", "value", Arc::clone(&world)));
            assert!(Bell::new().poll(call.as_mut()).is_pending());
            tokio::spawn(call)
        };
        let second = {
            let _request = info_span!("request", number = 2).entered();
            boarded(load("key", "value", Arc::clone(&world)))
        };
        let second = second.await;
        // Later polls, too, whoever waits by then.
        first.abort();
        settle().await;
        world.open_all();
        assert_eq!(ending(second).await, "value 1");
        settle().await;

        let spans = recorder.spans().clone();
        let execution = spans.values().find(|span| span.name == "execute").expect("there was an execution");
        assert_eq!(execution.events, 2, "before and after the first await: {spans:?}");
        let parent = &spans[&execution.parent.expect("it was begun inside a span")];
        assert_eq!((parent.name, parent.fields["number"].as_str()), ("request", "1"));
    })
    .await;
}
