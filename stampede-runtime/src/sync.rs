//! What the flight and its table are built from: the standard library's primitives or, with `--cfg stampede_model`,
//! those of shuttle, which runs a test through many interleavings of them (`model.rs`).

#[cfg(stampede_model)]
pub(crate) use self::modelled::*;
#[cfg(not(stampede_model))]
pub(crate) use self::real::*;

#[cfg(not(stampede_model))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64};
    pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock};
    pub(crate) use std::thread_local;
}

#[cfg(stampede_model)]
mod modelled {
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64};
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};
    pub(crate) use shuttle::thread_local;
    use std::sync::atomic::Ordering::{Acquire, Release};

    /// Shuttle has none. Others may run between the value's arrival and the moment when it can be seen, as they may in
    /// the standard library's.
    pub(crate) struct OnceLock<T> {
        value: std::sync::OnceLock<T>,
        is_there: AtomicBool,
    }

    impl<T> OnceLock<T> {
        pub(crate) const fn new() -> OnceLock<T> {
            OnceLock { value: std::sync::OnceLock::new(), is_there: AtomicBool::new(false) }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            if self.is_there.load(Acquire) { self.value.get() } else { None }
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            self.value.set(value)?;
            self.is_there.store(true, Release);
            Ok(())
        }
    }
}
