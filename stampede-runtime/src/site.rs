//! A decorated function.

use std::any::{Any, TypeId};
use std::sync::{Arc, OnceLock};

use crate::coalescer::{Coalescing, Function};
use crate::key::Key;
use crate::policy::Options;
use crate::registry::{self, Registry, State};
use crate::share::Share;

/// The static of one decorated function. It has no type parameters, because a static in a generic function is one for
/// all instantiations; what tells those apart is the type of a closure written in the function, its *marker*.
pub struct Site {
    module: &'static str,
    function: &'static str,
    options: fn() -> Options,
    /// The state of the instantiation that was called first, which in most functions is the only one.
    first: OnceLock<(TypeId, State)>,
}

impl Site {
    /// `options` is called once for each instantiation, at its first call.
    #[must_use]
    pub const fn new(module: &'static str, function: &'static str, options: fn() -> Options) -> Site {
        Site { module, function, options, first: OnceLock::new() }
    }

    fn key(&'static self, marker: TypeId) -> (usize, TypeId) {
        (std::ptr::from_ref(self).addr(), marker)
    }

    fn state<K: Key, S: Share>(&'static self, registry: &Registry, marker: TypeId) -> State {
        registry.state(self.key(marker), || {
            let options = (self.options)();
            let namespace = options.namespace.unwrap_or(self.module);
            registry.create::<K, S>(namespace, self.function, options)
        })
    }
}

/// A site, and which instantiation of it.
#[derive(Clone, Copy)]
pub struct Here {
    site: &'static Site,
    marker: TypeId,
}

impl Here {
    /// `marker`: a closure written in the function.
    #[inline]
    #[must_use]
    pub fn new<M: 'static>(site: &'static Site, _marker: &M) -> Here {
        Here { site, marker: TypeId::of::<M>() }
    }

    /// Calls `act` with the instantiation's state.
    #[inline]
    pub(crate) fn with<K: Key, S: Share, R>(self, act: impl FnOnce(&Coalescing<K, S>) -> R) -> R {
        if registry::is_plain() {
            if let Some((marker, state)) = self.site.first.get() {
                if *marker == self.marker {
                    let state: &dyn Any = &**state;
                    if let Some(state) = state.downcast_ref() {
                        return act(state);
                    }
                }
            }
        }
        act(&self.find())
    }

    #[cold]
    #[inline(never)]
    fn find<K: Key, S: Share>(self) -> Arc<Coalescing<K, S>> {
        registry::is_off();
        let registry = registry::current();
        let state = self.site.state::<K, S>(&registry, self.marker);
        if registry::is_global(&registry) {
            self.site.first.get_or_init(|| (self.marker, Arc::clone(&state)));
        }
        let Ok(state) = (state as Arc<dyn Any + Send + Sync>).downcast() else {
            // A marker is one place in the source, which has one key and one result.
            unreachable!("`{}` has two types of key or result", self.site.function)
        };
        state
    }
}

impl Here {
    /// The state, if the instantiation has been called.
    pub(crate) fn existing(self) -> Option<Arc<dyn Function>> {
        registry::current().existing(self.site.key(self.marker))
    }
}
