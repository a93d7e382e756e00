//! A function's time and failure rules, as they apply to it in the end. Plain data, no behaviour.

use std::time::Duration;

/// How many values a function keeps unless told otherwise.
const CAPACITY: usize = 1_000;

/// What the attribute (or a builder) says. Merged with the configuration at the function's first call.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(crate) namespace: Option<&'static str>,
    pub(crate) settings: Settings,
    pub(crate) finish_abandoned: bool,
    pub(crate) attached: bool,
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

    /// How long a value is kept; not at all when absent or zero.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = Some(ttl);
        self
    }

    /// How many values are kept.
    #[must_use]
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.settings.capacity = Some(capacity);
        self
    }

    /// How long an execution may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }

    /// How long a caller waits.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings.wait = Some(wait);
        self
    }

    /// How many executions may run at once.
    #[must_use]
    pub fn max_concurrent(mut self, executions: usize) -> Self {
        self.settings.max_concurrent = Some(executions);
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
}

/// The options that a configuration may give too, for all functions or for those of one namespace.
///
/// `timeout`, `wait` and `max_concurrent` apply to functions that can say so: those that return `Result<_, E>` with
/// `E: From<stampede_runtime::Error>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub(crate) ttl: Option<Duration>,
    pub(crate) capacity: Option<usize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) wait: Option<Duration>,
    pub(crate) max_concurrent: Option<usize>,
}

impl Settings {
    /// Nothing is set.
    #[must_use]
    pub fn new() -> Settings {
        Settings::default()
    }

    /// How long a value is kept. Zero keeps nothing.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How many values a function keeps, at least 1.
    #[must_use]
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// How long an execution may take, more than zero.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long a caller waits, more than zero.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// How many executions of a function may run at once, at least 1.
    #[must_use]
    pub fn max_concurrent(mut self, executions: usize) -> Self {
        self.max_concurrent = Some(executions);
        self
    }

    /// What is wrong with these settings, one sentence each.
    pub(crate) fn problems(&self) -> Vec<&'static str> {
        let checks = [
            (self.capacity == Some(0), "`capacity` must be at least 1; a `ttl` of zero keeps nothing"),
            (self.timeout == Some(Duration::ZERO), "`timeout` must be longer than zero"),
            (self.wait == Some(Duration::ZERO), "`wait` must be longer than zero"),
            (self.max_concurrent == Some(0), "`max_concurrent` must be at least 1"),
        ];
        checks.into_iter().filter_map(|(wrong, problem)| wrong.then_some(problem)).collect()
    }

    /// These settings where something is set, else the others.
    pub(crate) fn or(self, other: &Settings) -> Settings {
        Settings {
            ttl: self.ttl.or(other.ttl),
            capacity: self.capacity.or(other.capacity),
            timeout: self.timeout.or(other.timeout),
            wait: self.wait.or(other.wait),
            max_concurrent: self.max_concurrent.or(other.max_concurrent),
        }
    }
}

/// What applies to one function.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// `None` keeps nothing.
    pub(crate) ttl: Option<Duration>,
    /// Configured for the namespace, which is stronger than a `ttl` that depends on the value.
    pub(crate) ttl_is_overridden: bool,
    pub(crate) capacity: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) wait: Option<Duration>,
    pub(crate) max_concurrent: Option<usize>,
    pub(crate) finish_abandoned: bool,
    /// Bodies run inside the calls that begin them, instead of as tasks.
    pub(crate) attached: bool,
}

impl Policy {
    /// `options` say what no configuration can; their own settings are part of `settings` already. `can_refuse`: whether
    /// calls can end with an error of ours. Without it, nothing may make them wait for one.
    pub(crate) fn new(settings: &Settings, options: &Options, can_refuse: bool) -> Policy {
        Policy {
            ttl: settings.ttl.filter(|ttl| !ttl.is_zero()),
            ttl_is_overridden: false,
            capacity: settings.capacity.unwrap_or(CAPACITY).max(1),
            timeout: settings.timeout.filter(|_| can_refuse),
            wait: settings.wait.filter(|_| can_refuse),
            // A semaphore's own limit; nobody runs as many.
            max_concurrent: settings
                .max_concurrent
                .filter(|_| can_refuse)
                .map(|most| most.clamp(1, tokio::sync::Semaphore::MAX_PERMITS)),
            finish_abandoned: options.finish_abandoned,
            attached: options.attached,
        }
    }
}
