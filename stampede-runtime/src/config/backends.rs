//! Backends by name: given by code, or made from what files and variables say.

use std::any::type_name;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

#[cfg(feature = "semantic")]
use crate::semantic::Index;
use crate::store::{Backend, Guarded};

pub(crate) type AnyBackend = Arc<dyn Backend>;

/// The backends of a configuration.
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
    /// Returns whether there was one of that name.
    pub(super) fn add<B: Backend>(&mut self, name: String, backend: B) -> bool {
        self.put(name, type_name::<B>(), Arc::new(backend))
    }

    fn put(&mut self, name: String, kind: &'static str, backend: AnyBackend) -> bool {
        let store = Store::Backend(Guarded::new(name.clone(), backend));
        self.0.insert(name, Named { kind, store }).is_some()
    }

    /// Returns whether there was anything of that name.
    #[cfg(feature = "semantic")]
    pub(super) fn add_index<I: Index>(&mut self, name: String, index: I) -> bool {
        let store = Store::Index(Guarded::new(name.clone(), Arc::new(index)));
        self.0.insert(name, Named { kind: type_name::<I>(), store }).is_some()
    }

    #[cfg(feature = "config-files")]
    pub(super) fn insert(&mut self, name: String, kind: &'static str, backend: AnyBackend) {
        self.put(name, kind, backend);
    }

    /// A backend that could not be made: nobody is told that it is missing, too.
    #[cfg(feature = "config-files")]
    pub(super) fn broken(&mut self, name: String) {
        self.0.insert(name, Named { kind: "broken", store: Store::Broken });
    }

    #[cfg(feature = "config-files")]
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Guarded>> {
        match &self.0.get(name)?.store {
            Store::Backend(backend) => Some(Arc::clone(backend)),
            #[cfg(any(feature = "semantic", feature = "config-files"))]
            _ => None,
        }
    }

    #[cfg(feature = "semantic")]
    pub(crate) fn index(&self, name: &str) -> Option<Arc<Guarded<dyn Index>>> {
        match &self.0.get(name)?.store {
            Store::Index(index) => Some(Arc::clone(index)),
            _ => None,
        }
    }

    /// What to say of a name that is none of these.
    pub(crate) fn unknown(&self, name: &str) -> Option<String> {
        if self.0.contains_key(name) {
            return None;
        }
        // Somebody may have put an address, and a password with it, where the name belongs.
        let shown = if name.contains("://") || name.contains('@') { "that" } else { &format!("`{name}`") };
        let known: Vec<_> = self.0.keys().map(|name| format!("`{name}`")).collect();
        let there = match known.len() {
            0 => "there is none".to_owned(),
            1 => format!("there is {}", known[0]),
            _ => format!("there are {}", known.join(", ")),
        };
        Some(format!("no backend is called {shown}; {there}"))
    }
}
