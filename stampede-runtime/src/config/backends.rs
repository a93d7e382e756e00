//! Backends by name: given by code, or made from what files and variables say.

use std::any::type_name;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

#[cfg(feature = "semantic")]
use crate::semantic::Index;
use crate::store::{Backend, Guarded};

type AnyBackend = Arc<dyn Backend>;

/// What a file or variables describe.
#[cfg(feature = "config-files")]
pub(super) enum Made {
    Backend(AnyBackend),
    #[cfg(feature = "pgvector")]
    Index(Arc<dyn Index>),
}

/// The backends of a configuration, and its indexes: a name is one of either.
#[derive(Clone, Default)]
pub(crate) struct Backends(BTreeMap<String, Named>);

#[derive(Clone)]
struct Named {
    /// For people: the kind that a file says, or the type that code gave.
    kind: &'static str,
    store: Store,
}

#[derive(Clone)]
enum Store {
    Backend(Arc<Guarded>),
    #[cfg(feature = "semantic")]
    Index(Arc<Guarded<dyn Index>>),
    /// What is wrong with it has been said.
    #[cfg(feature = "config-files")]
    Broken,
}

/// Names and kinds. What a backend holds, a password perhaps, is nobody's business.
impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, named)| (name, named.kind))).finish()
    }
}

impl Backends {
    /// Returns what had that name before, if something did.
    pub(super) fn add<B: Backend>(&mut self, name: String, backend: B) -> Option<What> {
        self.put(name, type_name::<B>(), Arc::new(backend))
    }

    fn put(&mut self, name: String, kind: &'static str, backend: AnyBackend) -> Option<What> {
        let store = Store::Backend(Guarded::new(name.clone(), backend));
        self.0.insert(name, Named { kind, store }).map(|named| named.what())
    }

    #[cfg(feature = "semantic")]
    fn put_index(&mut self, name: String, kind: &'static str, index: Arc<dyn Index>) -> Option<What> {
        let store = Store::Index(Guarded::new(name.clone(), index));
        self.0.insert(name, Named { kind, store }).map(|named| named.what())
    }

    /// Returns what had that name before, if something did.
    #[cfg(feature = "semantic")]
    pub(super) fn add_index<I: Index>(&mut self, name: String, index: I) -> Option<What> {
        self.put_index(name, type_name::<I>(), Arc::new(index))
    }

    #[cfg(feature = "config-files")]
    pub(super) fn insert(&mut self, name: String, kind: &'static str, made: Made) {
        match made {
            Made::Backend(backend) => self.put(name, kind, backend),
            #[cfg(feature = "pgvector")]
            Made::Index(index) => self.put_index(name, kind, index),
        };
    }

    /// A backend that could not be made: nobody is told that it is missing, too.
    #[cfg(feature = "config-files")]
    pub(super) fn broken(&mut self, name: String) {
        self.0.insert(name, Named { kind: "broken", store: Store::Broken });
    }

    #[cfg(feature = "config-files")]
    pub(super) fn what(&self, name: &str) -> Option<What> {
        self.0.get(name).map(Named::what)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Guarded>> {
        match &self.0.get(name)?.store {
            Store::Backend(backend) => Some(Arc::clone(backend)),
            #[cfg(any(feature = "semantic", feature = "config-files"))]
            _ => None,
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Guarded>> {
        self.0.keys().filter_map(|name| self.get(name)).collect()
    }

    #[cfg(feature = "semantic")]
    pub(crate) fn index(&self, name: &str) -> Option<Arc<Guarded<dyn Index>>> {
        match &self.0.get(name)?.store {
            Store::Index(index) => Some(Arc::clone(index)),
            Store::Backend(_) => None,
            #[cfg(feature = "config-files")]
            Store::Broken => None,
        }
    }

    /// What to say of a name that is none of these.
    pub(crate) fn unknown(&self, name: &str) -> Option<String> {
        if self.0.contains_key(name) {
            return None;
        }
        let is_any = if self.0.values().any(|named| named.what() == What::Index) { " or index" } else { "" };
        Some(format!("no backend{is_any} is called {}; {}", shown(name), list(self.0.keys())))
    }

    /// What to say of a name that is none of a backend, where no index will do.
    pub(crate) fn no_backend(&self, name: &str) -> Option<String> {
        let problem = match self.0.get(name).map(Named::what) {
            Some(What::Backend) => return None,
            Some(What::Index) => format!("{} is an index and no backend", shown(name)),
            None => format!("no backend is called {}", shown(name)),
        };
        let backends = self.0.iter().filter(|(_, named)| named.what() == What::Backend).map(|(name, _)| name);
        Some(format!("{problem}; {}", list(backends)))
    }
}

/// What has a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Backend,
    #[cfg_attr(not(feature = "semantic"), allow(dead_code, reason = "for meanings"))]
    Index,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Backend => "backend",
            What::Index => "index",
        })
    }
}

impl Named {
    fn what(&self) -> What {
        match self.store {
            #[cfg(feature = "semantic")]
            Store::Index(_) => What::Index,
            _ => What::Backend,
        }
    }
}

/// Somebody may have put an address, and a password with it, where the name belongs.
fn shown(name: &str) -> String {
    if name.contains("://") || name.contains('@') { "that".to_owned() } else { format!("`{name}`") }
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let known: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match &known[..] {
        [] => "there is none".to_owned(),
        [only] => format!("there is {only}"),
        several => format!("there are {}", several.join(", ")),
    }
}
