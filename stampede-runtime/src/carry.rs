//! How the error of a function crosses to other processes: as itself if it can, else as its text.
//!
//! | error `E` of `Result<T, E>` | what crosses | what arrives |
//! |---|---|---|
//! | `Serialize + DeserializeOwned` | the error | the error |
//! | `From<stampede_runtime::Error>`, and an error or pointing at one | its text and those of its causes | made from `Error::Shared`, with the same texts |
//! | any other | nothing | nothing: who waits there tries for itself |
//!
//! The choice is made by the type of the error, as that of [`share`](crate::share) is.

#[cfg(feature = "backends")]
pub(crate) mod pick;
#[cfg(feature = "backends")]
mod wire;

/// How errors, as flights hold them, become bytes and are made of bytes again.
pub struct Carry<F> {
    pack: fn(&F, usize) -> Option<Vec<u8>>,
    unpack: fn(&[u8]) -> Option<F>,
}

impl<F> Carry<F> {
    /// They do not.
    pub const NOTHING: Carry<F> = Carry { pack: |_, _| None, unpack: |_| None };

    /// The bytes of an error, at most so many.
    pub(crate) fn pack(self, fault: &F, limit: usize) -> Option<Vec<u8>> {
        (self.pack)(fault, limit)
    }

    /// The error of bytes, which may come from anywhere. Their number is the caller's to limit.
    pub(crate) fn unpack(self, bytes: &[u8]) -> Option<F> {
        (self.unpack)(bytes)
    }
}

// By hand, since a derive would ask it of the error too.
impl<F> Clone for Carry<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Carry<F> {}

#[cfg(all(test, feature = "backends"))]
mod tests;
