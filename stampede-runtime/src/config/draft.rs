//! A configuration while it is put together: what is said, where, and what is wrong with it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

#[cfg(feature = "backends")]
use super::backends::What;
use super::{Config, ConfigError};
#[cfg(feature = "semantic")]
use crate::policy::DISTRIBUTED_BACKEND;
use crate::policy::Settings;
#[cfg(feature = "semantic")]
use crate::semantic::index::{INDEX, unfit};

/// What some settings hold for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    Defaults,
    Namespace(String),
    /// The namespaces whose [`folded`] name this is, and which nothing else names.
    #[cfg_attr(not(feature = "config-files"), allow(dead_code))]
    SpeltByVariables(String),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Defaults => write!(f, "defaults"),
            Scope::Namespace(name) | Scope::SpeltByVariables(name) => write!(f, "namespace `{name}`"),
        }
    }
}

/// A name as variables spell it: they have no lower case, no colons and no dashes.
pub(super) fn folded(name: &str) -> String {
    let as_letter = |letter: char| if letter.is_alphanumeric() { letter } else { '_' };
    name.to_uppercase().chars().map(as_letter).collect()
}

/// The settings of one scope.
#[derive(Clone, Debug, Default)]
struct Said {
    settings: Settings,
    /// Which file or variable says a key. What code says is not listed.
    places: BTreeMap<&'static str, String>,
}

impl Said {
    fn place(&self, key: &str) -> &str {
        self.places.get(key).map_or("in code", String::as_str)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    scopes: BTreeMap<Scope, Said>,
    #[cfg(feature = "backends")]
    pub(super) backends: super::backends::Backends,
    #[cfg(feature = "semantic")]
    pub(super) embedder: super::embedder::Chosen,
    /// A file could not be read, so that what it would have named is not known.
    #[cfg(feature = "config-files")]
    pub(super) is_partial: bool,
    problems: Vec<String>,
}

impl Draft {
    /// One mistake, one problem: what was said of it already is not said again.
    pub(super) fn problem(&mut self, problem: impl Into<String>) {
        let problem = problem.into();
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Something has the name that something else has.
    #[cfg(feature = "backends")]
    pub(super) fn twice(&mut self, name: &str, before: What, now: What) {
        self.problem(if before == now {
            format!("in code: {now} `{name}` is given twice")
        } else {
            format!("in code: `{name}` is the name of a backend and of an index")
        });
    }

    /// An index cannot have the name that a backend is found by.
    #[cfg(feature = "semantic")]
    pub(super) fn check_name_of_index(&mut self, place: impl fmt::Display, name: &str) {
        if name == DISTRIBUTED_BACKEND {
            self.problem(format!(
                "{place}: an index is called `{name}`, as the backend is that functions find by themselves; give it another \
                 name, such as `{INDEX}`"
            ));
        }
    }

    pub(super) fn has(&self, scope: &Scope) -> bool {
        self.scopes.contains_key(scope)
    }

    /// Settings that code gives.
    pub(super) fn code(&mut self, scope: Scope, settings: Settings) {
        if scope == Scope::Namespace(String::new()) {
            self.problem("in code: a namespace has no name");
        }
        for problem in settings.problems() {
            self.problem(format!("in code: {scope}: {problem}"));
        }
        self.scopes.insert(scope, Said { settings, places: BTreeMap::new() });
    }

    /// One setting that a file or a variable gives, stronger than what was there.
    #[cfg(feature = "config-files")]
    pub(super) fn set(&mut self, scope: Scope, key: &'static str, place: String, setting: Settings) {
        let said = self.scopes.entry(scope).or_default();
        said.settings = setting.or(&said.settings);
        said.places.insert(key, place);
    }

    /// The namespaces that code or a file names.
    #[cfg(feature = "config-files")]
    pub(super) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.scopes.keys().filter_map(|scope| match scope {
            Scope::Namespace(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The configuration, or everything that is wrong with it.
    pub(super) fn finish(mut self) -> Result<Config, ConfigError> {
        for (scope, said) in std::mem::take(&mut self.scopes) {
            for problem in contradictions(&said) {
                self.problem(format!("{scope}: {problem}"));
            }
            if let Some(problem) = self.unknown_backend(&said) {
                self.problem(format!("{}: {scope}: {problem}", said.place("backend")));
            }
            self.scopes.insert(scope, said);
        }
        #[cfg(feature = "semantic")]
        if let Some(problem) = self.unfit_embedder() {
            self.problem(problem);
        }
        if !self.problems.is_empty() {
            return Err(ConfigError::Invalid(self.problems));
        }
        let mut config = Config::default();
        for (scope, said) in self.scopes {
            match scope {
                Scope::Defaults => config.defaults = said.settings,
                Scope::Namespace(name) => drop(config.namespaces.insert(name, said.settings)),
                Scope::SpeltByVariables(name) => drop(config.spelt_by_variables.insert(name, said.settings)),
            }
        }
        #[cfg(feature = "backends")]
        {
            config.backends = self.backends;
        }
        #[cfg(feature = "semantic")]
        {
            config.embedder = self.embedder;
        }
        Ok(config)
    }

    /// Of the embedder and the index that functions have that name none. Those of others are seen at their first call.
    #[cfg(feature = "semantic")]
    fn unfit_embedder(&self) -> Option<String> {
        let (embedder, index) = (self.embedder.get()?, self.backends.index(INDEX)?);
        unfit(&index, &*embedder)
    }

    #[cfg(feature = "backends")]
    fn unknown_backend(&self, said: &Said) -> Option<String> {
        let name = said.settings.backend.as_deref().filter(|name| !name.is_empty())?;
        #[cfg(feature = "config-files")]
        if self.is_partial {
            return None;
        }
        self.backends.unknown(name)
    }

    #[cfg(not(feature = "backends"))]
    #[allow(clippy::unused_self)] // Of one shape with the other, which looks into `self`.
    fn unknown_backend(&self, said: &Said) -> Option<String> {
        let _ = said.settings.backend.as_deref().filter(|name| !name.is_empty())?;
        Some("`backend` needs the cargo feature `backends` of `stampede-runtime`".to_owned())
    }
}

/// Pairs of settings of one scope of which one takes the effect of the other.
///
/// Only what no attribute could make sense of is refused. A `soft_timeout` without a `stale_if_error` is not: the attribute
/// may say that one. Nor is anything beside a `ttl` of zero, which is how a cache is switched off in a hurry.
fn contradictions(said: &Said) -> impl Iterator<Item = String> {
    let Settings { stale, stale_if_error, timeout, soft_timeout, wait, .. } = said.settings;
    let shown = |key: &str, time: Duration| format!("`{key}` ({time:?}, {})", said.place(key));
    let must_be_shorter =
        |(short, less): (&str, Option<Duration>), (long, more): (&str, Option<Duration>), why: &str| {
            let (less, more) = less.zip(more).filter(|(less, more)| less >= more)?;
            Some(format!("{} must be shorter than {}, or {why}", shown(short, less), shown(long, more)))
        };
    let switched_off = stale_if_error.filter(Duration::is_zero).zip(soft_timeout).map(|(zero, limit)| {
        format!(
            "{} needs {} to be longer than zero: there is no old value to fall back on",
            shown("soft_timeout", limit),
            shown("stale_if_error", zero)
        )
    });
    [
        must_be_shorter(
            ("stale", stale),
            ("stale_if_error", stale_if_error.filter(|time| !time.is_zero())),
            "the latter has no effect",
        ),
        must_be_shorter(("soft_timeout", soft_timeout), ("timeout", timeout), "the former has no effect"),
        must_be_shorter(("soft_timeout", soft_timeout), ("wait", wait), "the former has no effect"),
        switched_off,
    ]
    .into_iter()
    .flatten()
}
