//! Shared functions of every shape, in a crate that knows the runtime as `sharing`, is of edition 2018 and denies
//! every lint that an expansion could break.

#![deny(missing_debug_implementations, single_use_lifetimes, unused_lifetimes, unused_qualifications)]

pub mod attached;
pub mod meaning;
pub mod odd;
pub mod shapes;
pub mod sync;

/// The runtime, handed on.
pub mod facade {
    pub use sharing as stampede;
}
