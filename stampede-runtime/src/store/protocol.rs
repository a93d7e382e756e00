//! The protocol between the processes of a fleet, as a state machine: what a server does with each command.
//!
//! It says what the scripts in `redis/*.lua` say, in a language that has types, so that it can stand in the place of a server:
//! under a model checker (`check`), in a simulation of thousands of processes, and in tests of services, which need no Redis
//! then ([`MemoryServer`](crate::testing::MemoryServer)). `tests/redis_protocol.rs` has both do the same and compares every
//! answer, every message and everything that is left. `docs/protocol.md` tells the same to people.
//!
//! Each command is a function of what is there, of the time and of what is asked. It gives what is there then, an answer and
//! messages. Nothing in here looks at a clock, draws a number or waits.

mod entry;
mod server;
mod tag;

#[cfg(test)]
mod check;

pub use entry::{Command, Ended, Entry, Lease, Outcome, Reply, Wanted};
pub use server::{Answer, Server};
pub use tag::Token;

/// When a command is done, and in which circumstances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Microseconds on the server's clock, since 1970.
    pub micros: u64,
    /// The server is full, and refuses what would grow.
    pub is_full: bool,
}

impl At {
    /// What spans are counted in.
    pub(super) fn millis(self) -> u64 {
        self.micros / 1_000
    }
}

/// Why a server refuses a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It is full.
    Full,
    /// Something of another kind stands under the key.
    WrongType,
}

/// What a server publishes. Whoever listens to the channel gets it, at most once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message {
    /// One process's, or that of all.
    pub channel: String,
    /// To one process the key of an entry; to all who has changed what, and how.
    pub text: String,
}

/// What begins the name of one process's channel.
pub const WAKE: &str = "stampede:wake:";
/// The channel of all processes.
pub const NEWS: &str = "stampede:news";

/// Something under a key, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kept<T> {
    /// `None`: something that nobody of us has put there, of a kind that none of us does.
    pub what: Option<T>,
    /// The last millisecond in which it is there. `None`: for ever.
    pub until: Option<u64>,
}

impl<T> Kept<T> {
    /// What is not ours.
    #[must_use]
    pub fn foreign() -> Kept<T> {
        Kept { what: None, until: None }
    }

    fn new(what: T, until: u64) -> Kept<T> {
        Kept { what: Some(what), until: Some(until) }
    }

    /// For how many milliseconds it is still there. `None`: for ever.
    fn left(&self, at: At) -> Option<u64> {
        self.until.map(|until| until.saturating_sub(at.millis()))
    }
}

/// Lets go of what has run out.
fn expire<T>(kept: &mut Option<Kept<T>>, at: At) {
    if kept.as_ref().and_then(|kept| kept.until).is_some_and(|until| until < at.millis()) {
        *kept = None;
    }
}

/// One script while it runs.
struct Run {
    at: At,
    /// A server that is full refuses only what comes first in a script, so that none stops halfway.
    has_written: bool,
    messages: Vec<Message>,
}

impl Run {
    fn new(at: At) -> Run {
        Run { at, has_written: false, messages: Vec::new() }
    }

    /// Before a command that makes something larger.
    fn grow(&mut self) -> Result<(), Fault> {
        if self.at.is_full && !self.has_written {
            return Err(Fault::Full);
        }
        self.has_written = true;
        Ok(())
    }

    /// Before one that does not.
    fn shrink(&mut self) {
        self.has_written = true;
    }

    fn until(&self, millis: u64) -> u64 {
        self.at.millis().saturating_add(millis)
    }

    fn publish(&mut self, channel: String, text: String) {
        self.messages.push(Message { channel, text });
    }

    /// Tells all processes but the sender's.
    fn tell(&mut self, sender: &str, kind: &str, what: &str) {
        self.publish(NEWS.to_owned(), format!("{sender} {kind} {what}"));
    }
}
