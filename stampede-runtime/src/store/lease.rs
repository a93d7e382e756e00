//! Leases of a store: which of many processes makes the value of a key, and how the others hear of it.
//!
//! Not for implementing outside of this crate yet, so not documented there.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::time::Duration;

use super::backend::Pending;
use super::key::StoreKey;

/// A number that no other process has. What seeds ordinary random numbers, a clock and the like, may be the same in two that
/// begin at one moment.
pub(crate) fn number_of_its_own() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// A store in which one of all processes at a time has the right to make the value of a key.
///
/// Every step is one round trip and happens at once or not at all. Whatever ends a lease wakes those who wait for it.
pub trait Leases: Send + Sync {
    /// An entry, and for how long it is still there, if that has an end. Less work for a store than [`acquire`](Self::acquire).
    fn look<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, Option<(Vec<u8>, Option<Duration>)>>;

    /// The value; or else the right to make it; or else who has that right.
    fn acquire<'a>(&'a self, key: &'a StoreKey, asked: Asked<'a>) -> Pending<'a, Acquired>;

    /// Lengthens a lease: it lasts for `lease` from now on. `false`: it is not the newest any more.
    fn renew<'a>(&'a self, key: &'a StoreKey, token: &'a Token, lease: Duration) -> Pending<'a, bool>;

    /// Ends a lease. `false`: it was not the newest any more, and nothing has happened.
    fn end<'a>(&'a self, key: &'a StoreKey, token: &'a Token, end: End<'a>) -> Pending<'a, bool>;

    /// Puts an entry under a key as [`Backend::set`](super::Backend::set) does, and takes the right to make it from
    /// whoever has it.
    fn overwrite<'a>(&'a self, key: &'a StoreKey, entry: &'a [u8], ttl: Duration) -> Pending<'a, ()>;

    /// The same with several entries, one after another in one round trip. After an error it is unknown of each whether it
    /// was put.
    fn overwrite_many<'a>(&'a self, entries: &'a [(StoreKey, Vec<u8>, Duration)]) -> Pending<'a, ()>;

    /// Somebody who may have to wait for a lease of a key.
    fn waiter(&self, key: &StoreKey) -> Box<dyn Waiter>;
}

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Who asks, the same each time it does. No two have one name.
    pub owner: &'a str,
    /// For how long the right is to be given.
    pub lease: Duration,
    /// Which values will do.
    pub value: Wish<'a>,
    /// The fence of a lease that this one has waited for. How that or a later one ended is told then.
    pub joined: Option<u64>,
    /// Is woken when a lease of the key ends.
    pub waiter: Option<&'a dyn Waiter>,
}

/// Which values will do.
#[derive(Clone, Copy)]
pub enum Wish<'a> {
    /// Any.
    Any,
    /// Any whose entry does not begin with these bytes.
    Other(&'a [u8]),
    /// One that is not made yet, nor being made for an ordinary call: the right to make it is taken from whoever has it,
    /// unless that one has asked for the newest, too.
    Newest,
}

/// What an [`acquire`](Leases::acquire) found.
#[derive(PartialEq, Eq)]
pub enum Acquired {
    /// An entry.
    Value {
        /// As it was set.
        entry: Vec<u8>,
        /// For how long it is still there. `None`: for ever.
        left: Option<Duration>,
    },
    /// A lease that was waited for has ended so: the bytes of [`End::Told`].
    Told(Vec<u8>),
    /// The right to make the value.
    Lead(Token),
    /// Somebody else has that, for `left` if it is not lengthened.
    Wait {
        /// Of the other's token.
        fence: u64,
        /// What is left of the lease.
        left: Duration,
        /// To who wants the newest: how the entry begins that there is now. Empty: there is none.
        entry: Vec<u8>,
    },
}

/// Without what is in it.
impl fmt::Debug for Acquired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Acquired::Value { entry, left } => write!(f, "Value({} bytes, left: {left:?})", entry.len()),
            Acquired::Told(bytes) => write!(f, "Told({} bytes)", bytes.len()),
            Acquired::Lead(token) => f.debug_tuple("Lead").field(token).finish(),
            Acquired::Wait { fence, left, .. } => {
                f.debug_struct("Wait").field("fence", fence).field("left", left).finish()
            }
        }
    }
}

/// The right to make the value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Who has it.
    pub owner: Box<str>,
    /// Larger than that of every earlier token of the key. To end a lease that was asked for, and of which nobody was told
    /// whether it was given, 0 stands for whatever it is.
    pub fence: u64,
}

/// How a lease ends.
#[derive(Clone, Copy)]
pub enum End<'a> {
    /// With a value: the entry is kept for `ttl`, as [`Backend::set`](super::Backend::set) does.
    Value {
        /// As it is to be kept.
        entry: &'a [u8],
        /// For how long.
        ttl: Duration,
        /// What those who waited are told besides, and for how long they can be: the entry may be gone before they ask.
        told: Option<(&'a [u8], Duration)>,
    },
    /// With something that is not kept: it is there for `ttl`, for those who waited.
    Told {
        /// What they are told.
        outcome: &'a [u8],
        /// For how long.
        ttl: Duration,
        /// Whether the value that is kept is not to be any more.
        forget: bool,
    },
    /// With nothing: whoever asks next gets the right.
    Nothing {
        /// Whether the value that is kept is not to be any more.
        forget: bool,
    },
}

/// Somebody who waits for leases to end. Dropped, it does not any more.
pub trait Waiter: Send + Sync + fmt::Debug {
    /// What the store knows its process by.
    fn name(&self) -> &str;

    /// Returns once a lease of the key has ended, or may have, since it was last woken: when messages can have been lost, it
    /// is woken too. Never returns where the store sends no messages.
    fn woken(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Whether the store can wake it now. If not, it has to look by itself.
    fn is_heard(&self) -> bool;
}
