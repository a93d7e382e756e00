//! A decorated function: its static, and what its expansion says about it.

use std::any::{Any, TypeId};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::oneshot::Receiver;

use crate::call;
use crate::carry::Carry;
use crate::coalescer::{Coalescing, Function, How, Missed};
use crate::error::Error;
use crate::fly::Boarding;
use crate::hooks::Hooks;
use crate::invalidation::{Invalidation, Later};
use crate::key::{Key, Look};
use crate::outside::Outside;
use crate::pattern::Pattern;
use crate::policy::Options;
use crate::registry::{self, Special};
use crate::share::{IntoResult, Share};
use crate::stats::Stats;
use crate::tags::Tag;
use crate::verdict::Verify;

/// The static of one decorated function. It has no type parameters, because a static in a generic function is one for
/// all instantiations; what tells those apart is the type of the options' closure, the *marker*.
pub struct Site {
    module: &'static str,
    function: &'static str,
    /// The state of the instantiation that was called first, which in most functions is the only one.
    first: OnceLock<(TypeId, Arc<dyn Function>)>,
}

impl Site {
    /// A function that has not been called.
    #[must_use]
    pub const fn new(module: &'static str, function: &'static str) -> Site {
        Site { module, function, first: OnceLock::new() }
    }

    /// Keeps a state at hand, if it is the first. Not generic, so that it is compiled here and not once for each function.
    fn set_first(&self, marker: TypeId, state: &Arc<dyn Function>) {
        self.first.get_or_init(|| (marker, Arc::clone(state)));
    }

    fn id(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// One instantiation of a decorated function, as its expansion describes it.
///
/// `M`: the closure that gives the options, called once. `S`: how results are shared.
#[derive(Clone, Copy)]
pub struct Here<M, S: Share> {
    site: &'static Site,
    options: M,
    hooks: Hooks<S>,
}

#[expect(clippy::needless_pass_by_value, reason = "a key is made for one call, and generated code keeps none")]
impl<M, S> Here<M, S>
where
    M: Fn() -> Options + Copy + Send + Sync + 'static,
    S: Share,
{
    /// `options` must be a closure written in the function.
    #[inline]
    #[must_use]
    pub fn new(site: &'static Site, options: M, _share: S) -> Self {
        Here { site, options, hooks: Hooks::new() }
    }

    /// Keeps only values that pass.
    #[inline]
    #[must_use]
    pub fn cache_if(mut self, cache_if: fn(&S::Value) -> bool) -> Self {
        self.hooks = self.hooks.cache_if(cache_if);
        self
    }

    /// How long each value is kept.
    #[inline]
    #[must_use]
    pub fn ttl(mut self, ttl: fn(&S::Value) -> Duration) -> Self {
        self.hooks = self.hooks.ttl(ttl);
        self
    }

    /// How long each error is kept.
    #[inline]
    #[must_use]
    pub fn cache_err(mut self, cache_err: fn(&S::Fault) -> Duration) -> Self {
        self.hooks = self.hooks.cache_err(cache_err);
        self
    }

    /// Asks that there are errors to keep.
    #[inline]
    #[must_use]
    pub fn errs(self, _: fn(&S::Output) -> bool) -> Self {
        self
    }

    /// Which values `none_ttl` is for.
    #[inline]
    #[must_use]
    pub fn is_none(mut self, is_none: fn(&S::Value) -> bool) -> Self {
        self.hooks = self.hooks.is_none(is_none);
        self
    }

    /// What each value counts against the capacity, at least 1.
    #[inline]
    #[must_use]
    pub fn weigh(mut self, weigh: fn(&S::Value) -> usize) -> Self {
        self.hooks = self.hooks.weigh(weigh);
        self
    }

    /// Who is asked whether near questions mean the same.
    #[inline]
    #[must_use]
    pub fn verify(mut self, verify: Verify<S::Value>) -> Self {
        self.hooks = self.hooks.verify(verify);
        self
    }

    /// Whether what was served and what is executed agree.
    #[inline]
    #[must_use]
    pub fn agree(mut self, agree: fn(&S::Value, &S::Value) -> bool) -> Self {
        self.hooks = self.hooks.agree(agree);
        self
    }

    /// Values are kept in a backend, too.
    #[cfg(feature = "backends")]
    #[must_use]
    pub fn stored(mut self) -> Self
    where
        S::Value: crate::store::Storable,
    {
        self.hooks = self.hooks.tier(crate::store::Stored::make);
        self
    }

    /// Calls are compared by their meaning.
    #[cfg(feature = "semantic")]
    #[must_use]
    pub fn meant(mut self) -> Self
    where
        S::Value: crate::store::Storable,
    {
        self.hooks = self.hooks.tier(crate::semantic::Meant::make);
        self
    }

    /// Tells that they cannot be.
    #[cfg(not(feature = "semantic"))]
    #[must_use]
    pub fn meant(self) -> Self
    where
        S: Meant,
    {
        self
    }

    /// Tells that it cannot be.
    #[cfg(not(feature = "backends"))]
    #[must_use]
    pub fn stored(self) -> Self
    where
        S: Stored,
    {
        self
    }

    /// What each value cost.
    #[inline]
    #[must_use]
    pub fn cost(mut self, cost: fn(&S::Value) -> f64) -> Self {
        self.hooks = self.hooks.price(cost);
        self
    }

    /// How errors cross to other processes.
    #[inline]
    #[must_use]
    pub fn carried(mut self, carry: Carry<S::Fault>) -> Self {
        self.hooks = self.hooks.carry(carry);
        self
    }

    /// How a refused call ends.
    #[inline]
    #[must_use]
    pub fn refuse(mut self, refuse: fn(Error) -> S::Output) -> Self {
        self.hooks = self.hooks.refuse(refuse);
        self
    }

    /// Begins a call: a kept value, or what has to be awaited. Apart, so that a hit moves nothing but its value.
    #[inline(always)]
    pub fn board<L: Look>(self, key: L) -> Result<S::Output, Boarding<L::Own, S>> {
        // A value with a cost is looked at more closely, since a hit on it is worth something.
        if registry::is_plain()
            && !self.hooks.has_price()
            && let Some(state) = self.state_here()
        {
            match state.hit(&key) {
                Ok(output) => Ok(output),
                Err(missed) => Err(Self::miss(state, &key.again(), missed)),
            }
        } else {
            self.detour(&key.again())
        }
    }

    #[cold]
    #[inline(never)]
    fn miss<L: Look>(state: &Coalescing<L::Own, S>, key: &L, missed: Missed<L::Own, S>) -> Boarding<L::Own, S> {
        Boarding::call(state.board(key, missed), state.id_of(key))
    }

    /// [`board`](Self::board) while something out of the ordinary is the case somewhere.
    #[cold]
    #[inline(never)]
    fn detour<L: Look>(self, key: &L) -> Result<S::Output, Boarding<L::Own, S>> {
        let is_refresh = REFRESHING.get() == Some(self.site.id());
        if is_refresh {
            // The rest of the call, which may be its whole body, is like any other.
            REFRESHING.set(None);
        }
        self.with(|state| call::begin(state, key, is_refresh))
    }

    /// Makes a call of this function a refresh.
    pub async fn refreshing<F: Future<Output = S::Output>>(self, call: F) -> S::Output {
        let mut call = pin!(call);
        let mut first = true;
        poll_fn(|cx| {
            let _refreshing = std::mem::take(&mut first).then(|| Refreshing::begin(self.site));
            call.as_mut().poll(cx)
        })
        .await
    }

    /// The same for a sync function.
    pub fn refreshing_now(self, call: impl FnOnce() -> S::Output) -> S::Output {
        let _refreshing = Refreshing::begin(self.site);
        call()
    }

    /// What a call would be answered with from memory.
    pub fn peek<L: Look>(self, key: L) -> Option<S::Output> {
        self.with(|state: &Coalescing<L::Own, S>| state.peek(&key))
    }

    /// What values are tagged with besides what their calls say.
    #[inline]
    #[must_use]
    pub fn tags(mut self, tags: fn(&S::Value) -> Vec<Tag>) -> Self {
        self.hooks = self.hooks.tags(tags);
        self
    }

    /// Keeps a result as though a body had returned it, under the same conditions.
    pub fn insert<L: Look>(self, key: L, result: impl IntoResult<S::Output>) {
        self.insert_tagged(key, result, Vec::new());
    }

    /// The same with the tags of the call.
    pub fn insert_tagged<L: Look>(self, key: L, result: impl IntoResult<S::Output>, tags: Vec<Tag>) {
        // An error is never kept.
        let Ok(value) = S::split(result.into_result()) else { return };
        self.with(|state| state.give(&key, value, None, tags, |_| ()));
    }

    /// Takes a key out.
    pub fn invalidate<L: Look>(self, key: L) -> Invalidation {
        self.with(|state: &Coalescing<L::Own, S>| state.forget_key(&key, How::Remove))
    }

    /// The same, later.
    pub fn invalidation<L: Look>(self, key: L) -> Later {
        self.with(|state: &Coalescing<L::Own, S>| state.forget_key_later(&key))
    }

    /// Makes what is kept of a key old: past its `ttl` and its `stale` time. What is in the air is taken out.
    pub fn expire<L: Look>(self, key: L) -> Invalidation {
        self.with(|state: &Coalescing<L::Own, S>| state.forget_key(&key, How::Expire))
    }

    /// Takes out the keys whose kept results `is` picks, and all that is in the air.
    pub fn invalidate_where(self, is: impl Fn(&S::Output) -> bool) -> usize {
        let Some(state) = self.existing() else { return 0 };
        state.take_out_values(&|value| value.downcast_ref().is_some_and(|value| is(&S::value(value))))
    }

    /// Takes out the readable keys that match.
    pub fn invalidate_pattern(self, pattern: &str) -> Invalidation {
        let pattern = Pattern::new(pattern);
        match self.existing() {
            Some(state) => state.take_out_matching_everywhere(&pattern),
            None => self.never_called(|outside| outside.begin_matching().clear_matching(&pattern, &outside.home())),
        }
    }

    /// Takes every key out.
    pub fn clear(self) -> Invalidation {
        match self.existing() {
            Some(state) => state.clear_all(),
            None => self.never_called(|outside| outside.begin_clear().clear(&outside.home())),
        }
    }

    /// Nothing is in memory. What other processes have made may be outside.
    #[cold]
    fn never_called(
        self,
        take_out: impl FnOnce(&Arc<Outside<S::Value>>) -> Receiver<Result<(), Error>>,
    ) -> Invalidation {
        let outside = self.hooks.has_tier().then(|| {
            let options = (self.options)();
            let namespace = options.namespace.unwrap_or(self.site.module);
            let (function, key) = (self.site.function, self.key());
            let (_, outside) = registry::current().policy(namespace, function, &options, self.hooks, key);
            Some(take_out(&outside?))
        });
        Invalidation::new(0, outside.flatten())
    }

    /// The function's statistics.
    pub fn stats(self) -> Stats {
        self.existing().map(|state| state.stats()).unwrap_or_default()
    }

    fn key(self) -> (usize, TypeId) {
        (self.site.id(), TypeId::of::<M>())
    }

    /// The state, if the instantiation has been called.
    fn existing(self) -> Option<Arc<dyn Function>> {
        registry::current().existing(self.key())
    }

    /// The state, where the site keeps it at hand.
    #[inline(always)]
    fn at_hand<K: Key>(self) -> Option<&'static Coalescing<K, S>> {
        if registry::is_at_hand() { self.state_here() } else { None }
    }

    /// The state that the site keeps, if that is this instantiation's.
    #[inline(always)]
    fn state_here<K: Key>(self) -> Option<&'static Coalescing<K, S>> {
        let (marker, state) = self.site.first.get()?;
        if *marker == TypeId::of::<M>() { (&**state as &dyn Any).downcast_ref() } else { None }
    }

    /// Calls `act` with the instantiation's state.
    fn with<K: Key, R>(self, act: impl FnOnce(&Coalescing<K, S>) -> R) -> R {
        match self.at_hand() {
            Some(state) => act(state),
            None => act(&self.find()),
        }
    }

    #[cold]
    #[inline(never)]
    fn find<K: Key>(self) -> Arc<Coalescing<K, S>> {
        registry::is_off();
        let registry = registry::current();
        let state = registry.state(self.key(), &|| {
            let options = (self.options)();
            let namespace = options.namespace.unwrap_or(self.site.module);
            registry.create::<K, S>(namespace, self.site.function, &options, self.hooks, self.key())
        });
        if registry::is_global(&registry) {
            self.site.set_first(TypeId::of::<M>(), &state);
        }
        let Ok(state) = (state as Arc<dyn Any + Send + Sync>).downcast() else {
            // A marker is one place in the source, which has one key and one result.
            unreachable!("`{}` has two types of key or result", self.site.function)
        };
        state
    }
}

/// Tells what to do where backends are not compiled in.
#[cfg(not(feature = "backends"))]
#[diagnostic::on_unimplemented(
    message = "`backend` and `#[distributed_coalesce]` need the feature `backends` of `stampede-runtime`",
    label = "a value is to be kept in a backend here",
    note = "write `stampede-runtime = {{ version = \"…\", features = [\"backends\"] }}` in Cargo.toml"
)]
pub trait Stored {}

/// Tells what to do where meanings are not compiled in.
#[cfg(not(feature = "semantic"))]
#[diagnostic::on_unimplemented(
    message = "`#[semantic_coalesce]` needs the feature `semantic` of `stampede-runtime`",
    label = "meanings are to be compared here",
    note = "write `stampede-runtime = {{ version = \"…\", features = [\"semantic\"] }}` in Cargo.toml"
)]
pub trait Meant {}

thread_local! {
    /// The site whose next call on this thread is to be a refresh: set around that call's first poll.
    static REFRESHING: Cell<Option<usize>> = const { Cell::new(None) };
}

struct Refreshing {
    before: Option<usize>,
    _special: Special,
}

impl Refreshing {
    fn begin(site: &'static Site) -> Refreshing {
        Refreshing { _special: Special::begin(), before: REFRESHING.replace(Some(site.id())) }
    }
}

impl Drop for Refreshing {
    fn drop(&mut self) {
        REFRESHING.set(self.before);
    }
}
