//! Many identical calls, one execution.
//!
//! Some functions are slow, paid or rate-limited: a language model, a web API, a heavy query. When a popular value is
//! missing, every request asks for it at once (a *cache stampede*), and each pays. One attribute makes the calls
//! shared:
//!
//! ```
//! use stampede_runtime::coalesce;
//!
//! #[coalesce(ttl = "5m")]
//! async fn forecast(city: &str) -> Result<String, std::sync::Arc<std::io::Error>> {
//!     // the slow, paid call
//!     Ok(format!("sunny in {city}"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Three callers at once, and one later: the body runs once.
//! let (one, two, three) = tokio::join!(forecast("Oslo"), forecast("Oslo"), forecast("Oslo"));
//! let later = forecast("Oslo").await?;
//! assert_eq!((one?, two?, three?), (later.clone(), later.clone(), later));
//!
//! let stats = forecast::stats();
//! assert_eq!((stats.requests, stats.executions), (4, 1));
//! # Ok(())
//! # }
//! ```
//!
//! # What a call becomes
//!
//! A call looks for its key (the arguments). A kept value is returned at once. If an execution for the key is under way
//! (a *flight*), the call joins it. Otherwise it begins one. The promises of a flight:
//!
//! - **One**: any number of concurrent callers of a key make one execution. (Flights begun on a current-thread runtime
//!   are shared within that runtime, since no other thread can move them.)
//! - **Nobody owns it**: any caller, the first too, may be dropped, time out, or stop polling; the others get the result
//!   of the same execution. The work ends early only when nobody waits any more.
//! - **Everyone gets an ending**: a value, an error, a panic, a timeout reaches every caller, and then the key is free.
//! - **Errors are shared, not stored**: the next call tries again. The error may be [`Clone`], or anything that
//!   implements `From<`[`Error`]`>`, such as `anyhow::Error` and `Box<dyn Error + Send + Sync>`: then all callers, a lone
//!   one too, receive a view ([`SharedError`]) with the same message and causes. `match` on the variants of such an
//!   error does not see the original; [`Error::downcast_ref`] does.
//! - **Invalidation wins**: what began before an invalidation is never kept after it.
//! - **Keys do not touch each other**: no lock is held while your code runs, but for the `Eq` of keys. And a body that
//!   calls its own function with its own key, also through others, runs through instead of waiting for itself. (What it
//!   hands to `tokio::spawn` has left it: a circle through that is ended by `wait` or `timeout`.)
//!
//! # The body runs on its own
//!
//! It is polled once inside the call that began it, and if it has to wait for something, it becomes a tokio task. So it
//! owns its arguments: `&str` and other `ToOwned` references are owned for it and borrowed back inside. It must be
//! `Send`. (With [`attached`](macro@coalesce#attached) it stays where it is, and none of this is asked.) It runs in the first caller's [`tracing`] span; that caller's task-locals are visible until the body's first
//! pending `.await` only. Calls must be made from inside a tokio runtime, except those that are answered from memory.
//!
//! # Panics
//!
//! A panic in a body reaches every caller with the same message. With `panic = "abort"` it ends the process, as any
//! panic does then. Outside of tokio, a call that has to begin a flight panics with a sentence that says so.
//!
//! # Cancel
//!
//! Dropping a call gives up its place on the flight. The last one to do so ends the flight: its body ends at its next
//! `.await`, unless the function says `on_abandon = "finish"`. A body that never awaits cannot be ended; when its time
//! is up, its key is freed and its result discarded.
//!
//! # Limits
//!
//! Kept values: `capacity`, by default 1,000 a function, S3-FIFO. Executions: unbounded unless `max_concurrent` says
//! otherwise; what a body calls of its own function runs under its permit. Each instantiation of a generic function has
//! its own. Where the flights of a key are abandoned 200 times in a row while a caller of the first is not polled, those
//! who wait begin anew each for itself. Time: unbounded unless `timeout` and `wait` say otherwise. Expiry is checked against a coarse clock with a
//! grain of one to ten milliseconds.
//!
//! # One call
//!
//! [`outcome`] says what became of a call: executed, joined, hit, from which tier, how old. [`refresh`] and [`bypass`] say that
//! nothing kept is to answer it, or that nothing is to be shared: for a request that says `no-cache`, or `no-store`.
//!
//! # Tests of your service
//!
//! Decorated functions keep their state in statics. [`testing::isolate`] gives a test a state of its own. With debug
//! assertions, or the feature `test-util`, expiry follows tokio's paused clock; the feature also brings a clock of each test's
//! own, for sync functions and multi-thread runtimes, and more ([`testing`]).
//!
//! # Features
//!
//! `macros` (default): the attributes. `test-util`: what [`testing`] has besides `isolate`, and expiry follows tokio's
//! clock in optimised builds too. `backends`:
//! values outside of the process (`store`), and `#[distributed_coalesce]`. `redis`, `redis-tls`: Redis and Valkey as a
//! backend, the latter encrypted too. `semantic`: calls that mean the same, and the index in this process; `pgvector`,
//! `pgvector-tls`: `PostgreSQL` as an index; `openai`: an API that makes embeddings. `config-files`: configuration from TOML and YAML files and from the environment.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg_attr(all(test, stampede_model), allow(dead_code))] // no scenario has threads of its own
mod blocking;
mod cache;
mod call;
mod carry;
mod checked;
mod clock;
mod coalescer;
mod config;
mod error;
mod evict;
mod flight;
mod fly;
mod home;
mod hooks;
mod invalidate;
mod invalidation;
mod key;
mod lanes;
mod leased;
#[cfg(feature = "semantic")]
mod meeting;
#[cfg(all(test, stampede_model))]
mod model;
mod nest;
mod outside;
mod pattern;
mod policy;
mod programmatic;
mod registry;
mod run;
mod seat;
#[cfg(feature = "semantic")]
pub mod semantic;
mod share;
mod site;
mod stats;
#[cfg(feature = "backends")]
pub mod store;
mod sync;
mod table;
mod tags;
pub mod testing;
mod tier;
pub mod ttl;
mod verdict;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The examples of `docs/`.
#[cfg(doctest)]
mod pages {
    #[cfg(feature = "redis")]
    #[doc = include_str!("../../docs/backends.md")]
    struct Backends;
    #[cfg(feature = "backends")]
    #[doc = include_str!("../../docs/cache.md")]
    struct Cache;
    #[doc = include_str!("../../docs/cached.md")]
    struct Cached;
    #[doc = include_str!("../../docs/coalesce.md")]
    struct Coalesce;
    #[doc = include_str!("../../docs/companion.md")]
    struct Companion;
    #[doc = include_str!("../../docs/content.md")]
    struct Content;
    #[cfg(all(feature = "test-util", feature = "semantic"))]
    #[doc = include_str!("../../docs/conversations.md")]
    struct Conversations;
    #[cfg(feature = "redis")]
    #[doc = include_str!("../../docs/distributed.md")]
    struct Distributed;
    #[doc = include_str!("../../docs/early.md")]
    struct Early;
    #[doc = include_str!("../../docs/invalidation.md")]
    struct Invalidation;
    #[doc = include_str!("../../docs/per_call.md")]
    struct PerCall;
    #[cfg(feature = "semantic")]
    #[doc = include_str!("../../docs/semantic.md")]
    struct Semantic;
    #[doc = include_str!("../../docs/stale.md")]
    struct Stale;
    #[doc = include_str!("../../docs/stats.md")]
    struct Stats;
    #[doc = include_str!("../../docs/sync.md")]
    struct Sync;
    #[cfg(all(feature = "test-util", feature = "semantic"))]
    #[doc = include_str!("../../docs/testing.md")]
    struct Testing;
}

pub use cache::{Blocking, Cache, CacheBuilder, Entry, Loader, Progress, Writer, Written, warm_up};
pub use call::{Outcome, Tier, bypass, bypass_now, outcome, outcome_now, refresh, refresh_now};
pub use config::{Config, ConfigBuilder, ConfigError};
pub use error::{Error, SharedError};
pub use invalidate::{expire_tags, invalidate_all, invalidate_namespace, invalidate_pattern, invalidate_tags};
pub use invalidation::Invalidation;
pub use pattern::Pattern;
pub use policy::{Codec, Settings};
pub use programmatic::{Coalescer, CoalescerBuilder};
pub use registry::{all_stats, clear_all, configure, reset_stats, shutdown};
pub use stats::{
    BackendFaults, BackendState, BoundStats, EmbedFaults, ErrorRate, ExecutionTime, LevelStats, Refusals,
    SemanticStats, ShadowStats, Stats, TierTime, VerifyStats,
};

/// Shares concurrent calls with equal arguments, and with `ttl` later calls too. For functions that are `async`, and for
/// those that are [not](macro@cached#sync-functions).
///
/// ```
/// use std::sync::Arc;
/// use stampede_runtime::{Error, coalesce};
///
/// #[derive(Clone, Debug)]
/// struct Page {
///     text: Arc<str>,
///     complete: bool,
/// }
///
/// #[coalesce(ttl = "10m", capacity = 5_000, cache_if = |page| page.complete, timeout = "30s", skip(trace_id))]
/// async fn fetch(url: &str, trace_id: u64) -> Result<Page, Error> {
///     Ok(Page { text: format!("content of {url}").into(), complete: true })
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let page = fetch("https://example.com", 1).await?;
/// assert_eq!(page.text, fetch("https://example.com", 2).await?.text);
/// assert_eq!(fetch::stats().executions, 1);
///
/// fetch::invalidate("https://example.com");
/// assert!(fetch::peek("https://example.com").is_none());
/// # Ok(())
/// # }
/// ```
///
/// # Options
///
/// | option | meaning | default |
/// |---|---|---|
/// | `ttl = 60`, `"1h30m"`, `HOUR`, `\|value\| …` | how long a value is kept: whole seconds, text with units, an expression of type `Duration`, or a closure of the value; a computed zero keeps nothing | share in flight only |
/// | `key(expr, …)` | what identifies a call, instead of all arguments: a tuple of expressions | all arguments |
/// | `key = "user:{id}"` | the same as readable text, formatted at each call; where text follows a value, its first character and `%` are escaped in the value, so that different texts never meet (a width or a precision may make two values one text) | |
/// | `skip(argument, …)` | arguments that do not identify a call | none |
/// | `namespace = "text"` | the group of keys the function belongs to, for its name in the statistics and for configured overrides | the module's path |
/// | `capacity = 1000` | how many values are kept | 1,000 |
/// | `cache_if = \|value\| …` | keeps only values that pass (for `Result<T, E>` the value is the `T`; an error is kept for its `cache_err` only) | all |
/// | `timeout = "30s"` | ends an execution that takes longer; every caller gets [`Error::Timeout`] | none |
/// | `wait = "5s"` | how long one caller waits; it gets [`Error::WaitTimeout`], the others go on waiting | none |
/// | `max_concurrent = 8` | how many executions of the function (of each instantiation, if it is generic) may run at once; others queue, for as long as `wait` allows, then get [`Error::Refused`] | no limit |
/// | `on_abandon = "finish"` | an execution that nobody waits for any more goes on, and its value is kept | `"cancel"` |
/// | `attached` | the body runs inside the call that begins it, and may borrow from it | as a task of its own |
/// | `companion = Name`, `none` | renames or omits the item beside the function; on methods, `companion = prefix` asks for sibling functions | the function's name; none on methods |
/// | `method` | says that a function without receiver stands in an `impl` | |
/// | `crate = path` | where `stampede_runtime` is to be found | `::stampede_runtime` |
///
/// And the rest of the [policy](macro@cached#options): `stale`, `stale_if_error`, `early`, `jitter`, `none_ttl`,
/// `cache_err`, `weigh`, `cost`, `tags`, `soft_timeout`, `backend`, `version`.
///
/// `timeout`, `wait` and `max_concurrent` need a return type `Result<_, E>` with `E: From<stampede_runtime::Error>`.
///
/// # The companion
///
/// Beside a free function `load` stands a type of the same name, and imports of the function bring both. Its functions
/// take the arguments that the key mentions:
///
/// - `load::invalidate(…)` takes a key out. What is in the air for it goes to those already waiting and is not kept.
/// - `load::peek(…)` is what a call would be answered with from memory, if anything.
/// - `load::insert(…, value)` keeps a value as though the body had just returned it. It takes the whole `Result`, too, and
///   does nothing with an error.
/// - `load::refresh(…)` (all arguments) executes anew. Meanwhile other calls get the kept value; an execution already
///   under way will not be kept. Concurrent refreshes share one execution.
/// - `load::clear()` takes every key out, `load::stats()` returns the function's [`Stats`].
///
/// A companion is a braced struct, which may share a function's name. Where that is impossible, rustc says so: E0574 or
/// "struct is not supported in `impl`s" for a function in an `impl` (say `method`), E0407 for sibling functions in the
/// `impl` of a trait (say `companion = none`), E0255 for `mod load; pub use load::load;` (say `companion = Name`). In documentation, link the function as `[load()]`.
///
/// # Methods
///
/// A method says what of `self` is in the key: `key(self.id, …)`, or `skip(self)`. The body needs a `self` of its own:
/// `self: Arc<Self>`, or `&self` of a type that is `Clone` (a cheap handle, best); or say `attached`.
///
/// # Attached
///
/// With `attached` the body stays inside the first caller, as in a function without attribute. So it may borrow from
/// `self` and from arguments that are not in the key, need not be `Send`, sees its caller's task-locals all the way, and
/// needs no tokio runtime (but for `timeout` and `wait`, which need a clock).
///
/// ```
/// use std::rc::Rc;
/// use stampede_runtime::coalesce;
///
/// struct Store {
///     rows: Rc<[&'static str]>, // neither `Send` nor, as a whole, `Clone`
/// }
///
/// impl Store {
///     #[coalesce(key(id), attached, companion = row)]
///     async fn row(&self, id: usize, log: &dyn Fn(&str)) -> Option<String> {
///         log("reading");
///         tokio::task::yield_now().await;
///         self.rows.get(id).map(ToString::to_string)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = Store { rows: ["zero", "one"].into() };
/// let log = |line: &str| println!("{line}");
/// let (one, two) = tokio::join!(store.row(1, &log), store.row(1, &log));
/// assert_eq!((one.as_deref(), two.as_deref()), (Some("one"), Some("one")));
/// assert_eq!(Store::row_stats().executions, 1);
/// # }
/// ```
///
/// The price is one promise. *Nobody owns it* becomes: if the first caller is dropped, its execution ends with it, and
/// exactly one of those who wait begins anew with its own body (counted as `abandoned` and as one of `retries`). While the
/// first caller lives but is not polled, the others wait, for as long as their `wait` allows. So await attached calls
/// where they are made, or in a task; do not keep them half done. A first caller whose own `wait` is over leaves too, and
/// its execution with it, so let `wait` be longer than the body takes. Recursion is as deep as the stack allows.
///
/// # Errors
///
/// See [Everyone gets an ending](crate#what-a-call-becomes).
#[cfg(feature = "macros")]
pub use stampede_macros::coalesce;

/// Like [`coalesce`](macro@coalesce), keyed by the normalised *content* of the arguments.
///
/// Every text in the chosen arguments (also inside structs, lists and maps) is brought to Unicode normal form KC, its
/// case folded, its ends trimmed and each run of white space made one space; then everything is digested with BLAKE3.
/// The arguments must implement `serde::Serialize`.
///
/// ```
/// use stampede_runtime::coalesce_by_content;
///
/// #[coalesce_by_content(fields = [topic, context], ttl = "1h")]
/// async fn explain(topic: &str, context: &str, user: u64) -> String {
///     format!("{topic} in the context of {context}")
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// explain("Ownership", "Rust", 1).await;
/// explain("  ownership ", "RUST", 2).await;
/// explain("Rust", "ownership", 3).await;
/// assert_eq!(explain::stats().executions, 2);
/// # }
/// ```
///
/// # Options
///
/// Those of [`coalesce`](macro@coalesce) but `key`, and:
///
/// | option | meaning | default |
/// |---|---|---|
/// | `fields = [a, b.c]`, `["a", "b.c"]`, `fields(a, b.c)` | the arguments, or fields of them, that identify a call | all |
/// | `normalize(nfkc, case, trim, spaces)`, `normalize = none` | the steps to take | all four |
#[cfg(feature = "macros")]
pub use stampede_macros::coalesce_by_content;

/// Keeps results for their `ttl`, and never lets a crowd through when one is missing.
///
/// A popular value expires, and the hundred requests of the next second all compute it anew: what was to take load off a
/// database is now what brings it down. Here the first of them computes and the others wait for its result; or, better,
/// none of them waits: `early` renews values before they end, `stale` serves the old one meanwhile, and
/// `stale_if_error` when there is no new one.
///
/// ```
/// use stampede_runtime::{Error, cached};
///
/// #[cached(ttl = "10m", early, stale_if_error = "1h", none_ttl = "30s", timeout = "10s")]
/// async fn price(symbol: &str) -> Result<Option<u32>, Error> {
///     // the slow, paid call
///     Ok((symbol == "ACME").then_some(42))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// assert_eq!(price("ACME").await?, Some(42));
/// assert_eq!(price("ACME").await?, Some(42));
/// assert_eq!((price::stats().executions, price::stats().cache_hits), (1, 1));
/// # Ok(())
/// # }
/// ```
///
/// Functions that are not `async` take it (and the other attributes) as well, and need no tokio around them:
///
/// ```
/// use stampede_runtime::cached;
///
/// #[cached(ttl = "1h", capacity = 64 << 20, weigh = |page| page.len())]
/// fn render(template: &str, locale: &str) -> String {
///     format!("<p lang={locale}>{template}</p>")
/// }
///
/// assert_eq!(render("hello", "en"), render("hello", "en"));
/// assert_eq!(render::stats().executions, 1);
/// render::invalidate("hello", "en");
/// ```
///
/// # Options
///
/// Those of [`coalesce`](macro@coalesce#options), which are about keys, limits and the companion, and for all attributes
/// alike those of the policy. A time is written as whole seconds, `"1h30m"`, or an expression of type
/// [`Duration`](std::time::Duration).
///
/// | option | meaning | default |
/// |---|---|---|
/// | `ttl = "5m"`, `\|value\| …` | how long a value is fresh | `#[cached]` requires it; else nothing is kept |
/// | `stale = "1m"` | for so long after its `ttl` an old value is served at once, while one execution makes a new one behind the caller | 0 |
/// | `stale_if_error = "1h"` | for so long after its `ttl` an old value stands in for an error, or for a `timeout` | 0 |
/// | `early`, `early = 1.5` | a call may renew a value before it ends, behind its caller: the likelier the nearer the end, and the earlier the longer the value took to make (`XFetch`). `early` alone means 1, the optimum; more is earlier, up to 100 | off |
/// | `jitter = "10%"`, `0.1` | the largest part of each `ttl` that is taken off at random, so that values made together do not end together | 0 |
/// | `cache_if = \|value\| …` | keeps only values that pass | all |
/// | `none_ttl = "10s"` | how long a `None` is kept; `none_ttl = 0` keeps `Some` only | as other values |
/// | `cache_err = "5s"`, `\|error\| …` | how long an error is kept, and answers calls as a value does; without `ttl` errors alone are kept | 0 |
/// | `capacity = 1000` | how many values are kept; with `weigh`, what they may weigh together | 1,000 |
/// | `weigh = \|value\| …` | what a value counts against the capacity, a `usize` | 1 |
/// | `cost = \|value\| …` | what a value cost (tokens, cents), an `f64` of 0 or more, for [`Stats::cost_spent`], `cost_saved` and `time_saved` | not counted |
/// | `tags("user:{id}", \|value\| …)` | names that lead to what is kept, for [`invalidate_tags`]: texts with arguments of the key, and last perhaps a closure of the value that returns a list of texts. At most 1,000, of 256 bytes each | none |
/// | `timeout = "10s"` | ends an execution that takes longer | none |
/// | `soft_timeout = "200ms"` | how long a caller waits before an old value will do, one within `stale_if_error`; the execution goes on | none |
/// | `wait = "2s"` | how long one caller waits at all | none |
/// | `backend = "name"` | values are kept in a backend, too, under the name that the configuration gives it; the arguments of the key and the value implement serde's traits, and methods and generic functions name their `namespace` | memory only |
/// | `version = 2` | the version of what is kept in the backend: values of other versions are not seen | 0 |
///
/// `stale`, `early` and `soft_timeout` let a body go on behind its caller, so they are not for one that is
/// [`attached`](macro@coalesce#attached).
///
/// # Errors
///
/// An error is shared by those who wait and not kept, unless `cache_err` says so: the next call tries again. Where
/// `stale_if_error` has an old value, callers get that instead, of an error of ours (`timeout`, `wait`, `max_concurrent`)
/// too. The old value then rests: for a second, after the next failure for two, and so on up to a minute, calls get it at
/// once and nothing is tried. The same goes for a renewal behind the caller that fails (`stale`, `early`). A panic reaches those who wait, as in every
/// [flight](crate#what-a-call-becomes).
///
/// # Sync functions
///
/// A caller that waits blocks its thread for as long as the body it joined runs, as running the body itself would. In
/// async code call sync functions that may block from `spawn_blocking`.
///
/// The body runs on the thread of the first caller and borrows its arguments as they are: `&self` of any type, `&dyn
/// Trait`, closures. Only what the key is made of is owned. With `timeout`, `stale`, `early` or `soft_timeout` the body may
/// have to leave its caller; then it owns its arguments as an async body does, must be `Send`, and runs on a thread of its
/// own where it cannot keep its caller's.
///
/// `timeout` cannot end a thread. It frees the key and the callers; the thread runs on, and its late value is dropped. A
/// body that has begun always runs to its end, so there is no `on_abandon`.
#[cfg(feature = "macros")]
pub use stampede_macros::cached;

/// Shares executions and results between processes and hosts: one of them executes, the others get its result.
///
/// A service runs on ten hosts, and each of them coalesces its own calls: a missing value is still made ten times at once.
/// Here whoever comes first, in whichever process, takes a *lease* in a shared backend and executes; all others, here and
/// elsewhere, wait for that one and get its value, or its error.
///
#[cfg_attr(feature = "backends", doc = "```")]
#[cfg_attr(not(feature = "backends"), doc = "```ignore")]
/// use stampede_runtime::{Error, distributed_coalesce};
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Answer {
///     text: String,
/// }
///
/// #[distributed_coalesce(ttl = "10m", lease = "2s", timeout = "1m")]
/// async fn answer(prompt: &str) -> Result<Answer, Error> {
///     // the slow, paid call
///     Ok(Answer { text: format!("an answer to {prompt}") })
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Once at startup, `Config::builder().backend("redis", …)` says where processes meet. Without it each is on its own.
/// let (one, two) = tokio::join!(answer("why?"), answer("why?"));
/// assert_eq!(one?.text, two?.text);
/// assert_eq!(answer::stats().executions, 1);
/// # Ok(())
/// # }
/// ```
///
/// It needs the cargo feature `backends`. What is in the key implements `serde::Serialize`, the value that and
/// `serde::de::DeserializeOwned`; a method or a generic function names its `namespace`.
///
/// This saves work; it is not mutual exclusion. A process that is held up for longer than its lease may still be executing
/// when another one takes over. What it brings then is not kept in the place of something newer.
///
/// # Options
///
/// Those of [`coalesce`](macro@coalesce#options) and of the [policy](macro@cached#options), with other defaults for two of
/// them, and:
///
/// | option | meaning | default |
/// |---|---|---|
/// | `ttl = "5m"`, `none`, `\|value\| …` | how long a value is kept. `ttl = none` keeps nothing: it goes to those who wait, in whichever process | 60 s |
/// | `backend = "name"` | where processes meet, under the name that the configuration gives it. One that is written must be configured | `"redis"`, if that is configured |
/// | `lease = "5s"` | for how long a process leads that is not heard of. It renews its lease while it executes, so only when it dies or is cut off does another one take over, after that time. Short leases are renewed often | 5 s |
/// | `share_errors`, `share_errors = false` | whether those who wait in other processes get an error too, as those in this one do. Without it, and where the error cannot be carried, one of them tries for itself. `share_errors` alone means `true`, and then an error that cannot be carried does not compile | `true`, if it can be carried |
///
/// A default is the weakest thing said: what is configured for all functions comes before it, then the attribute, then what
/// is configured for the namespace ([`Config`]).
///
/// # Errors
///
/// How an error crosses to another process is picked by its type:
///
/// | error `E` of `Result<T, E>` | what arrives |
/// |---|---|
/// | `serde::Serialize + DeserializeOwned` | the error itself |
/// | `From<`[`Error`]`>` and [`std::error::Error`], or `anyhow::Error`, `Box<dyn Error + Send + Sync>` | [`Error::Shared`] with the same text and those of the causes (at most 32), made into an `E` |
/// | any other, such as `Arc<io::Error>` | nothing: one of those who wait there tries for itself |
///
/// Texts of errors stand in the backend for a moment. Where they may hold what others must not read, say
/// `share_errors = false`.
#[cfg(feature = "macros")]
pub use stampede_macros::distributed_coalesce;

/// Invalidates what a function that writes has made wrong, once it has written.
///
/// ```
/// use stampede_runtime::{cached, invalidates};
///
/// #[cached(ttl = "1h", tags("users"))]
/// async fn load(id: u32) -> Option<String> {
///     // SELECT …
/// #   Some(format!("user {id}"))
/// }
///
/// #[invalidates(keys(load(id)), tags("team:{team}"))]
/// async fn rename(id: u32, team: u32, name: &str) -> Result<(), std::io::Error> {
///     // UPDATE …
/// #   let _ = name;
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), std::io::Error> {
/// load(7).await;
/// rename(7, 1, "Ada").await?;
/// assert_eq!(load::peek(7), None);
/// # Ok(())
/// # }
/// ```
///
/// After `Ok`, or any other result that is no `Err`: everything named here is taken out, as by `load::invalidate(…)`,
/// [`invalidate_tags`] and [`invalidate_pattern`]. In this process that has happened when the function returns; an async
/// function waits besides until the backends were told, at most `backend_timeout` each. After `Err` nothing is invalidated.
/// Never before the write is done: what is read meanwhile is still right.
///
/// | argument | |
/// |---|---|
/// | `keys(load(id), other(a, b))` | calls of shared functions, with what their keys mention. Functions with a companion; `load` alone means all its keys |
/// | `tags("user:{id}", "users")` | tags, with arguments and fields of them |
/// | `patterns("user:{id}:*")` | globs over readable keys |
/// | `crate = path` | where `stampede_runtime` is found, if not under its own name |
///
/// All of it is evaluated *before* the body, which may use its arguments up: what a key takes by value and the body needs, too,
/// is cloned here: `keys(load(name.clone()))`.
///
/// **Cancel, panic**: nobody knows how far the write came, so everything is invalidated: that costs an execution, and the other
/// choice might cost a wrong answer. Works on functions and methods, sync and async; whose result is `impl Trait` cannot be
/// judged.
#[cfg(feature = "macros")]
pub use stampede_macros::invalidates;

/// Shares calls that **mean** the same: a question that is near enough to one that has been answered, or is being answered, gets
/// that answer.
///
/// ```rust,standalone_crate
/// # #[cfg(feature = "semantic")] {
/// use stampede_runtime::semantic::LexicalEmbedder;
/// use stampede_runtime::{Config, Outcome, configure, outcome, semantic_coalesce};
///
/// #[semantic_coalesce(threshold = 0.7)]
/// async fn answer(model: u8, question: &str) -> String {
///     // the slow, paid call
///     format!("model {model} says: 42")
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Compares letters. Meanings take a model: see `OpenAiEmbedder`, or your own.
/// configure(Config::builder().embedder(LexicalEmbedder::new()).build()?)?;
///
/// answer(1, "How do I reset my password?").await;
/// let (_, near) = outcome(answer(1, "how do i reset my pasword")).await;
/// assert!(matches!(near, Some(Outcome::Semantic { .. })));
///
/// // What is not the question has to be equal.
/// let (_, other) = outcome(answer(2, "How do I reset my password?")).await;
/// assert_eq!(other, Some(Outcome::Executed));
/// assert_eq!(answer::stats().executions, 2);
/// # Ok(())
/// # }
/// # main();
/// # }
/// ```
///
/// Without a server, answers are found in this process. With [`Config`] they are found in more places, from quick to slow, and
/// whatever is not configured is left out:
///
/// | tier | finds | configured as |
/// |---|---|---|
/// | memory | exactly the arguments | always there |
/// | Redis | exactly the question, in its normal form (NFKC, case folded, single spaces) | the backend `redis` |
/// | index | exactly the question, then the nearest one | the index `pgvector` ([`semantic::PgvectorIndex`](crate::semantic)), else one in this process |
///
/// A hit fills the tiers above for as long as it is fresh itself; an answer to another question fills memory only. With Redis,
/// one process executes for all, as with [`distributed_coalesce`](macro@distributed_coalesce). A question that is near to one
/// whose execution is *under way* joins that. Values must implement `serde::Serialize` and `DeserializeOwned`.
///
/// # Options
///
/// Those of [`coalesce`](macro@coalesce), the rest of the [policy](macro@cached#options), `lease` and `share_errors` of
/// [`distributed_coalesce`](macro@distributed_coalesce#options), and:
///
/// | option | meaning | default |
/// |---|---|---|
/// | `query = argument`, `argument.field` | the question | the only `&str` or `String` that is not in `key(…)`, `skip(…)` or `tenant` |
/// | `threshold = 0.95` | how near a question has to be to one that is answered: the cosine of the angle between their embeddings, from -1 to 1, at least | 0.92 |
/// | `embed = path` | what makes the embeddings: a [`semantic::Embedder`](crate::semantic), `async fn(String) -> Result<Vec<f32>, E>`, or `async fn(Vec<String>) -> Result<Vec<Vec<f32>>, E>` | what is configured; without one, only equal questions are shared |
/// | `guard(numbers, antonyms, negation, entities, quoted)`, `guard = none` | what turns a near hit into a miss | `guard(numbers, antonyms)` |
/// | `verify = path` | who is asked whether a near question means the same: `async fn(&str, &str, &T) -> bool`, or `-> Result<bool, E>`, of the question, the one found and its answer | nobody |
/// | `verify_timeout`, `verify_concurrent` | how long a question waits for that, and about how many it is asked at once; what is beyond is a miss | 2 s, 16 |
/// | `shadow = 0.01` | the part of the semantic hits that is executed all the same, behind the caller; [`ShadowStats`] says how many were wrong | none |
/// | `agree = \|old, new\| …` | when what was served and what was executed agree | `==` |
/// | `max_error = 0.02` | the part of the semantic hits that may be wrong: how near is near enough is learnt from `verify` or `shadow`, and `threshold` is a floor, by default 0.7; see [`BoundStats`] | none: the threshold decides |
/// | `tenant = expression` | whose the call is, by its `Display`: questions of other tenants are never seen | nobody's |
/// | `key(expr, …)` | what has to be equal besides the question, instead of all other arguments | all others |
/// | `backend = "name"` | a backend of bytes in the place of `redis`, or an index in that of `pgvector` | |
/// | `ttl` | | 5 minutes |
/// | `capacity` | how many answers the index keeps of each partition (tenant and other arguments), and memory in all | 500 |
///
/// # Invalidation
///
/// `answer::invalidate(…)` takes out the answer of exactly this question, and in the index whatever is near enough to answer it;
/// awaited, it tells whether all tiers were told. What this process has kept of an answer for other questions goes with it.
///
/// # Errors
///
/// A tier that is broken or slow is left out: after `backend_timeout` for each question to the backend or the index, after
/// `embed_timeout` for the embedding. What happened is in [`Stats`] and its [`semantic`](SemanticStats). A question of more than
/// 32 KiB, or an empty one, is found exactly or not at all.
#[cfg(feature = "macros")]
pub use stampede_macros::semantic_coalesce;
