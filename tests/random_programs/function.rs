//! The functions that programs are about: one body, and options of every kind.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use stampede_runtime::{Stats, coalesce};

use super::body::{Fault, Key, Outcome, Script, Trouble, Value};
use super::program::Quality;

// Programs let quarters of a second pass, and none of these is a multiple of one: nothing depends on what comes first.
const TTL: Duration = Duration::from_millis(1_900);
const BRIEF: Duration = Duration::from_millis(600);
const TIMEOUT: Duration = Duration::from_millis(1_650);
const WAIT: Duration = Duration::from_millis(1_100);

/// How long values are kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Life {
    /// Shared in flight only.
    None,
    /// All alike.
    Fixed(Duration),
    /// As their quality says.
    OfValue,
}

/// What the options of a function say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) life: Life,
    pub(super) capacity: usize,
    /// Poor values are not kept.
    pub(super) picky: bool,
    /// Executions go on without callers.
    pub(super) finishes: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) wait: Option<Duration>,
    pub(super) max_concurrent: Option<usize>,
}

impl Options {
    const NONE: Options = Options {
        life: Life::None,
        capacity: 1_000,
        picky: false,
        finishes: false,
        timeout: None,
        wait: None,
        max_concurrent: None,
    };

    const KEPT: Options = Options { life: Life::Fixed(TTL), ..Options::NONE };

    /// How long a value is kept, if it is.
    pub(super) fn life_of(&self, quality: Quality) -> Option<Duration> {
        if self.picky && quality == Quality::Poor {
            return None;
        }
        match self.life {
            Life::None => None,
            Life::Fixed(life) => Some(life),
            Life::OfValue => Some(life_of(quality)).filter(|life| !life.is_zero()),
        }
    }

    /// Whether a body is polled inside the call that begins it. (`timeout` and `wait` must not depend on the body's
    /// first poll, and a body may have to queue.)
    pub(super) fn begins_inside(&self) -> bool {
        self.timeout.is_none() && self.wait.is_none() && self.max_concurrent.is_none()
    }
}

fn life_of(quality: Quality) -> Duration {
    match quality {
        Quality::Good => TTL,
        Quality::Brief => BRIEF,
        Quality::Poor => Duration::ZERO,
    }
}

/// A call, and how it ended.
pub(super) type Pending = Pin<Box<dyn Future<Output = Seen>>>;

/// A result as its caller sees it: which, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) outcome: Outcome,
    /// The key, if it is a value.
    pub(super) key: Option<usize>,
}

impl Seen {
    fn of<E: Fault>(result: &Result<Value, E>) -> Seen {
        match result {
            Ok(value) => Seen { outcome: Outcome::Value(value.origin), key: Some(value.key) },
            Err(error) => Seen { outcome: error.outcome(), key: None },
        }
    }
}

/// A decorated function and its companion.
pub(super) struct Function {
    pub(super) options: Options,
    pub(super) call: fn(Key, Script) -> Pending,
    pub(super) refresh: fn(Key, Script) -> Pending,
    /// `None` is an error.
    pub(super) insert: fn(Key, Option<Value>),
    pub(super) peek: fn(Key) -> Option<Seen>,
    pub(super) invalidate: fn(Key) -> usize,
    pub(super) clear: fn() -> usize,
    pub(super) stats: fn() -> Stats,
}

/// `name: error type, (what is written), what it means;`
macro_rules! functions {
    ($($name:ident: $error:ty, ($($written:tt)*), $options:expr;)*) => {
        $(
            pub(super) fn $name() -> Function {
                #[coalesce(skip(script), $($written)*)]
                async fn function(key: Key, script: Script) -> Result<Value, $error> {
                    script.run(key).await
                }

                Function {
                    options: $options,
                    call: |key, script| {
                        let call = function(key, script);
                        Box::pin(async move { Seen::of(&call.await) })
                    },
                    refresh: |key, script| {
                        let refresh = function::refresh(key, script);
                        Box::pin(async move { Seen::of(&refresh.await) })
                    },
                    insert: |key, value| {
                        // The error of nobody's call.
                        function::insert(key, value.ok_or_else(|| <$error>::of(usize::MAX)));
                    },
                    peek: |key| function::peek(key).map(|result| Seen::of(&result)),
                    invalidate: |key| function::invalidate(key).removed(),
                    clear: || function::clear().removed(),
                    stats: function::stats,
                }
            }
        )*
    };
}

functions! {
    shared: Trouble, (), Options::NONE;
    kept: Trouble, (ttl = TTL), Options::KEPT;
    // Never too old, so that a value which is missing has been evicted.
    small: Trouble, (ttl = "1h", capacity = 2),
        Options { life: Life::Fixed(Duration::from_secs(3_600)), capacity: 2, ..Options::NONE };
    picky: Trouble, (ttl = TTL, cache_if = |value| value.quality != Quality::Poor),
        Options { picky: true, ..Options::KEPT };
    of_value: Trouble, (ttl = |value| life_of(value.quality)), Options { life: Life::OfValue, ..Options::NONE };
    thorough: Trouble, (ttl = TTL, on_abandon = "finish"), Options { finishes: true, ..Options::KEPT };
    viewed: anyhow::Error, (ttl = TTL), Options::KEPT;
    timed: Trouble, (ttl = TTL, timeout = TIMEOUT), Options { timeout: Some(TIMEOUT), ..Options::KEPT };
    patient: Trouble, (ttl = TTL, wait = WAIT), Options { wait: Some(WAIT), ..Options::KEPT };
    narrow: Trouble, (ttl = TTL, max_concurrent = 1), Options { max_concurrent: Some(1), ..Options::KEPT };
    strict: Trouble, (ttl = TTL, max_concurrent = 2, wait = WAIT),
        Options { max_concurrent: Some(2), wait: Some(WAIT), ..Options::KEPT };
    everything: anyhow::Error,
        (
            ttl = |value| life_of(value.quality),
            cache_if = |value| value.quality != Quality::Poor,
            on_abandon = "finish",
            timeout = TIMEOUT,
            wait = WAIT,
            max_concurrent = 1,
        ),
        Options {
            life: Life::OfValue,
            capacity: 1_000,
            picky: true,
            finishes: true,
            timeout: Some(TIMEOUT),
            wait: Some(WAIT),
            max_concurrent: Some(1),
        };
}
