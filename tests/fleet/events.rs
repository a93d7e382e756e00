//! What a worker is told, and what it reports.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use serde::{Deserialize, Deserializer, Serialize};

/// How a worker is set up. Times are milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) process: usize,
    /// The file whose length counts the executions of all processes.
    pub(super) counter: PathBuf,
    pub(super) url: Option<String>,
    /// Where meanings are compared for all processes. The table is there.
    pub(super) postgres: Option<String>,
    pub(super) lease: u64,
    pub(super) ttl: u64,
    pub(super) wait: Option<u64>,
    pub(super) timeout: Option<u64>,
    pub(super) max_concurrent: Option<usize>,
    pub(super) stale: Option<u64>,
    pub(super) early: Option<f64>,
    pub(super) share_errors: Option<bool>,
    pub(super) payload_bytes_max: Option<usize>,
    /// How long a server may take to answer. `None`: as the crate has it.
    pub(super) patience: Option<u64>,
    pub(super) is_current_thread: bool,
    /// It talks with the server through a proxy of its own.
    pub(super) has_proxy: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            process: 0,
            counter: PathBuf::new(),
            url: None,
            postgres: None,
            // Longer than a busy machine holds up a process.
            lease: 2_000,
            ttl: 60_000,
            wait: None,
            timeout: None,
            max_concurrent: None,
            stale: None,
            early: None,
            share_errors: None,
            payload_bytes_max: None,
            patience: Some(10_000),
            is_current_thread: false,
            has_proxy: false,
        }
    }
}

/// What a body does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Does {
    /// Returns a value.
    Value,
    /// Returns an error.
    Error,
    /// Returns nothing, in a function whose values are optional.
    Nothing,
    Panic,
    Hang,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) does: Does,
    /// For how long, before.
    pub(super) millis: u64,
    /// And until the host opens the gate of its process.
    pub(super) is_gated: bool,
    /// And until a call of this key has ended, in the same function.
    pub(super) inner: Option<String>,
    /// The size of the value.
    pub(super) bytes: usize,
}

impl Task {
    pub(super) fn value(millis: u64) -> Task {
        Task { does: Does::Value, millis, is_gated: false, inner: None, bytes: 0 }
    }

    pub(super) fn error(millis: u64) -> Task {
        Task { does: Does::Error, ..Task::value(millis) }
    }

    pub(super) fn panic(millis: u64) -> Task {
        Task { does: Does::Panic, ..Task::value(millis) }
    }

    pub(super) fn nothing(millis: u64) -> Task {
        Task { does: Does::Nothing, ..Task::value(millis) }
    }

    /// The same, when the gate of its process is open.
    pub(super) fn gated(self) -> Task {
        Task { is_gated: true, ..self }
    }

    /// The same, when a call of this key has ended within the body.
    pub(super) fn calling(self, key: &str) -> Task {
        Task { inner: Some(key.to_owned()), ..self }
    }

    pub(super) fn hang() -> Task {
        Task { does: Does::Hang, ..Task::value(0) }
    }
}

/// What a worker is told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Command {
    /// Calls, with these numbers, each in a task of its own.
    Call {
        calls: Vec<u64>,
        function: String,
        key: String,
        task: Task,
    },
    /// So many calls, of which the host hears together.
    Crowd {
        done: u64,
        function: String,
        key: String,
        count: usize,
        task: Task,
    },
    /// One call where nothing is kept in memory: what comes of it is what the server has, or a new execution.
    Fresh {
        call: u64,
        function: String,
        key: String,
        task: Task,
    },
    /// One call in a runtime of its own, which ends when the body has run for so long.
    Doomed {
        call: u64,
        function: String,
        key: String,
        task: Task,
        after: u64,
    },
    /// Drops all calls that are waited for.
    Cancel,
    /// Takes a key out, and calls before it is known that the server was told, where there is something to call.
    Invalidate {
        done: u64,
        function: String,
        key: String,
        then: Option<(u64, Task)>,
    },
    Clear {
        done: u64,
        function: String,
    },
    Refresh {
        call: u64,
        function: String,
        key: String,
        task: Task,
    },
    Insert {
        done: u64,
        function: String,
        key: String,
    },
    /// `is_idle`: once nothing is under way.
    Stats {
        done: u64,
        function: String,
        is_idle: bool,
    },
    /// Opens the gate, for all bodies to come too, or closes it.
    Gate {
        is_open: bool,
    },
    /// Shuts down within so long, and ends the process.
    Leave {
        within: u64,
    },
}

/// Something that happened in a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Event {
    pub(super) process: usize,
    /// Microseconds, by the machine's clock.
    pub(super) at: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum What {
    /// A worker waits for what it is told.
    Ready,
    /// A worker is gone: killed, or so it should be.
    Gone,
    /// A call or a refresh begins. `is_fresh`: where nothing is in memory.
    Begins {
        call: u64,
        function: String,
        key: String,
        is_fresh: bool,
        is_refresh: bool,
    },
    /// A call has ended.
    Got {
        call: u64,
        key: String,
        got: Got,
    },
    /// A body begins.
    Start {
        key: String,
        number: u64,
    },
    /// A body is about to return.
    End {
        key: String,
        number: u64,
        does: Does,
    },
    /// The embedder is asked.
    Embeds {
        questions: Vec<String>,
    },
    /// All callers of a crowd have called.
    Gathered {
        done: u64,
    },
    /// What a crowd of callers got: all of them the first, or how many did not. `decoded`: how often a value was read from
    /// bytes meanwhile.
    Crowd {
        done: u64,
        got: Got,
        others: usize,
        decoded: u64,
    },
    /// An invalidation begins, of all keys where none is named.
    Invalidates {
        done: u64,
        function: String,
        key: Option<String>,
    },
    /// It has been done in this process.
    Invalidated {
        done: u64,
    },
    /// A value is put in from outside.
    Inserts {
        done: u64,
        key: String,
        number: u64,
    },
    /// An invalidation has come back from the server. `has_arrived`: there.
    Done {
        done: u64,
        has_arrived: bool,
    },
    Stats {
        done: u64,
        stats: serde_json::Value,
    },
    /// A warning or an error in the log.
    Log {
        text: String,
    },
}

/// What a caller got.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Got {
    Value(Made),
    Nothing,
    Unit,
    /// An error of a body.
    Error(Broken),
    /// An error of the crate: what it is called, and its text.
    Refused(String),
    Panic(String),
    Cancelled,
}

/// A value, which tells who made it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) process: usize,
    /// Greater than that of every execution that began before, in any process.
    #[serde(deserialize_with = "counted")]
    pub(super) number: u64,
    /// Makes it large.
    pub(super) padding: String,
}

/// How often a value was read from bytes.
pub(super) static DECODED: AtomicU64 = AtomicU64::new(0);

fn counted<'de, D: Deserializer<'de>>(number: D) -> Result<u64, D::Error> {
    DECODED.fetch_add(1, SeqCst);
    u64::deserialize(number)
}

/// An error, which tells who made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Broken {
    pub(super) number: u64,
    pub(super) text: String,
    /// The texts of what caused it.
    pub(super) causes: Vec<String>,
}

impl Got {
    /// The execution that it came from.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Got::Value(made) => Some(made.number),
            Got::Error(broken) => Some(broken.number),
            _ => None,
        }
    }
}

impl fmt::Debug for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Got::Value(made) => write!(f, "value {}", made.number),
            Got::Error(broken) => write!(f, "error {}", broken.number),
            Got::Nothing => f.write_str("nothing"),
            Got::Unit => f.write_str("()"),
            Got::Refused(kind) => write!(f, "refused: {kind}"),
            Got::Panic(text) => write!(f, "panic: {text}"),
            Got::Cancelled => f.write_str("cancelled"),
        }
    }
}
