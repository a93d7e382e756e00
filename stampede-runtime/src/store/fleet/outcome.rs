//! What those who waited are told of an execution whose end is not kept, as bytes.

use std::time::Duration;

use super::OUTCOME;
use crate::stats::count;
use crate::store::tier::Shared;
use crate::store::{self, Storable, Times, UnixMillis};
use crate::tier::Told;

/// The first byte of an outcome says what follows: the entry of a value, an error as its function carries it, the
/// milliseconds of a `timeout` as a little-endian `u64`, or nothing.
pub(super) const VALUE: u8 = b'v';
const FAULT: u8 = b'e';
const TIMED_OUT: u8 = b't';
/// There was a value that cannot be sent. Whoever wants it has to make it.
pub(super) const UNSHAREABLE: u8 = b'u';

pub(super) enum Outcome<V> {
    Told(Told<V>),
    Unshareable,
}

impl Shared {
    pub(super) fn outcome<V: Storable>(&self, told: Told<&V>) -> Vec<u8> {
        match told {
            Told::Value(value) => {
                // What ends it is its place in the backend.
                let times = Times::new(UnixMillis::now(), Duration::ZERO, OUTCOME, Duration::ZERO);
                self.entry(value, times).map_or(vec![UNSHAREABLE], |entry| [&[VALUE], &*entry].concat())
            }
            Told::Fault(bytes) => [&[FAULT], &*bytes].concat(),
            Told::TimedOut(limit) => {
                let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
                [&[TIMED_OUT], &millis.to_le_bytes()[..]].concat()
            }
        }
    }

    pub(super) fn read_outcome<V: Storable>(&self, bytes: &[u8]) -> Option<Outcome<V>> {
        let told = match bytes.split_first() {
            Some((&VALUE, entry)) => store::decode(entry, self.payload_bytes_max, UnixMillis::default())
                .map(|(value, _)| Told::Value(value))
                .ok(),
            Some((&FAULT, fault)) => Some(Told::Fault(fault.to_vec())),
            Some((&TIMED_OUT, millis)) => {
                millis.try_into().ok().map(|millis| Told::TimedOut(Duration::from_millis(u64::from_le_bytes(millis))))
            }
            Some((&UNSHAREABLE, [])) => return Some(Outcome::Unshareable),
            _ => None,
        };
        if told.is_none() {
            count(&self.counters.undecodable);
        }
        told.map(Outcome::Told)
    }
}
