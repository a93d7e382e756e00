//! What the tests share.

// Each program uses a part of it.
#![allow(dead_code)]

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use stampede_runtime::testing;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// Far more than any test needs, since the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(40);

// Of one type where they meet tokio, a thread or each other: there are hundreds of tests and calls, each of a type of its own, and
// tokio's part of a task would be compiled for each.
type Work<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs a test that has its runtime to itself: isolated, and ended when it hangs.
pub(super) async fn alone<T>(test: impl Future<Output = T>) -> T {
    let _isolated = testing::isolate();
    in_time(test).await
}

/// Ends a test that hangs. Measures real time, whatever tokio's clock does.
pub(super) async fn in_time<T>(test: impl Future<Output = T>) -> T {
    with_alarm(Box::pin(test)).await
}

async fn with_alarm<T>(test: Work<'_, T>) -> T {
    let (done, alarm) = set_alarm();
    let result = tokio::select! {
        biased;
        result = test => result,
        Ok(()) = alarm => panic!("hangs"),
    };
    drop(done);
    result
}

/// Rings when the time is over, unless what is returned first has been dropped.
fn set_alarm() -> (Sender<()>, oneshot::Receiver<()>) {
    let (done, is_done) = channel::<()>();
    let (ring, alarm) = oneshot::channel();
    let name = thread::current().name().unwrap_or("a test").to_owned();
    thread::spawn(move || {
        if is_done.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
            let _ = ring.send(());
            // A test that blocks its thread cannot hear the alarm.
            if is_done.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{name} blocks for ever");
                std::process::abort();
            }
        }
    });
    (done, alarm)
}

/// [`in_time`] for a test without a runtime.
pub(super) fn in_time_blocking<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    on_a_thread(Box::new(test))
}

fn on_a_thread<T: Send + 'static>(test: Box<dyn FnOnce() -> T + Send>) -> T {
    let (done, is_done) = channel();
    let test = thread::spawn(move || {
        let result = test();
        let _ = done.send(());
        result
    });
    assert_ne!(is_done.recv_timeout(DEADLINE), Err(RecvTimeoutError::Timeout), "hangs");
    test.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What the bodies of one test share with it: how often they ran, and a gate where each of them waits.
#[derive(Debug, Default)]
pub(super) struct World {
    begun: watch::Sender<usize>,
    open: watch::Sender<usize>,
    ended: watch::Sender<usize>,
    dropped: watch::Sender<usize>,
}

impl World {
    pub(super) fn new() -> Arc<World> {
        Arc::default()
    }

    /// A world whose gate is open.
    pub(super) fn at_ease() -> Arc<World> {
        let world = World::new();
        world.open_all();
        world
    }

    /// The body of a test: says that it has begun, waits at the gate and returns its number, from 1.
    pub(super) async fn body(&self) -> usize {
        let leave = Leave(self);
        let number = self.begin();
        self.gate(number).await;
        self.ended.send_modify(|ended| *ended += 1);
        drop(leave);
        number
    }

    /// Counts a run and returns its number, from 1.
    pub(super) fn begin(&self) -> usize {
        let mut number = 0;
        self.begun.send_modify(|begun| {
            *begun += 1;
            number = *begun;
        });
        number
    }

    /// Waits until the gate is open for this run.
    pub(super) async fn gate(&self, number: usize) {
        at_least(&self.open, number).await;
    }

    /// How many runs have begun.
    pub(super) fn runs(&self) -> usize {
        *self.begun.borrow()
    }

    /// How many runs have passed the gate.
    pub(super) fn ended(&self) -> usize {
        *self.ended.borrow()
    }

    /// Opens the gate for all runs up to this one.
    pub(super) fn open(&self, number: usize) {
        self.open.send_replace(number);
    }

    pub(super) fn open_all(&self) {
        self.open(usize::MAX);
    }

    /// Waits until so many runs have begun.
    pub(super) async fn begun(&self, runs: usize) {
        at_least(&self.begun, runs).await;
    }

    /// Waits until so many bodies are gone, at their end or before.
    pub(super) async fn gone(&self, runs: usize) {
        at_least(&self.dropped, runs).await;
    }
}

struct Leave<'a>(&'a World);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.dropped.send_modify(|dropped| *dropped += 1);
    }
}

async fn at_least(counter: &watch::Sender<usize>, number: usize) {
    counter.subscribe().wait_for(|count| *count >= number).await.expect("the sender is borrowed");
}

/// Lets everything that can move without time do so, on a current-thread runtime.
pub(super) async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

/// Spawns the same call so many times. All of them have boarded when this returns, and the body has begun.
pub(super) async fn crowd<F>(size: usize, call: impl Fn() -> F) -> Vec<JoinHandle<F::Output>>
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut crowd = Vec::new();
    for _ in 0..size {
        crowd.push(board(Box::pin(call())).await);
    }
    settle().await;
    crowd
}

/// Spawns a call. It has boarded when this returns, and its body, if it is the first, has begun.
pub(super) async fn boarded<F>(call: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let call = board(Box::pin(call)).await;
    settle().await;
    call
}

async fn board<T: Send + 'static>(mut call: Call<T>) -> JoinHandle<T> {
    let first = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
    tokio::spawn(async move {
        match first {
            Poll::Ready(result) => result,
            Poll::Pending => call.await,
        }
    })
}

/// The results of tasks that end well.
pub(super) async fn all<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("the task ends well"));
    }
    results
}

/// The message of a panic.
pub(super) fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).expect("panics carry text")
}

/// The message of a task that panicked.
pub(super) async fn panic_of<T>(task: JoinHandle<T>) -> String {
    match task.await {
        Ok(_) => panic!("the task was expected to panic"),
        Err(error) => message(&*error.into_panic()).to_owned(),
    }
}

/// A waker that counts.
#[derive(Debug, Default)]
pub(super) struct Bell(AtomicUsize);

impl Bell {
    pub(super) fn new() -> Arc<Bell> {
        Arc::default()
    }

    pub(super) fn rings(&self) -> usize {
        self.0.load(SeqCst)
    }

    pub(super) fn poll<F: Future>(self: &Arc<Self>, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Says what becomes of a value: how many copies of it there are.
pub(super) type Token = Arc<()>;

/// Whether only the test's own copy of a token is left.
pub(super) fn is_last(token: &Token) -> bool {
    Arc::strong_count(token) == 1
}

/// Waits until only the test's own copies of some tokens are left. What a reader (of another test, too) was looking at
/// when it was taken out is freed by the next change of its map, which is made here.
pub(super) async fn freed(tokens: &[&Token], change: impl Fn()) {
    while !tokens.iter().all(|token| is_last(token)) {
        change();
        tokio::task::yield_now().await;
    }
}

/// Runs one ignored test of this file in a process of its own.
pub(super) fn in_a_process_of_its_own(test: &str, environment: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().expect("this test has an executable"));
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"STAMPEDE_")) {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied());
    let output = command.output().expect("this executable can be run");
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}

/// An error of a user: it can be cloned, and holds ours.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    Fire,
    Stampede(stampede_runtime::Error),
}

impl From<stampede_runtime::Error> for Trouble {
    fn from(error: stampede_runtime::Error) -> Trouble {
        Trouble::Stampede(error)
    }
}

/// How a call of a function that may fail ended, in a word.
pub(super) async fn ending(call: JoinHandle<Result<usize, Trouble>>) -> String {
    use stampede_runtime::Error;

    match call.await {
        Ok(Ok(number)) => format!("value {number}"),
        Ok(Err(Trouble::Fire)) => "fire".to_owned(),
        Ok(Err(Trouble::Stampede(Error::Timeout { .. }))) => "timeout".to_owned(),
        Ok(Err(Trouble::Stampede(Error::WaitTimeout { .. }))) => "wait".to_owned(),
        Ok(Err(Trouble::Stampede(Error::Refused { .. }))) => "refused".to_owned(),
        Ok(Err(Trouble::Stampede(error))) => error.to_string(),
        Err(error) if error.is_panic() => format!("panic {}", message(&*error.into_panic())),
        Err(_) => "aborted".to_owned(),
    }
}

/// How bodies end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mood {
    Well,
    Failing,
    Panicking,
    Hanging,
}

/// A world of bodies that end as the test says when they leave the gate, which is open at first.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) world: World,
    mood: Mutex<Mood>,
}

impl Service {
    pub(super) fn new() -> Arc<Service> {
        let service = Service { world: World::default(), mood: Mutex::new(Mood::Well) };
        service.world.open_all();
        Arc::new(service)
    }

    pub(super) fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// The body of a test.
    pub(super) async fn answer(&self) -> Result<usize, Trouble> {
        let number = self.world.body().await;
        let mood = *self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        match mood {
            Mood::Well => Ok(number),
            Mood::Failing => Err(Trouble::Fire),
            Mood::Panicking => panic!("broken"),
            Mood::Hanging => std::future::pending().await,
        }
    }

    /// The same for a sync body, which has no gate.
    pub(super) fn answer_now(&self) -> Result<usize, Trouble> {
        let number = self.world.begin();
        let mood = *self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        match mood {
            Mood::Well => Ok(number),
            Mood::Failing => Err(Trouble::Fire),
            Mood::Panicking => panic!("broken"),
            Mood::Hanging => loop {
                thread::park();
            },
        }
    }

    pub(super) fn runs(&self) -> usize {
        self.world.runs()
    }
}

/// How a call ended, in a word.
pub(super) async fn said(call: impl Future<Output = Result<usize, Trouble>> + Send + 'static) -> String {
    let call: Call<_> = Box::pin(call);
    ending(tokio::spawn(call)).await
}

/// The sums that hold at every moment, but for functions that queue.
pub(super) fn add_up(stats: &stampede_runtime::Stats) {
    let saved = stats.cache_hits + stats.stale_hits + stats.coalesce_hits;
    assert_eq!(stats.requests, saved + stats.led + stats.bypassed + stats.refused + stats.misses, "{stats}");
    assert_eq!(stats.executions, stats.led + stats.refreshes + stats.retries, "{stats}");
}

/// Waits for what another thread is about to do.
pub(super) fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

/// The last moment of a time that is not its end.
pub(super) fn just_before(end: Duration) -> Duration {
    end.saturating_sub(Duration::from_millis(1))
}
