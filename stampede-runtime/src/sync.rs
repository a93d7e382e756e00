//! What the flight and its table are built from: the standard library's primitives or, with `--cfg stampede_model`,
//! those of shuttle, which runs a test through many interleavings of them (`model/`).

#[cfg(all(test, stampede_model))]
pub(crate) use self::modelled::*;
#[cfg(not(all(test, stampede_model)))]
pub(crate) use self::real::*;

#[cfg(not(all(test, stampede_model)))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64};
    pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock};
    pub(crate) use std::thread::LocalKey;
    pub(crate) use std::thread_local;

    pub(crate) use foldhash::fast::RandomState as Hashes;
}

#[cfg(all(test, stampede_model))]
mod modelled {
    pub(crate) use crate::__local as thread_local;
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64};
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};

    // Schedules can be explored one after the other only if nothing else differs between runs.
    pub(crate) use foldhash::fast::FixedState as Hashes;
    use std::cell::{Cell, RefCell};
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

    /// Shuttle's, with what the standard library's knows to do with cells.
    pub(crate) struct LocalKey<T: 'static>(pub(crate) shuttle::thread::LocalKey<T>);

    impl<T> LocalKey<T> {
        pub(crate) fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, shuttle::thread::AccessError> {
            self.0.try_with(f)
        }
    }

    impl<T: Copy> LocalKey<Cell<T>> {
        pub(crate) fn get(&'static self) -> T {
            self.0.with(Cell::get)
        }

        pub(crate) fn set(&'static self, value: T) {
            // A thread that is being torn down may have none any more, as no cell of the standard library's.
            let _ = self.0.try_with(|cell| cell.set(value));
        }

        pub(crate) fn replace(&'static self, value: T) -> T {
            self.0.with(|cell| cell.replace(value))
        }
    }

    impl<T> LocalKey<RefCell<T>> {
        pub(crate) fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
            self.0.with(|cell| f(&cell.borrow()))
        }

        pub(crate) fn replace(&'static self, value: T) -> T {
            self.0.with(|cell| cell.replace(value))
        }
    }

    /// `thread_local!` of constants.
    #[macro_export]
    #[doc(hidden)]
    macro_rules! __local {
        ($($(#[$attribute:meta])* static $name:ident: $type:ty = const { $value:expr };)*) => {$(
            $(#[$attribute])*
            static $name: $crate::sync::LocalKey<$type> = $crate::sync::LocalKey(shuttle::thread::LocalKey {
                init: || $value,
                _p: ::std::marker::PhantomData,
            });
        )*};
    }
}
