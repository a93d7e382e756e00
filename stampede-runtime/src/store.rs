//! Values outside of the process: as which bytes, under which key, in which store.
//!
//! Memory holds values as they are. A [`Backend`] holds bytes, so that other processes, and this one after a restart,
//! find what was made before:
//!
//! ```text
//! value ──codec──▶ payload ──envelope──▶ entry ──Backend::set──▶ store
//!                                          under a StoreKey
//! ```
//!
//! - [`StoreKey`] says whose entry it is: namespace, function, version, arguments.
//! - [`Codec`] makes bytes of a value; [`Envelope`] says what they are and how long they are good for.
//! - [`Backend`] is the store. [`MemoryBackend`] is one; [`conformance`] is the test for your own.
//!
//! Bytes from a store may come from anybody: an older version of the program, a newer one, another program, a broken
//! disk. So [`decode`] takes exactly what [`encode`] made and refuses everything else, within limits and without a panic.
//! What is refused counts as a miss and is written anew.

mod backend;
mod codec;
pub mod conformance;
mod envelope;
mod fleet;
mod guard;
pub mod key;
#[doc(hidden)]
pub mod lease;
mod memory;
#[doc(hidden)]
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "for stores that tell news"))]
pub mod news;
#[doc(hidden)]
#[cfg(any(test, feature = "test-util"))]
pub mod protocol;
#[cfg(feature = "redis")]
pub mod redis;
mod sites;
mod tier;
mod times;
#[doc(hidden)]
pub mod tokens;

use serde::Serialize;
use serde::de::DeserializeOwned;

#[doc(hidden)]
pub use backend::Parts;
pub use backend::{Backend, BackendError, BackendErrorKind, KEYS_MAX, Pending};
pub use codec::{Codec, CodecError, DEPTH_MAX};
pub use envelope::{Envelope, Refused, Tags};
pub(crate) use guard::Guarded;
#[cfg(feature = "semantic")]
pub(crate) use guard::{Verb, WHOLE};
#[doc(no_inline)]
pub use key::{Id, Place, Prefix, StoreKey};
pub use memory::MemoryBackend;
#[cfg(feature = "redis")]
#[doc(no_inline)]
pub use redis::{RedisBackend, RedisBuilder};
#[doc(hidden)]
pub use sites::StoredSite;
pub(crate) use sites::problems;
pub(crate) use tier::{CLEAR_BUDGETS, Stored};
pub use times::{Times, UnixMillis};
pub(crate) use tokens::{Changing, Seen};

/// What can be kept in a backend.
#[diagnostic::on_unimplemented(
    message = "a value kept in a backend is stored as bytes, so `{Self}` must implement `serde::Serialize` and `serde::de::DeserializeOwned`",
    label = "cannot be stored as bytes",
    note = "derive them: `#[derive(serde::Serialize, serde::Deserialize)]`"
)]
pub trait Storable: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Storable for T {}

/// The most bytes of a payload, unless one says otherwise: its entry is a mebibyte, which every backend takes.
pub const PAYLOAD_BYTES_MAX: usize = crate::policy::PAYLOAD_BYTES_MAX;

const _: () = assert!(PAYLOAD_BYTES_MAX + Envelope::HEADER_BYTES == 1 << 20);

/// The entry of a value, ready for [`Backend::set`].
///
/// ```
/// use std::time::Duration;
/// use stampede_runtime::store::{self, Codec, Times, UnixMillis};
///
/// let now = UnixMillis::now();
/// let times = Times::new(now, Duration::from_secs(60), Duration::ZERO, Duration::from_millis(850));
/// let entry = store::encode(&("sunny", 21.5), times, Codec::default(), store::PAYLOAD_BYTES_MAX)?;
///
/// let (value, read): ((String, f32), Times) = store::decode(&entry, store::PAYLOAD_BYTES_MAX, now)?;
/// assert_eq!((value, read), (("sunny".to_owned(), 21.5), times));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`CodecError`]: the value is larger than `payload_bytes_max`, deeper than [`DEPTH_MAX`], or of a kind that would not
/// come back as it was. It is not to be stored then.
pub fn encode<T: ?Sized + Serialize>(
    value: &T,
    times: Times,
    codec: Codec,
    payload_bytes_max: usize,
) -> Result<Vec<u8>, CodecError> {
    let mut entry = vec![0; Envelope::HEADER_BYTES];
    codec.append(&mut entry, value, payload_bytes_max)?;
    envelope::seal(&mut entry, times, codec)?;
    Ok(entry)
}

/// The value of an entry that came from [`Backend::get`], and its times: it may be stale, which the caller judges.
///
/// # Errors
/// [`Refused`]: the bytes are not an entry of this type, or of no use any more `now`.
pub fn decode<T: Storable>(entry: &[u8], payload_bytes_max: usize, now: UnixMillis) -> Result<(T, Times), Refused> {
    decode_tagged(entry, payload_bytes_max, now).map(|(value, times, _)| (value, times))
}

/// The same with its tags.
fn decode_tagged<T: Storable>(
    entry: &[u8],
    payload_bytes_max: usize,
    now: UnixMillis,
) -> Result<(T, Times, Tags<'_>), Refused> {
    let Envelope { times, codec, payload, tags } = Envelope::decode(entry, payload_bytes_max)?;
    if !times.is_of_use(now) {
        return Err(Refused::Expired);
    }
    let value = codec.decode(payload).map_err(Refused::Undecodable)?;
    Ok((value, times, tags))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry(value: &str) -> Vec<u8> {
        let times = Times::new(UnixMillis::new(1000), Duration::from_secs(1), Duration::from_secs(1), Duration::ZERO);
        encode(value, times, Codec::MessagePack, 100).unwrap()
    }

    #[test]
    fn an_entry_is_served_until_its_hard_expiry() {
        let read = |now| decode::<String>(&entry("value"), 100, UnixMillis::new(now));
        let (value, times) = read(2999).unwrap();
        assert_eq!((&*value, times.is_fresh(UnixMillis::new(2999))), ("value", false));
        assert_eq!(read(3000), Err(Refused::Expired));
    }

    #[test]
    fn another_type_and_another_limit_are_refused() {
        let now = UnixMillis::new(1000);
        let expected = CodecError::Mismatch { expected: "u32" };
        assert_eq!(decode::<u32>(&entry("value"), 100, now), Err(Refused::Undecodable(expected)));
        assert_eq!(decode::<String>(&entry("value"), 5, now), Err(Refused::TooLarge { limit: 5 }));
    }
}
