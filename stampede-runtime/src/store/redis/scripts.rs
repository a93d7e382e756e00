//! The steps that happen at once or not at all, as scripts of the server.
//!
//! Each touches the keys of one entry, which stand in one hash tag, and takes a time that depends on nothing but the
//! number of those who are woken.

use std::sync::LazyLock;

use ::redis::{Script, ScriptInvocation};

use crate::store::StoreKey;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident: [$($file:literal),*];)*) => {$(
        $(#[$doc])*
        pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!($file)),*)));
    )*};
}

scripts! {
    ACQUIRE: ["acquire.lua"];
    RENEW: ["void.lua", "renew.lua"];
    END: ["void.lua", "end.lua"];
    REMOVE: ["void.lua", "remove.lua"];
    OVERWRITE: ["void.lua", "overwrite.lua"];
    /// An entry in the place of exactly one other.
    REPLACE: ["void.lua", "replace.lua"];
    /// The token of a tag, made where there is none; and the time.
    AGREE: ["agree.lua"];
    /// Another token for a tag.
    CHANGE: ["change.lua"];
    /// Ends a lease alone, for `clear`.
    RELEASE: ["void.lua", "release.lua"];
}

/// What follows an entry's key in that of its lease: a hash of the owner `o`, the fence `f`, the milliseconds `t` that it lasts
/// unless it is lengthened, a field `w:` with the channel of each process that waits, and `n` where the newest value was asked
/// for.
pub(super) const LEASE: &str = ":lease";
/// The same of what the last lease told: a hash of its fence `f` and the bytes `b`.
const OUTCOME: &str = ":outcome";

/// What [`OVERWRITE`] is, for a pipeline, which has to bring it along.
pub(super) const OVERWRITE_TEXT: &str = concat!(include_str!("void.lua"), include_str!("overwrite.lua"));

pub(super) fn lease_of(key: &StoreKey) -> String {
    format!("{key}{LEASE}")
}

pub(super) fn outcome_of(key: &StoreKey) -> String {
    format!("{key}{OUTCOME}")
}

/// A call about an entry, its lease and its outcome.
pub(super) fn about<'s>(script: &'s Script, key: &StoreKey) -> ScriptInvocation<'s> {
    let mut call = script.prepare_invoke();
    call.key(key.as_str()).key(lease_of(key)).key(outcome_of(key));
    call
}

/// The key of the entry that a key is about. `None`: it is none of ours.
pub(super) fn entry_of(key: &str) -> Option<&str> {
    Some(&key[..=key.rfind('}')?])
}

/// Whether a key that a store has is that of an entry. No identity ends in a brace, so no entry looks like a lease.
pub(super) fn is_entry(key: &str) -> bool {
    key.ends_with('}')
}
