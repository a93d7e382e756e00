//! The configuration, given once at startup: by code, and with `config-files` by files and the environment.

use std::collections::BTreeMap;
#[cfg(feature = "config-files")]
use std::ffi::OsString;
#[cfg(feature = "config-files")]
use std::path::PathBuf;

use crate::policy::{DISTRIBUTED_BACKEND, Options, Policy, Settings};

#[cfg(feature = "backends")]
pub(crate) mod backends;
mod draft;
#[cfg(feature = "semantic")]
mod embedder;
mod error;
#[cfg(feature = "config-files")]
mod keys;
#[cfg(all(feature = "backends", feature = "config-files"))]
mod kinds;
#[cfg(feature = "config-files")]
mod sources;
#[cfg(test)]
mod tests;

#[cfg(all(doctest, feature = "config-files"))]
#[doc = include_str!("../../docs/configuration.md")]
struct Page;

pub use error::ConfigError;

use draft::{Draft, Scope, folded};

/// Defaults for all functions and overrides for namespaces, for [`configure`](crate::configure).
///
/// What applies to a function is, from weak to strong: the built-in default, the configured default, its attribute, the
/// configured override of its namespace. Each option is looked up by itself.
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
    /// Namespaces that only variables name, as those spell them.
    spelt_by_variables: BTreeMap<String, Settings>,
    #[cfg(feature = "backends")]
    pub(crate) backends: backends::Backends,
    #[cfg(feature = "semantic")]
    pub(crate) embedder: embedder::Chosen,
}

impl Config {
    /// Begins a configuration that changes nothing.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }

    /// The backend of a namespace's functions, whatever they say.
    #[cfg(feature = "backends")]
    pub(crate) fn backend_of(&self, namespace: &str) -> Option<&str> {
        self.configured(namespace)?.backend.as_deref()
    }

    fn configured(&self, namespace: &str) -> Option<&Settings> {
        self.namespaces.get(namespace).or_else(|| self.spelt_by_variables.get(&folded(namespace)))
    }

    /// How long each wait for a backend may be that is of no function.
    #[cfg(feature = "backends")]
    pub(crate) fn backend_timeout(&self) -> std::time::Duration {
        self.defaults.backend_timeout.unwrap_or(crate::policy::BACKEND_TIMEOUT)
    }

    /// What applies to a function of a namespace, and the name of its backend.
    pub(crate) fn policy(&self, namespace: &str, options: &Options, can_refuse: bool) -> (Policy, Option<String>) {
        let configured = self.configured(namespace).cloned().unwrap_or_default();
        let ttl_is_overridden = configured.ttl.is_some();
        let cache_err_is_overridden = configured.cache_err.is_some();
        let settings = configured.or(&options.settings).or(&self.defaults);
        let policy = Policy::new(&settings, options, can_refuse);
        let backend = settings.backend.or_else(|| options.distributed.then(|| DISTRIBUTED_BACKEND.to_owned()));
        (Policy { ttl_is_overridden, cache_err_is_overridden, ..policy }, backend)
    }
}

/// A [`Config`] in the making.
///
/// What is said in several places is taken key by key, from weak to strong: code, files in the order in which they are
/// named, the environment. So a program brings what suits it, a file what suits a deployment, and a variable what is to be
/// tried now; and none of them has to repeat the others.
#[derive(Clone, Debug, Default)]
#[must_use = "a configuration takes effect through `build` and `configure`"]
pub struct ConfigBuilder {
    draft: Draft,
    has_defaults: bool,
    #[cfg(feature = "config-files")]
    sources: sources::Sources,
}

impl ConfigBuilder {
    /// What applies where an attribute says nothing.
    pub fn defaults(mut self, settings: Settings) -> Self {
        if std::mem::replace(&mut self.has_defaults, true) {
            self.draft.problem("in code: defaults are configured twice");
        }
        self.draft.code(Scope::Defaults, settings);
        self
    }

    /// What applies to the functions of a namespace, whatever their attributes say.
    pub fn namespace(mut self, name: impl Into<String>, settings: Settings) -> Self {
        let scope = Scope::Namespace(name.into());
        if self.draft.has(&scope) {
            self.draft.problem(format!("in code: {scope} is configured twice"));
        }
        self.draft.code(scope, settings);
        self
    }

    /// A backend, which attributes, defaults and namespaces can name.
    #[cfg(feature = "backends")]
    pub fn backend(mut self, name: impl Into<String>, backend: impl crate::store::Backend) -> Self {
        let name = name.into();
        if name.is_empty() {
            self.draft.problem("in code: a backend has no name");
        }
        if let Some(before) = self.draft.backends.add(name.clone(), backend) {
            self.draft.twice(&name, before, backends::What::Backend);
        }
        self
    }

    /// An index of questions and answers, which functions that compare meanings can name. One of the name `pgvector` is that of
    /// all of them that name none.
    #[cfg(feature = "semantic")]
    pub fn index(mut self, name: impl Into<String>, index: impl crate::semantic::Index) -> Self {
        let name = name.into();
        if name.is_empty() {
            self.draft.problem("in code: an index has no name");
        }
        self.draft.check_name_of_index("in code", &name);
        if let Some(before) = self.draft.backends.add_index(name.clone(), index) {
            self.draft.twice(&name, before, backends::What::Index);
        }
        self
    }

    /// What makes the embeddings of all functions that compare meanings and say nothing else.
    #[cfg(feature = "semantic")]
    pub fn embedder(mut self, embedder: impl crate::semantic::Embedder) -> Self {
        if embedder.model_id().is_empty() {
            self.draft
                .problem("in code: the embedder's model has no name, which keeps its embeddings apart from others");
        }
        if self.draft.embedder.choose(std::sync::Arc::new(embedder)) {
            self.draft.problem("in code: the embedder is given twice");
        }
        self
    }

    /// A TOML or YAML file, read by [`build`](Self::build); its extension (`toml`, `yaml`, `yml`) says which. It must exist.
    ///
    /// Of several files, the later ones are stronger. `docs/configuration.md` has the shape.
    #[cfg(feature = "config-files")]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.sources.files.push(path.into());
        self
    }

    /// The variables of the process's environment whose names begin with `STAMPEDE_`.
    ///
    /// `STAMPEDE_DEFAULTS__TTL=5m` is the key `ttl` of `[defaults]`, `STAMPEDE_NAMESPACES__MY_APP__LLM__TTL=5m` that of the
    /// namespace `my_app::llm`: two underscores part the names and stand for `::`, letters are of any case, and one
    /// underscore stands for every other character. `STAMPEDE_CONFIG` names a file to be read in the place of those that
    /// [`file`](Self::file) named.
    #[cfg(feature = "config-files")]
    pub fn env(self) -> Self {
        self.variables(std::env::vars_os())
    }

    /// [`env`](Self::env), with these variables in the place of the process's: for tests.
    #[cfg(feature = "config-files")]
    pub fn variables<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.sources.variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self
    }

    /// Ends the configuration, and reads the files that it names.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every problem there is.
    pub fn build(self) -> Result<Config, ConfigError> {
        #[cfg_attr(not(feature = "config-files"), allow(unused_mut))]
        let mut draft = self.draft;
        #[cfg(feature = "config-files")]
        self.sources.read(&mut draft);
        draft.finish()
    }
}
