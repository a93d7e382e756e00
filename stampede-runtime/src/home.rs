//! The tokio runtime, as far as flights need it: where a caller is at home, and where a body goes on without it.

#[cfg(all(test, stampede_model))]
pub(crate) use self::modelled::{Home, HomeId, Task};
#[cfg(not(all(test, stampede_model)))]
pub(crate) use self::real::{Home, HomeId, Task};
use tokio::task::JoinSet;

use crate::blocking;
use crate::registry::Scope;
use crate::tier::Work;

/// Has work waited for that needs a runtime, for a thread that is in none. Who gives up waiting ends it; of what has panicked
/// there, which has said so already, nothing comes.
pub(crate) fn elsewhere<T: Send + 'static>(work: Work<T>, nothing: fn() -> T) -> Work<T> {
    let mut task = JoinSet::new();
    task.spawn_on(Scope::here().around(work), &blocking::helper());
    Box::pin(async move { task.join_next().await.and_then(Result::ok).unwrap_or_else(nothing) })
}

#[cfg(not(all(test, stampede_model)))]
mod real {
    use std::future::Future;

    use std::time::Duration;

    use tokio::runtime::{Handle, Id, RuntimeFlavor};
    use tokio::task::AbortHandle;

    use crate::blocking;
    #[cfg(feature = "test-util")]
    use crate::registry::Scope;
    use crate::tier::Work;

    /// Where bodies go on that leave their callers.
    pub(crate) enum Home {
        /// The runtime around the caller.
        Runtime(Handle),
        /// Sync functions: a thread for each body.
        Threads,
    }

    /// Which of the runtimes that nobody else can move.
    pub(crate) type HomeId = Id;

    /// A task that can be ended.
    pub(crate) struct Task(Option<AbortHandle>);

    impl Home {
        pub(crate) fn around() -> Option<Home> {
            Handle::try_current().ok().map(Home::Runtime)
        }

        /// The runtime's identity, if only the thread that is in it can move what it runs.
        pub(crate) fn if_alone(&self) -> Option<HomeId> {
            match self {
                Home::Runtime(handle) if handle.runtime_flavor() == RuntimeFlavor::CurrentThread => Some(handle.id()),
                _ => None,
            }
        }

        pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Task {
            #[cfg(feature = "test-util")]
            let work = Scope::within(work);
            match self {
                Home::Runtime(handle) => Task(Some(handle.spawn(work).abort_handle())),
                Home::Threads => {
                    blocking::spawn(Box::pin(work));
                    Task(None)
                }
            }
        }

        /// Whether a refresh may go on here.
        pub(crate) fn has_room(&self) -> bool {
            matches!(self, Home::Runtime(_)) || blocking::has_room()
        }

        /// Runs what needs a runtime, but nobody's in particular.
        pub(crate) fn run_outside(&self, work: impl Future<Output = ()> + Send + 'static) {
            self.spawn_task(Box::pin(work));
        }

        // Of one type from here on. A task of tokio's is some sixty functions to compile, twice, and users would compile those for
        // each kind of work of each of their functions. A body is spawned as it is: it would be one allocation more for each flight.
        fn spawn_task(&self, work: Work<()>) -> AbortHandle {
            #[cfg(feature = "test-util")]
            let work: Work<()> = Box::pin(Scope::within(work));
            match self {
                Home::Runtime(handle) => handle.spawn(work),
                Home::Threads => blocking::spawn_on_helper(work),
            }
            .abort_handle()
        }

        /// Runs `work` once `time` has passed, whatever blocks here meanwhile.
        pub(crate) fn after(&self, time: Duration, work: impl FnOnce() + Send + 'static) -> Task {
            let work = async move {
                tokio::time::sleep(time).await;
                work();
            };
            Task(Some(self.spawn_task(Box::pin(work))))
        }
    }

    impl Task {
        /// Ends the task at its next pause. A thread cannot be ended.
        pub(crate) fn abort(&self) {
            if let Some(task) = &self.0 {
                task.abort();
            }
        }
    }
}

#[cfg(all(test, stampede_model))]
mod modelled {
    use std::future::Future;
    use std::time::Duration;

    pub(crate) enum Home {
        Runtime,
        Threads,
    }
    pub(crate) type HomeId = u64;
    pub(crate) struct Task(shuttle::future::AbortHandle);

    impl Home {
        pub(crate) fn around() -> Option<Home> {
            Some(Home::Runtime)
        }

        pub(crate) fn if_alone(&self) -> Option<HomeId> {
            None
        }

        pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Task {
            Task(shuttle::future::spawn(work).abort_handle())
        }

        pub(crate) fn has_room(&self) -> bool {
            true
        }

        pub(crate) fn run_outside(&self, work: impl Future<Output = ()> + Send + 'static) {
            shuttle::future::spawn(work);
        }

        /// No scenario has a timeout.
        pub(crate) fn after(&self, _: Duration, _: impl FnOnce() + Send + 'static) -> Task {
            unreachable!("time stands still here")
        }
    }

    impl Task {
        pub(crate) fn abort(&self) {
            self.0.abort();
        }
    }
}
