//! Values that nobody has executed for: they are given, or given another `ttl`.

use std::sync::Arc;
use std::time::Duration;

use super::{Age, Coalescing};
use crate::clock::Moment;
use crate::error::Error;
use crate::flight::Node;
use crate::hooks::Keeping;
use crate::key::{Key, Look};
use crate::outside::Saying;
use crate::registry;
use crate::share::Share;
use crate::tags::{Tag, Tagged};

/// What is given of one key: the value, for how long if that is said, and its tags.
pub(crate) type Gift<V> = (V, Option<Duration>, Vec<Tag>);

/// What is to be said outside of a value that is given.
struct Told<K: Key, S: Share> {
    saying: Saying<S::Value>,
    node: Arc<Node<K, S>>,
    keeping: Keeping,
    tagged: Option<Arc<Tagged>>,
}

impl<K: Key, S: Share> Coalescing<K, S> {
    /// Keeps a value as though a body had returned it, under the same conditions. `then` is told what came of it outside.
    pub(crate) fn give<L: Look<Own = K>>(
        &self,
        look: &L,
        value: S::Value,
        ttl: Option<Duration>,
        tags: Vec<Tag>,
        then: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        if registry::is_off() {
            return then(Ok(()));
        }
        match self.give_here(look, (value, ttl, tags)) {
            Ok(Some(Told { saying, node, keeping, tagged })) => {
                let value = node.value().expect("it is given");
                saying.store(&self.home_outside(), value, &keeping, tagged.as_ref(), then);
            }
            Ok(None) => then(Ok(())),
            Err(saying) => saying.forget_then(&self.home_outside(), |told| then(told.map(drop))),
        }
    }

    /// The same of several keys, which go outside together.
    pub(crate) fn give_many<L: Look<Own = K>>(
        &self,
        gifts: impl Iterator<Item = (L, Gift<S::Value>)>,
        then: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        if registry::is_off() {
            return then(Ok(()));
        }
        let mut all = Vec::new();
        for (look, gift) in gifts {
            match self.give_here(&look, gift) {
                Ok(told) => all.extend(told),
                // What came of it is of no interest beside the others: where it has failed, the key is not read.
                Err(saying) => drop(saying.forget(&self.home_outside())),
            }
        }
        let (mut sayings, mut rest) = (Vec::new(), Vec::new());
        for Told { saying, node, keeping, tagged } in all {
            sayings.push(saying);
            rest.push((node, keeping, tagged));
        }
        let all = sayings.into_iter().zip(&rest).map(|(saying, (node, keeping, tagged))| {
            (saying, node.value().expect("it is given"), keeping, tagged.as_ref())
        });
        Saying::store_many(all.collect(), &self.home_outside(), then);
    }

    /// Keeps a value here. Returns what is to be said outside: nothing, the value, or (an error) that there is none any more.
    fn give_here<L: Look<Own = K>>(
        &self,
        look: &L,
        (value, ttl, tags): Gift<S::Value>,
    ) -> Result<Option<Told<K, S>>, Saying<S::Value>> {
        let keeping = self.hooks.keeping_given(&value, ttl, &self.policy);
        let tagged = Arc::new(Tagged::of_given(tags, self.hooks.tags_of(&value)));
        let id = self.id_of(look);
        let saying = self.say(id.as_ref());
        self.take_out_derived(id.as_ref());
        if !keeping.is_kept() || !tagged.is_in_bounds() {
            // The newest value is not to be kept, so an older one is not either.
            self.invalidate(look);
            return saying.map_or(Ok(None), Err);
        }
        let node = self.insert(look, value, &keeping);
        self.note(id.as_ref(), &node);
        self.enter_given(&node, id.as_ref(), &tagged);
        let tagged = Some(tagged).filter(|tagged| tagged.all().next().is_some());
        Ok(saying.map(|saying| Told { saying, node, keeping, tagged }))
    }

    /// Gives what is kept of a key another `ttl`, from now on. Returns whether there was anything here that is fresh; `then` is
    /// told whether there was outside, where there is a tier.
    pub(crate) fn touch<L: Look<Own = K>>(
        &self,
        look: &L,
        ttl: Duration,
        then: impl FnOnce(Result<bool, Error>) + Send + 'static,
    ) -> bool {
        let saying = self.say(self.id_of(look).as_ref());
        let is_here = self.table.find(self.hash(look), |node| {
            let is_it = look.is(&node.key) && node.value().is_some();
            let is_fresh = is_it && self.age_without_refresh(node, Moment::now()) == Age::Fresh;
            (is_fresh && node.touch(&Keeping::new(ttl, node.cost(), &self.policy))).then_some(())
        });
        match saying {
            Some(saying) => saying.touch(&self.home_outside(), ttl, then),
            None => then(Ok(false)),
        }
        is_here.is_some()
    }
}
