//! The functions that are called: one body, and options of every kind.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use stampede_runtime::{Stats, coalesce, coalesce_by_content};

use super::body::{Fault, Key, Script, Seen, Trouble, Value, is_good, life_of, run};

/// A call under way.
pub(crate) type Pending = Pin<Box<dyn Future<Output = Seen> + Send>>;

/// A decorated function and its companion.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) capacity: usize,
    /// Calls made by its bodies end: they do not queue for a turn that a body above them holds.
    pub(crate) may_nest: bool,
    pub(crate) call: fn(Key, Script) -> Pending,
    pub(crate) refresh: fn(Key, Script) -> Pending,
    pub(crate) insert: fn(Key, Value),
    pub(crate) peek: fn(Key) -> Option<Seen>,
    pub(crate) invalidate: fn(Key) -> usize,
    pub(crate) clear: fn() -> usize,
    pub(crate) stats: fn() -> Stats,
}

fn seen<E: Fault>(result: Result<Value, E>) -> Seen {
    result.map_or_else(E::seen, Seen::Value)
}

/// `attribute name: error type, (options), capacity, may nest;`
macro_rules! functions {
    ($($attribute:ident $name:ident: $error:ty, ($($options:tt)*), $capacity:expr, $may_nest:expr;)*) => {
        $(
            mod $name {
                use super::*;

                #[$attribute($($options)*)]
                async fn function(key: Key, script: Script) -> Result<Value, $error> {
                    run(key, script).await
                }

                pub(super) fn table() -> Function {
                    Function {
                        name: stringify!($name),
                        capacity: $capacity,
                        may_nest: $may_nest,
                        call: |key, script| {
                            let call = function(key, script);
                            Box::pin(async move { seen(call.await) })
                        },
                        refresh: |key, script| {
                            let refresh = function::refresh(key, script);
                            Box::pin(async move { seen(refresh.await) })
                        },
                        insert: |key, value| function::insert(key, value),
                        peek: |key| function::peek(key).map(seen),
                        invalidate: |key| function::invalidate(key).removed(),
                        clear: || function::clear().removed(),
                        stats: function::stats,
                    }
                }
            }
        )*

        pub(crate) fn all() -> Vec<Function> {
            vec![$($name::table()),*]
        }
    };
}

const HOUR: Duration = Duration::from_secs(3_600);

functions! {
    coalesce shared: Trouble, (skip(script)), 1_000, true;
    coalesce kept: Trouble, (skip(script), ttl = HOUR), 1_000, true;
    coalesce brief: anyhow::Error, (skip(script), ttl = Duration::from_millis(15)), 1_000, true;
    coalesce small: Trouble, (skip(script), ttl = HOUR, capacity = 6), 6, true;
    coalesce picky: Trouble, (skip(script), ttl = HOUR, cache_if = |value| is_good(value.seed)), 1_000, true;
    coalesce of_value: Trouble, (skip(script), ttl = |value| life_of(value.seed), capacity = 20), 20, true;
    coalesce thorough: Trouble, (skip(script), ttl = HOUR, capacity = 30, on_abandon = "finish"), 30, true;
    coalesce timed: Trouble, (skip(script), ttl = HOUR, capacity = 30, timeout = Duration::from_millis(4)), 30, true;
    coalesce patient: anyhow::Error, (skip(script), ttl = HOUR, wait = Duration::from_millis(3)), 1_000, true;
    coalesce narrow: Trouble, (skip(script), ttl = HOUR, capacity = 30, max_concurrent = 3), 30, false;
    coalesce strict: Trouble,
        (skip(script), max_concurrent = 2, wait = Duration::from_millis(8), timeout = Duration::from_millis(20)),
        1_000, true;
    coalesce everything: anyhow::Error,
        (
            skip(script),
            ttl = |value| life_of(value.seed),
            capacity = 10,
            cache_if = |value| is_good(value.seed),
            on_abandon = "finish",
            timeout = Duration::from_millis(15),
            wait = Duration::from_millis(10),
            max_concurrent = 4,
        ),
        10, true;
    coalesce attached: Trouble, (skip(script), attached), 1_000, true;
    coalesce attached_kept: Trouble,
        (skip(script), attached, ttl = HOUR, capacity = 30, timeout = Duration::from_millis(8)), 30, true;
    coalesce attached_strict: anyhow::Error,
        (skip(script), attached, ttl = HOUR, capacity = 30, max_concurrent = 3, wait = Duration::from_millis(8)), 30, true;
    coalesce by_text: Trouble, (key = "number {key.number}", ttl = HOUR, capacity = 50), 50, true;
    coalesce_by_content by_content: Trouble, (fields = [key], ttl = HOUR, capacity = 50), 50, true;
}
