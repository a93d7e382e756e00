//! The configuration, given once at startup.

use std::collections::BTreeMap;
use std::fmt;

use crate::policy::{Options, Policy, Settings};

/// Defaults for all functions and overrides for namespaces, for [`configure`](crate::configure).
///
/// What applies to a function is, from weak to strong: the built-in default, the configured default, its attribute, the
/// configured override of its namespace.
///
/// ```
/// use std::time::Duration;
/// use stampede_runtime::{Config, Settings};
///
/// let config = Config::builder()
///     .defaults(Settings::new().capacity(10_000))
///     .namespace("llm", Settings::new().ttl(Duration::from_secs(3600)).max_concurrent(8))
///     .build()?;
/// # Ok::<(), stampede_runtime::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Config {
    defaults: Settings,
    namespaces: BTreeMap<String, Settings>,
}

impl Config {
    /// Begins a configuration that changes nothing.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }

    /// What applies to a function of a namespace, and the name of its backend.
    pub(crate) fn policy(&self, namespace: &str, options: &Options, can_refuse: bool) -> (Policy, Option<String>) {
        let configured = self.namespaces.get(namespace).cloned().unwrap_or_default();
        let ttl_is_overridden = configured.ttl.is_some();
        let cache_err_is_overridden = configured.cache_err.is_some();
        let settings = configured.or(&options.settings).or(&self.defaults);
        let policy = Policy::new(&settings, options, can_refuse);
        (Policy { ttl_is_overridden, cache_err_is_overridden, ..policy }, settings.backend)
    }
}

/// A [`Config`] in the making.
#[derive(Clone, Debug, Default)]
#[must_use = "a configuration takes effect through `build` and `configure`"]
pub struct ConfigBuilder {
    config: Config,
    problems: Vec<String>,
    has_defaults: bool,
}

impl ConfigBuilder {
    /// What applies where an attribute says nothing.
    pub fn defaults(mut self, settings: Settings) -> Self {
        self.check("defaults", &settings);
        if std::mem::replace(&mut self.has_defaults, true) {
            self.problems.push("defaults are configured twice".to_owned());
        }
        self.config.defaults = settings;
        self
    }

    /// What applies to the functions of a namespace, whatever their attributes say.
    pub fn namespace(mut self, name: impl Into<String>, settings: Settings) -> Self {
        let name = name.into();
        if name.is_empty() {
            self.problems.push("a namespace has no name".to_owned());
        }
        self.check(&format!("namespace `{name}`"), &settings);
        if self.config.namespaces.insert(name.clone(), settings).is_some() {
            self.problems.push(format!("namespace `{name}` is configured twice"));
        }
        self
    }

    fn check(&mut self, place: &str, settings: &Settings) {
        self.problems.extend(settings.problems().into_iter().map(|problem| format!("{place}: {problem}")));
    }

    /// Ends the configuration.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every problem there is.
    pub fn build(self) -> Result<Config, ConfigError> {
        if self.problems.is_empty() { Ok(self.config) } else { Err(ConfigError::Invalid(self.problems)) }
    }
}

/// Why a configuration was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// These things are wrong with it. Mend them all.
    Invalid(Vec<String>),
    /// `configure` was called before. Call it once, at startup.
    Twice,
    /// These functions had been called already, without it. Call `configure` before them.
    TooLate(Vec<String>),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Invalid(problems) => write!(f, "the configuration is wrong: {}", problems.join("; ")),
            ConfigError::Twice => write!(f, "`configure` was called a second time; call it once, at startup"),
            ConfigError::TooLate(functions) => {
                write!(f, "`configure` was called after {} had been; call it first, at startup", functions.join(", "))
            }
        }
    }
}

impl std::error::Error for ConfigError {}
