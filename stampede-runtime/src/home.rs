//! The tokio runtime, as far as flights need it: where a caller is at home, and where a body goes on without it.

#[cfg(all(test, stampede_model))]
pub(crate) use self::modelled::{Home, HomeId, Task};
#[cfg(not(all(test, stampede_model)))]
pub(crate) use self::real::{Home, HomeId, Task};

#[cfg(not(all(test, stampede_model)))]
mod real {
    use std::future::Future;

    use tokio::runtime::{Handle, Id, RuntimeFlavor};
    use tokio::task::AbortHandle;

    /// The runtime around a caller.
    pub(crate) struct Home(Handle);

    /// Which of the runtimes that nobody else can move.
    pub(crate) type HomeId = Id;

    /// A task that can be ended.
    pub(crate) struct Task(AbortHandle);

    impl Home {
        pub(crate) fn around() -> Option<Home> {
            Handle::try_current().ok().map(Home)
        }

        /// The runtime's identity, if only the thread that is in it can move what it runs.
        pub(crate) fn if_alone(&self) -> Option<HomeId> {
            (self.0.runtime_flavor() == RuntimeFlavor::CurrentThread).then(|| self.0.id())
        }

        pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Task {
            Task(self.0.spawn(work).abort_handle())
        }
    }

    impl Task {
        pub(crate) fn abort(&self) {
            self.0.abort();
        }
    }
}

#[cfg(all(test, stampede_model))]
mod modelled {
    use std::future::Future;

    pub(crate) struct Home;
    pub(crate) type HomeId = u64;
    pub(crate) struct Task(shuttle::future::AbortHandle);

    impl Home {
        pub(crate) fn around() -> Option<Home> {
            Some(Home)
        }

        pub(crate) fn if_alone(&self) -> Option<HomeId> {
            None
        }

        pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Task {
            Task(shuttle::future::spawn(work).abort_handle())
        }
    }

    impl Task {
        pub(crate) fn abort(&self) {
            self.0.abort();
        }
    }
}
