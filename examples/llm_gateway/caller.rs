//! Who asks.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::{Serialize, Serializer};

/// What the upstream knows a client by, or what changes its answers. Sent on, and part of the tenant.
const SENT_ON: [HeaderName; 5] = [
    header::AUTHORIZATION,
    HeaderName::from_static("api-key"),
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
    HeaderName::from_static("openai-beta"),
];

/// Parts the clients of one key: what is answered to one of them is never seen by another. Not sent on.
const TENANT: HeaderName = HeaderName::from_static("x-stampede-tenant");

/// A client: its secrets, and the name that stands for them wherever something is kept.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: Digest,
    pub(crate) headers: HeaderMap,
}

impl Caller {
    pub(crate) fn new(request: &HeaderMap) -> Caller {
        let mut hasher = blake3::Hasher::new();
        let mut headers = HeaderMap::new();
        for name in SENT_ON.iter().chain([&TENANT]) {
            for value in request.get_all(name) {
                feed(&mut hasher, name.as_str().as_bytes());
                feed(&mut hasher, value.as_bytes());
                if name != TENANT {
                    let mut value: HeaderValue = value.clone();
                    value.set_sensitive(true);
                    headers.append(name, value);
                }
            }
        }
        Caller { tenant: Digest(*hasher.finalize().as_bytes()), headers }
    }
}

/// What stands for something secret or long: BLAKE3, 256 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// Of several parts, told apart by their lengths.
    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            feed(&mut hasher, part);
        }
        Digest(*hasher.finalize().as_bytes())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn feed(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}
