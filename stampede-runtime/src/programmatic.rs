//! Coalescing without an attribute.

use std::any::TypeId;
use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::call::{self, Note, Outcome};
use crate::coalescer::{Coalescing, Function};
use crate::fly::{Boarding, Moved};
use crate::hooks::Hooks;
use crate::key::{ByRef, Key};
use crate::policy::{Options, Policy};
use crate::registry;
use crate::share::{AnyFault, Fault, Shareable};
use crate::stats::{Stats, count};

/// Shares executions by key: what the attributes do, for code that has no function to decorate.
///
/// Cloning gives another handle to the same flights and values.
///
/// ```
/// use std::time::Duration;
/// use stampede_runtime::Coalescer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let users: Coalescer<u64, String> = Coalescer::builder().name("users").ttl(Duration::from_secs(60)).build();
///
/// let user = users.run(&7, || async { format!("user 7, loaded") }).await;
/// let again = users.run(&7, || async { unreachable!("kept for a minute") }).await;
/// assert_eq!(user, again);
/// # }
/// ```
pub struct Coalescer<K: Key, V: Shareable> {
    coalescing: Arc<Coalescing<K, AnyFault<V>>>,
}

impl<K: Key, V: Shareable> Clone for Coalescer<K, V> {
    fn clone(&self) -> Self {
        Coalescer { coalescing: Arc::clone(&self.coalescing) }
    }
}

impl<K: Key, V: Shareable> fmt::Debug for Coalescer<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalescer").field("name", &self.coalescing.name).finish_non_exhaustive()
    }
}

impl<K: Key, V: Shareable> Coalescer<K, V> {
    /// Begins a coalescer that shares executions and keeps nothing.
    pub fn builder() -> CoalescerBuilder<K, V> {
        CoalescerBuilder { name: None, options: Options::new(), cache_if: None, cost: None, keys: PhantomData }
    }

    /// Returns the value of `key`: a kept one, that of an execution under way, or that of `work`.
    ///
    /// `work` is called only if neither of the first two is there. It runs detached: it goes on for the others when
    /// this caller is dropped.
    ///
    /// **Cancel**: gives up this caller's place; the work ends when nobody waits for it.
    /// **Panic**: reaches every caller, with the same message.
    pub async fn run<Q, W, F>(&self, key: &Q, work: W) -> V
    where
        K: Borrow<Q>,
        Q: ?Sized + Hash + Eq + ToOwned<Owned = K>,
        W: FnOnce() -> F,
        F: Future<Output = V> + Send + 'static,
    {
        let work = || {
            let work = work();
            async { Ok::<_, Infallible>(work.await) }
        };
        let Ok(value) = self.try_run(key, work).await;
        value
    }

    /// [`run`](Self::run) for work that may fail. An error reaches every caller of its execution and is never kept.
    ///
    /// Callers of one key should agree on `E`: an error of another type is not understood, and the caller runs its own
    /// work.
    pub async fn try_run<Q, W, F, E>(&self, key: &Q, work: W) -> Result<V, E>
    where
        K: Borrow<Q>,
        Q: ?Sized + Hash + Eq + ToOwned<Owned = K>,
        W: FnOnce() -> F,
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        end(&self.coalescing, self.board(key), work).await
    }

    fn board<Q>(&self, key: &Q) -> Result<Result<V, Fault>, Boarding<K, AnyFault<V>>>
    where
        K: Borrow<Q>,
        Q: ?Sized + Hash + Eq + ToOwned<Owned = K>,
    {
        call::begin(&self.coalescing, &ByRef(key), false)
    }

    /// Forgets a key: its value is gone, and what is in the air will not be kept nor joined. Returns whether there was
    /// anything.
    pub fn forget<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: ?Sized + Hash + Eq + ToOwned<Owned = K>,
    {
        self.coalescing.invalidate(&ByRef(key))
    }

    /// Forgets every key. Returns how many there were.
    pub fn forget_all(&self) -> usize {
        self.coalescing.clear()
    }

    /// What it did so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.coalescing.stats()
    }
}

/// The rest of a call whose work may fail with any error, of its own type or not.
pub(crate) async fn end<K, V, W, F, E>(
    coalescing: &Coalescing<K, AnyFault<V>>,
    boarded: Result<Result<V, Fault>, Boarding<K, AnyFault<V>>>,
    work: W,
) -> Result<V, E>
where
    K: Key,
    V: Shareable,
    W: FnOnce() -> F,
    F: Future<Output = Result<V, E>> + Send + 'static,
    E: Clone + Send + Sync + 'static,
{
    let work = || {
        let work = work();
        async { work.await.map_err(|error| Arc::new(error) as Fault) }
    };
    let understood = |fault: &Fault| fault.downcast_ref::<E>().cloned();
    // Another caller's error of another type: this one's own work says what it has to say, unshared.
    let own_way = async |body: Moved<Result<V, Fault>>| {
        count(&coalescing.counters.retries);
        let result = call::in_body(body).await;
        if let Ok(value) = &result {
            coalescing.counters.spent(coalescing.hooks.price_of(value));
        }
        if let Some(note) = Note::current() {
            note.take_down(Outcome::Executed);
        }
        result.map_err(|fault| understood(&fault).expect("its own error is an `E`"))
    };
    let mut call = match boarded {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(kept)) => match understood(&kept) {
            Some(error) => return Err(error),
            None => return own_way(Box::pin(work())).await,
        },
        Err(boarding) => boarding.fly(work),
    };
    let fault = match (&mut call).await {
        Ok(value) => return Ok(value),
        Err(fault) => fault,
    };
    match (understood(&fault), call.into_body()) {
        (Some(error), _) => Err(error),
        (None, Some(work)) => own_way(work()).await,
        (None, None) => {
            panic!("the work ran on a runtime that shut down, and another caller's error is not an `E`")
        }
    }
}

/// A [`Coalescer`] in the making.
#[must_use = "a coalescer is made by `build`"]
pub struct CoalescerBuilder<K, V> {
    name: Option<&'static str>,
    options: Options,
    cache_if: Option<fn(&V) -> bool>,
    cost: Option<fn(&V) -> f64>,
    keys: PhantomData<fn(K)>,
}

impl<K, V> fmt::Debug for CoalescerBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoalescerBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<K: Key, V: Shareable> CoalescerBuilder<K, V> {
    /// Lists it in [`all_stats`](crate::all_stats) as `coalescer::name`, and lets the configuration override the
    /// namespace `coalescer`. Without a name it is not listed and not configured.
    pub fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// How long a value is kept. Without it, or with zero, none is.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options = self.options.ttl(ttl);
        self
    }

    /// How many values are kept, at least 1. Default 1,000.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.options = self.options.capacity(capacity);
        self
    }

    /// Keeps only values that pass.
    pub fn cache_if(mut self, cache_if: fn(&V) -> bool) -> Self {
        self.cache_if = Some(cache_if);
        self
    }

    /// What each value cost, in a unit of your own: finite and not negative, or it counts as 0. The statistics say what was
    /// spent and saved.
    pub fn cost(mut self, cost: fn(&V) -> f64) -> Self {
        self.cost = Some(cost);
        self
    }

    /// Lets work that nobody waits for any more go on to its end.
    pub fn finish_abandoned(mut self) -> Self {
        self.options = self.options.finish_abandoned();
        self
    }

    /// Makes the coalescer.
    #[must_use]
    pub fn build(self) -> Coalescer<K, V> {
        let hooks = self.cache_if.map_or(Hooks::new(), |cache_if| Hooks::new().cache_if(cache_if));
        let hooks = self.cost.map_or(hooks, |cost| hooks.price(cost));
        let coalescing = if let Some(name) = self.name {
            registry::current().create("coalescer", name, &self.options, hooks, (0, TypeId::of::<K>()))
        } else {
            Coalescing::new("coalescer".into(), Policy::new(&self.options.settings, &self.options, false), hooks, None)
        };
        Coalescer { coalescing }
    }
}

/// Calls may be made from tasks.
const _: fn(Coalescer<u8, u8>) = |coalescer| {
    fn is_send<T: Send>(_: T) {}
    is_send(coalescer.run(&1, || async { 1 }));
    is_send(coalescer.try_run(&1, || async { Ok::<_, u8>(1) }));
};
