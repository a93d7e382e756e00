//! A function's time and failure rules, as they apply to it in the end. Plain data, no behaviour.

#[cfg(feature = "semantic")]
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "semantic")]
use crate::semantic::{Embedder, Guards};
use crate::tier::Life;

/// What a configuration says of them is of no use to anybody.
#[cfg(not(feature = "semantic"))]
type Guards = ();

/// How many values a function keeps unless told otherwise.
const CAPACITY: usize = 1_000;

/// What the attribute (or a builder) says. Merged with the configuration at the function's first call.
#[derive(Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a yes or no of its own")]
pub struct Options {
    pub(crate) namespace: Option<&'static str>,
    pub(crate) settings: Settings,
    pub(crate) version: u32,
    pub(crate) instance: Option<&'static str>,
    pub(crate) distributed: bool,
    pub(crate) semantic: bool,
    /// It is a [`Cache`](crate::Cache), which keeps values unless told otherwise.
    pub(crate) keeps: bool,
    #[cfg(feature = "semantic")]
    pub(crate) embedder: Option<Arc<dyn Embedder>>,
    pub(crate) finish_abandoned: bool,
    pub(crate) attached: bool,
    pub(crate) blocking: bool,
}

/// Methods of [`Options`] and of [`Settings`] alike.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty),* $(,)?) => {
        impl Options {$(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.settings.$name = Some($name.into());
                self
            }
        )*}

        impl Settings {$(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$name = Some($name.into());
                self
            }
        )*}
    };
}

setters! {
    /// How long a value is kept. Zero keeps nothing.
    ttl: Duration,
    /// For how long after its `ttl` an old value is served at once while a new one is made in the background.
    stale: Duration,
    /// For how long after its `ttl` an old value is served in the place of an error.
    stale_if_error: Duration,
    /// How eagerly a value is refreshed before its `ttl` ends: 1 is the optimum of `XFetch`, more is earlier, 0 is never.
    early: f64,
    /// The part of a `ttl`, from 0 to 1, by which it is at most shortened, at random.
    jitter: f64,
    /// How long a `None` is kept, in functions that say so in their attribute. Zero: not at all.
    none_ttl: Duration,
    /// How long an error is kept. Zero: not at all.
    cache_err: Duration,
    /// How many values a function keeps, at least 1; with `weigh`, what they may weigh together.
    capacity: usize,
    /// How long an execution may take, more than zero.
    timeout: Duration,
    /// How long a caller waits before an old value will do (one within `stale_if_error`), more than zero.
    soft_timeout: Duration,
    /// How long a caller waits, more than zero.
    wait: Duration,
    /// How many executions of a function may run at once, at least 1.
    max_concurrent: usize,
    /// The name of the backend, in functions that say one in their attribute.
    backend: &str,
    /// How long each answer of the backend may take, more than zero. Then the call goes on without it. Default half a
    /// second.
    backend_timeout: Duration,
    /// How values are written in a backend.
    codec: Codec,
    /// The most bytes of one value in a backend, written and read. Default one mebibyte less what stands around it.
    payload_bytes_max: usize,
    /// For how long a process leads that is not heard of, more than zero: then another one takes over. Default 5 seconds.
    /// For functions that are distributed.
    lease: Duration,
    /// Whether errors are given to those who wait in other processes, as far as they can be carried there. Default yes.
    /// For functions that are distributed.
    share_errors: bool,
    /// How near a question has to be to one that is answered, from -1 to 1: the cosine of the angle between their
    /// embeddings. Default 0.92. For functions that compare meanings.
    threshold: f64,
    /// How long a question waits for its embedding, more than zero. Then the call goes on without it. Default 5 seconds. For
    /// functions that compare meanings.
    embed_timeout: Duration,
    /// How long a question waits for what `verify` says of the near ones, all of them together, more than zero. Then it is
    /// executed. Default 2 seconds. For functions that have a `verify`.
    verify_timeout: Duration,
    /// How many questions of a function `verify` is asked about at once, at least 1. Those beyond are executed. Default 16.
    verify_concurrent: usize,
    /// The part of the semantic hits, from 0 to 1, whose question is executed all the same, for a comparison. For functions
    /// whose attribute has a `shadow`.
    shadow: f64,
    /// The part of the semantic hits, above 0 and below 1, that may be wrong. For functions whose attribute has a
    /// `max_error`.
    max_error: f64,
}

impl Options {
    /// Nothing is said.
    #[must_use]
    pub fn new() -> Options {
        Options::default()
    }

    /// The group of keys that the function belongs to; its module's path when absent.
    #[must_use]
    pub fn namespace(mut self, namespace: &'static str) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// The version of what the function keeps in a backend: values of other versions are not seen.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// What tells this instantiation of a generic function, or of a method of a generic type, from the others: the names
    /// of its types.
    #[must_use]
    pub fn instance(mut self, types: &'static str) -> Self {
        self.instance = Some(types);
        self
    }

    /// Executions are shared between processes, and so are values, for a minute unless something else is said.
    #[must_use]
    pub fn distributed(mut self) -> Self {
        self.distributed = true;
        self
    }

    /// Calls that mean the same are shared, and values kept for five minutes unless something else is said.
    #[must_use]
    pub fn semantic(mut self) -> Self {
        self.semantic = true;
        self
    }

    /// What turns a near hit into a miss, by name.
    #[must_use]
    pub fn guards(self, names: &'static [&'static str]) -> Self {
        #[cfg(feature = "semantic")]
        return Options { settings: self.settings.guard(Guards::named(names)), ..self };
        #[cfg(not(feature = "semantic"))]
        let _ = names;
        #[cfg(not(feature = "semantic"))]
        self
    }

    /// What makes the function's embeddings.
    #[cfg(feature = "semantic")]
    #[must_use]
    pub fn embed(mut self, embedder: Arc<dyn Embedder>) -> Self {
        self.embedder = Some(embedder);
        self
    }

    /// Without the feature nothing does.
    #[cfg(not(feature = "semantic"))]
    #[must_use]
    pub fn embed(self, (): ()) -> Self {
        self
    }

    /// An execution that nobody waits for any more goes on to its end.
    #[must_use]
    pub fn finish_abandoned(mut self) -> Self {
        self.finish_abandoned = true;
        self
    }

    /// Bodies run inside the calls that begin them.
    #[must_use]
    pub fn attached(mut self) -> Self {
        self.attached = true;
        self
    }

    /// The function is not `async`: calls block their threads.
    #[must_use]
    pub fn blocking(mut self) -> Self {
        self.blocking = true;
        self
    }
}

/// The options that a configuration may give too, for all functions or for those of one namespace.
///
/// `timeout`, `wait` and `max_concurrent` apply to functions that can say so: those that return `Result<_, E>` with
/// `E: From<stampede_runtime::Error>`. `stale`, `early` and `soft_timeout` apply to functions whose body can run without
/// its caller: not to those that are `attached`, and not to sync functions that name none of these and no `timeout`; to
/// those, `timeout` does not apply either.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub(crate) ttl: Option<Duration>,
    pub(crate) stale: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) early: Option<f64>,
    pub(crate) jitter: Option<f64>,
    pub(crate) none_ttl: Option<Duration>,
    pub(crate) cache_err: Option<Duration>,
    pub(crate) capacity: Option<usize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) wait: Option<Duration>,
    pub(crate) max_concurrent: Option<usize>,
    pub(crate) backend: Option<String>,
    pub(crate) backend_timeout: Option<Duration>,
    pub(crate) codec: Option<Codec>,
    pub(crate) payload_bytes_max: Option<usize>,
    pub(crate) lease: Option<Duration>,
    pub(crate) share_errors: Option<bool>,
    pub(crate) threshold: Option<f64>,
    pub(crate) embed_timeout: Option<Duration>,
    pub(crate) verify_timeout: Option<Duration>,
    pub(crate) verify_concurrent: Option<usize>,
    pub(crate) shadow: Option<f64>,
    pub(crate) max_error: Option<f64>,
    pub(crate) guard: Option<Guards>,
}

impl Settings {
    /// Nothing is set.
    #[must_use]
    pub fn new() -> Settings {
        Settings::default()
    }

    /// What turns a near hit into a miss. Default `numbers` and `antonyms`. For functions that compare meanings.
    #[cfg(feature = "semantic")]
    #[must_use]
    pub fn guard(mut self, guards: Guards) -> Self {
        self.guard = Some(guards);
        self
    }

    /// What is wrong with these settings, one sentence each.
    pub(crate) fn problems(&self) -> Vec<&'static str> {
        let zero = |time: Option<Duration>| time == Some(Duration::ZERO);
        let checks = [
            (self.capacity == Some(0), "`capacity` must be at least 1; a `ttl` of zero keeps nothing"),
            (zero(self.timeout), "`timeout` must be longer than zero"),
            (zero(self.soft_timeout), "`soft_timeout` must be longer than zero"),
            (zero(self.wait), "`wait` must be longer than zero"),
            (self.max_concurrent == Some(0), "`max_concurrent` must be at least 1"),
            (self.early.is_some_and(|beta| !(0.0..=MOST_EARLY).contains(&beta)), "`early` must be from 0 to 100"),
            (self.jitter.is_some_and(|part| !(0.0..=1.0).contains(&part)), "`jitter` must be from 0 to 1"),
            (self.backend.as_deref() == Some(""), "`backend` must have a name"),
            (zero(self.backend_timeout), "`backend_timeout` must be longer than zero"),
            (self.payload_bytes_max == Some(0), "`payload_bytes_max` must be at least 1"),
            (zero(self.lease), "`lease` must be longer than zero"),
            (
                self.threshold.is_some_and(|cosine| !(-1.0..=1.0).contains(&cosine)),
                "`threshold` must be a cosine similarity from -1 to 1",
            ),
            (zero(self.embed_timeout), "`embed_timeout` must be longer than zero"),
            (zero(self.verify_timeout), "`verify_timeout` must be longer than zero"),
            (self.verify_concurrent == Some(0), "`verify_concurrent` must be at least 1"),
            (self.shadow.is_some_and(|part| !(0.0..=1.0).contains(&part)), "`shadow` must be from 0 to 1"),
            (self.max_error.is_some_and(|part| !(part > 0.0 && part < 1.0)), "`max_error` must be above 0 and below 1"),
        ];
        checks.into_iter().filter_map(|(wrong, problem)| wrong.then_some(problem)).collect()
    }

    /// These settings where something is set, else the others.
    pub(crate) fn or(self, other: &Settings) -> Settings {
        Settings {
            ttl: self.ttl.or(other.ttl),
            stale: self.stale.or(other.stale),
            stale_if_error: self.stale_if_error.or(other.stale_if_error),
            early: self.early.or(other.early),
            jitter: self.jitter.or(other.jitter),
            none_ttl: self.none_ttl.or(other.none_ttl),
            cache_err: self.cache_err.or(other.cache_err),
            capacity: self.capacity.or(other.capacity),
            timeout: self.timeout.or(other.timeout),
            soft_timeout: self.soft_timeout.or(other.soft_timeout),
            wait: self.wait.or(other.wait),
            max_concurrent: self.max_concurrent.or(other.max_concurrent),
            backend: self.backend.or_else(|| other.backend.clone()),
            backend_timeout: self.backend_timeout.or(other.backend_timeout),
            codec: self.codec.or(other.codec),
            payload_bytes_max: self.payload_bytes_max.or(other.payload_bytes_max),
            lease: self.lease.or(other.lease),
            share_errors: self.share_errors.or(other.share_errors),
            threshold: self.threshold.or(other.threshold),
            embed_timeout: self.embed_timeout.or(other.embed_timeout),
            verify_timeout: self.verify_timeout.or(other.verify_timeout),
            verify_concurrent: self.verify_concurrent.or(other.verify_concurrent),
            shadow: self.shadow.or(other.shadow),
            max_error: self.max_error.or(other.max_error),
            guard: self.guard.or(other.guard),
        }
    }
}

/// How values are written in a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// `MessagePack` with named fields: compact, and binary data stays binary.
    #[default]
    MessagePack,
    /// JSON: readable in every tool of every store.
    Json,
}

/// How long each answer of a backend may take.
pub(crate) const BACKEND_TIMEOUT: Duration = Duration::from_millis(500);

/// The most bytes of a payload: with the 48 around it an entry is a mebibyte, which every store takes.
pub(crate) const PAYLOAD_BYTES_MAX: usize = (1 << 20) - 48;

/// How long a distributed function keeps a value unless told otherwise.
const DISTRIBUTED_TTL: Duration = Duration::from_secs(60);

/// How long a [`Cache`](crate::Cache) keeps a value unless told otherwise.
const CACHE_TTL: Duration = Duration::from_secs(300);

/// How long a function that compares meanings keeps a value unless told otherwise.
const SEMANTIC_TTL: Duration = Duration::from_secs(300);

/// How many values it keeps of each partition unless told otherwise.
const SEMANTIC_CAPACITY: usize = 500;

/// How near questions are that mean the same, unless told otherwise.
const THRESHOLD: f64 = 0.92;

/// How near they have to be at least where it is learnt how near is near enough.
const FLOOR: f64 = 0.7;

/// How long a question waits for what `verify` says.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(2);

/// How many questions of a function it is asked about at once.
const VERIFY_CONCURRENT: usize = 16;

/// How long a question waits for its embedding.
const EMBED_TIMEOUT: Duration = Duration::from_secs(5);

/// The backend of a distributed function that is told of none.
pub(crate) const DISTRIBUTED_BACKEND: &str = "redis";

/// For how long a process leads that is not heard of.
const LEASE: Duration = Duration::from_secs(5);

/// A value is never refreshed earlier than this many times what `XFetch` advises.
const MOST_EARLY: f64 = 100.0;

/// What applies to one function.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a yes or no of its own")]
pub(crate) struct Policy {
    /// `None` keeps nothing.
    pub(crate) ttl: Option<Duration>,
    /// Configured for the namespace, which is stronger than a `ttl` that depends on the value.
    pub(crate) ttl_is_overridden: bool,
    /// How long after its `ttl` a value is served while another is made. Zero: not at all.
    pub(crate) stale: Duration,
    /// How long after its `ttl` a value stands in for an error. Zero: not at all.
    pub(crate) stale_if_error: Duration,
    /// The beta of `XFetch`; zero: no early refresh.
    pub(crate) early: f64,
    pub(crate) jitter: f64,
    pub(crate) none_ttl: Option<Duration>,
    pub(crate) cache_err: Option<Duration>,
    pub(crate) cache_err_is_overridden: bool,
    pub(crate) capacity: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) wait: Option<Duration>,
    pub(crate) max_concurrent: Option<usize>,
    #[cfg_attr(not(feature = "backends"), allow(dead_code, reason = "for backends"))]
    pub(crate) backend_timeout: Duration,
    #[cfg_attr(not(feature = "backends"), allow(dead_code, reason = "for backends"))]
    pub(crate) codec: Codec,
    #[cfg_attr(not(feature = "backends"), allow(dead_code, reason = "for backends"))]
    pub(crate) payload_bytes_max: usize,
    /// Executions are shared between processes.
    pub(crate) distributed: bool,
    /// For how long a process leads that is not heard of.
    #[cfg_attr(not(feature = "backends"), allow(dead_code, reason = "for backends"))]
    pub(crate) lease: Duration,
    /// Whether errors are given to other processes.
    pub(crate) share_errors: bool,
    /// Meanings are compared.
    #[cfg_attr(not(feature = "semantic"), allow(dead_code, reason = "for meanings"))]
    pub(crate) semantic: bool,
    /// How near questions are that mean the same.
    #[cfg_attr(not(feature = "semantic"), allow(dead_code, reason = "for meanings"))]
    pub(crate) threshold: f32,
    #[cfg_attr(not(feature = "semantic"), allow(dead_code, reason = "for meanings"))]
    pub(crate) embed_timeout: Duration,
    #[cfg_attr(not(feature = "semantic"), allow(dead_code, reason = "for meanings"))]
    pub(crate) verify_timeout: Duration,
    #[cfg_attr(not(feature = "semantic"), allow(dead_code, reason = "for meanings"))]
    pub(crate) verify_concurrent: usize,
    /// The part of the semantic hits that is executed all the same.
    #[cfg_attr(not(feature = "semantic"), allow(dead_code, reason = "for meanings"))]
    pub(crate) shadow: f64,
    /// The part of them that may be wrong. `None`: the threshold alone decides.
    #[cfg_attr(not(feature = "semantic"), allow(dead_code, reason = "for meanings"))]
    pub(crate) max_error: Option<f64>,
    #[cfg(feature = "semantic")]
    pub(crate) guards: Guards,
    pub(crate) finish_abandoned: bool,
    /// Bodies run inside the calls that begin them, instead of on their own.
    pub(crate) attached: bool,
    /// Calls block their threads.
    pub(crate) blocking: bool,
}

impl Policy {
    /// `options` say what no configuration can; their own settings are part of `settings` already. `can_refuse`: whether
    /// calls can end with an error of ours. Without it, nothing may make them wait for one.
    pub(crate) fn new(settings: &Settings, options: &Options, can_refuse: bool) -> Policy {
        let can_leave = !options.attached;
        let (ttl, capacity) = match (options.semantic, options.distributed) {
            (true, _) => (Some(SEMANTIC_TTL), SEMANTIC_CAPACITY),
            (_, true) => (Some(DISTRIBUTED_TTL), CAPACITY),
            _ if options.keeps => (Some(CACHE_TTL), CAPACITY),
            _ => (None, CAPACITY),
        };
        // A function whose attribute says nothing of it may have nobody to learn it from.
        let may_learn = options.settings.max_error.is_some();
        let max_error = settings.max_error.filter(|part| may_learn && *part > 0.0 && *part < 1.0);
        let threshold = if max_error.is_some() { FLOOR } else { THRESHOLD };
        Policy {
            ttl: settings.ttl.or(ttl).filter(|ttl| !ttl.is_zero()),
            ttl_is_overridden: false,
            stale: settings.stale.filter(|_| can_leave).unwrap_or_default(),
            stale_if_error: settings.stale_if_error.unwrap_or_default(),
            early: settings.early.filter(|_| can_leave).unwrap_or_default().clamp(0.0, MOST_EARLY),
            jitter: settings.jitter.unwrap_or_default().clamp(0.0, 1.0),
            none_ttl: settings.none_ttl,
            cache_err: settings.cache_err.filter(|ttl| !ttl.is_zero()),
            cache_err_is_overridden: false,
            capacity: settings.capacity.unwrap_or(capacity).max(1),
            // A sync body that stays would go on to its end, and its caller with it.
            timeout: settings.timeout.filter(|_| can_refuse && !(options.attached && options.blocking)),
            soft_timeout: settings.soft_timeout.filter(|_| can_leave),
            wait: settings.wait.filter(|_| can_refuse),
            // A semaphore's own limit; nobody runs as many.
            max_concurrent: settings
                .max_concurrent
                .filter(|_| can_refuse)
                .map(|most| most.clamp(1, tokio::sync::Semaphore::MAX_PERMITS)),
            backend_timeout: settings.backend_timeout.unwrap_or(BACKEND_TIMEOUT),
            codec: settings.codec.unwrap_or_default(),
            payload_bytes_max: settings.payload_bytes_max.unwrap_or(PAYLOAD_BYTES_MAX).max(1),
            distributed: options.distributed,
            // A lease of zero is refused in code and files, but an attribute's may be computed.
            lease: settings.lease.filter(|lease| !lease.is_zero()).unwrap_or(LEASE),
            share_errors: settings.share_errors.unwrap_or(true),
            semantic: options.semantic,
            // An attribute's may be computed, and be no number.
            #[expect(clippy::cast_possible_truncation, reason = "embeddings are no more precise")]
            threshold: settings.threshold.filter(|cosine| !cosine.is_nan()).unwrap_or(threshold).clamp(-1.0, 1.0)
                as f32,
            embed_timeout: settings.embed_timeout.filter(|time| !time.is_zero()).unwrap_or(EMBED_TIMEOUT),
            verify_timeout: settings.verify_timeout.filter(|time| !time.is_zero()).unwrap_or(VERIFY_TIMEOUT),
            verify_concurrent: settings
                .verify_concurrent
                .unwrap_or(VERIFY_CONCURRENT)
                .clamp(1, tokio::sync::Semaphore::MAX_PERMITS),
            shadow: settings.shadow.filter(|_| can_leave).unwrap_or_default().clamp(0.0, 1.0),
            max_error,
            #[cfg(feature = "semantic")]
            guards: settings.guard.unwrap_or_default(),
            finish_abandoned: options.finish_abandoned,
            attached: options.attached,
            blocking: options.blocking,
        }
    }

    /// Whether a configuration switches keeping off, whatever the attribute says.
    pub(crate) fn keeps_nothing(&self) -> bool {
        self.ttl_is_overridden && self.ttl.is_none()
    }

    /// Whether old values stay, for when they are needed.
    pub(crate) fn retains(&self) -> bool {
        self.retention() > Duration::ZERO
    }

    /// How a value stands to the `ttl` here that was found so, and made that long ago. Who overrides a `ttl` says how old a
    /// value may be, whoever has made it.
    pub(crate) fn age_here(&self, age: Life, made: Duration) -> Life {
        match (age, self.ttl.filter(|_| self.ttl_is_overridden)) {
            (Life::Fresh(left), Some(most)) => match most.checked_sub(made) {
                Some(rest) if !rest.is_zero() => Life::Fresh(left.min(rest)),
                _ => Life::Past(made.saturating_sub(most)),
            },
            (age, _) => age,
        }
    }

    /// Whether a value that stands so to its `ttl` answers a call.
    pub(crate) fn serves(&self, age: Life) -> bool {
        match age {
            Life::Fresh(_) => true,
            Life::Past(since) => since < self.stale,
        }
    }

    /// For how long after its `ttl` a value may still be of use.
    pub(crate) fn retention(&self) -> Duration {
        self.stale.max(self.stale_if_error)
    }
}
