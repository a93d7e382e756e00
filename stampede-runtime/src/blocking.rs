//! Sync functions: calls that block their threads, and bodies that run on threads of their own.
//!
//! A sync body runs to its end on the thread that polls it, so to a flight it is a future that is ready at its first poll.
//! A caller that has to wait for another's body parks its thread until the flight's end wakes it, as it would wake a task.

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

use crate::registry::Scope;
use crate::tier::Work;

/// The body of a sync function.
pub(crate) struct Body<B>(Option<B>);

impl<B> Body<B> {
    pub(crate) fn new(body: B) -> Body<B> {
        Body(Some(body))
    }
}

// The body is moved out before it runs.
impl<B> Unpin for Body<B> {}

impl<B: FnOnce() -> R, R> Future for Body<B> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<R> {
        let body = self.0.take().expect("a body is polled once, and then it has ended");
        Poll::Ready(body())
    }
}

struct Unpark {
    thread: Thread,
    /// Somebody has woken the thread. Its token alone could be used up by other code that parks.
    is_woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, SeqCst);
        self.thread.unpark();
    }
}

/// Polls until there is something, and parks the thread in between: until it is woken, or until the moment that `poll`
/// names.
pub(crate) fn wait<R>(mut poll: impl FnMut(&mut Context<'_>) -> Result<R, Option<Instant>>) -> R {
    let unpark = Arc::new(Unpark { thread: thread::current(), is_woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut cx = Context::from_waker(&waker);
    loop {
        let deadline = match poll(&mut cx) {
            Ok(output) => return output,
            Err(deadline) => deadline,
        };
        while !unpark.is_woken.swap(false, SeqCst) {
            let Some(deadline) = deadline else {
                thread::park();
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
    }
}

thread_local! {
    /// This thread blocks on a call that is awaited elsewhere.
    static IS_DRIVING: Cell<bool> = const { Cell::new(false) };
}

/// Whether bodies of calls that are made here may run on this thread, and on threads of their own.
pub(crate) fn is_driving() -> bool {
    IS_DRIVING.get()
}

/// Blocks this thread until there is an answer. What needs a runtime meanwhile finds one that nobody blocks.
pub(crate) fn drive<R>(answer: impl Future<Output = R>) -> R {
    let mut answer = pin!(answer);
    wait(|cx| {
        let _driving = Driving::set(true);
        let runtime = helper();
        let _runtime = runtime.enter();
        match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Ok(answer),
            Poll::Pending => Err(None),
        }
    })
}

/// Runs the user's code inside such an answer.
pub(crate) fn aside<R>(run: impl FnOnce() -> R) -> R {
    let _not_driving = Driving::set(false);
    run()
}

/// As it was before, when it is dropped.
struct Driving(bool);

impl Driving {
    fn set(is_driving: bool) -> Driving {
        Driving(IS_DRIVING.replace(is_driving))
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        IS_DRIVING.set(self.0);
    }
}

/// More bodies than this never run on threads of their own at once; others run on their callers'.
const MOST_THREADS: usize = 4_096;

/// While so many run, no refresh begins on another: the old value does for longer.
const MOST_FOR_REFRESHES: usize = 256;

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Whether a refresh may have a thread.
pub(crate) fn has_room() -> bool {
    THREADS.load(SeqCst) < MOST_FOR_REFRESHES
}

/// Runs `work` on a thread of its own or, if none can be had, here. The thread is in the caller's runtime, if it is in one,
/// and in its test's isolation.
pub(crate) fn spawn(work: Work<()>) {
    // In a place of its own, since a thread that cannot be made does not give back what it was to run.
    let place = Arc::new(Mutex::new(Some(work)));
    let take = |place: &Mutex<Option<_>>| place.lock().unwrap_or_else(PoisonError::into_inner).take();
    let has_room = THREADS.fetch_add(1, SeqCst) < MOST_THREADS;
    let counted = Counted;
    let spawned = has_room && {
        let place = Arc::clone(&place);
        let (runtime, scope) = (Handle::try_current().ok(), Scope::here());
        let run = move || {
            let _counted = counted;
            let _runtime = runtime.as_ref().map(Handle::enter);
            let _entered = scope.enter();
            if let Some(work) = take(&place) {
                run(work);
            }
        };
        thread::Builder::new().name("stampede".to_owned()).spawn(run).is_ok()
    };
    if !spawned && let Some(work) = take(&place) {
        run(work);
    }
}

/// A thread, or the wish for one.
struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, SeqCst);
    }
}

fn run(mut work: Work<()>) {
    wait(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(()) => Ok(()),
        Poll::Pending => Err(None),
    });
}

/// A runtime for what sync functions need of one, on a thread of its own that begins at its first use and stays. A host of a
/// test has its test's instead.
pub(crate) fn helper() -> Handle {
    #[cfg(feature = "test-util")]
    if let Some(runtime) = crate::registry::runtime_of_host() {
        return runtime;
    }
    helper_of_process().clone()
}

/// The same whatever the caller is in: its time is real.
pub(crate) fn helper_of_process() -> &'static Handle {
    static HELPER: LazyLock<Handle> = LazyLock::new(|| staying("stampede-helper"));
    &HELPER
}

/// Runs `work` there, in the caller's isolation.
pub(crate) fn spawn_on_helper(work: Work<()>) -> JoinHandle<()> {
    helper().spawn(Scope::here().around(work))
}

/// Does what is the user's and may compute: anywhere but where leases are lengthened and answers of backends come in. `None`: it has
/// panicked there.
#[cfg(feature = "semantic")]
pub(crate) async fn in_workshop<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    static WORKSHOP: LazyLock<Handle> = LazyLock::new(|| staying("stampede-workshop"));
    // Not the runtime of a host, which is its test's, and has its time.
    if Handle::current().id() != helper_of_process().id() {
        return Some(work.await);
    }
    let mut task = tokio::task::JoinSet::new();
    task.spawn_on(Scope::here().around(work), &WORKSHOP);
    task.join_next().await.and_then(Result::ok)
}

fn staying(name: &str) -> Handle {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let handle = runtime.handle().clone();
    let stay = move || runtime.block_on(pending::<()>());
    thread::Builder::new().name(name.to_owned()).spawn(stay).expect("a thread can be made");
    handle
}
