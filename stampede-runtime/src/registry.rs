//! Every function that has been called: its state, its name, its statistics.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::thread::ThreadId;
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::Notify;
use tokio::task::JoinSet;

#[cfg(feature = "test-util")]
use crate::clock::Hand;
use crate::coalescer::{Coalescing, Function};
use crate::config::{Config, ConfigError};
use crate::hooks::{Hooks, Place};
use crate::key::Key;
use crate::outside::Outside;
use crate::policy::{Options, Policy};
use crate::share::Share;
use crate::stats::Stats;

/// The state of functions, by site and instantiation. There is one for the process, and one more for each
/// [`testing::isolate`](crate::testing::isolate) in force.
#[derive(Default)]
pub(crate) struct Registry {
    /// `None`: a function was called before there was one.
    config: OnceLock<Option<Config>>,
    states: RwLock<HashMap<StateKey, State>>,
    functions: Mutex<BTreeMap<String, Vec<Weak<dyn Function>>>>,
    /// Those that nobody can reach any more, and that have something under way.
    leaving: Mutex<Vec<State>>,
    /// Whose each place outside is.
    places: Mutex<HashMap<(String, u32), StateKey>>,
    /// What is outside of each function: an `Outside` of its values. It may be cleared before the function is called.
    outsides: Mutex<HashMap<StateKey, Arc<dyn Any + Send + Sync>>>,
    /// Invalidations of many keys that are under way.
    walks: Mutex<Vec<Arc<Walk>>>,
    /// The clock, if a test has taken it in hand.
    #[cfg(feature = "test-util")]
    hand: OnceLock<Arc<Hand>>,
    /// What would run on the helper runs there, for a host of a test.
    #[cfg(feature = "test-util")]
    pub(crate) runtime: OnceLock<Handle>,
}

/// Tells a function that a walk is over, and whether its keys were taken out.
pub(crate) type EndWalk = Box<dyn FnOnce(bool) + Send>;

/// An invalidation of many keys, of functions whose names begin so.
pub(crate) struct Walk {
    below: String,
    /// All of their keys, and not only readable ones that match.
    is_whole: bool,
    /// What tells each function that it is over.
    begun: Mutex<Vec<EndWalk>>,
}

impl Walk {
    fn begin(&self, name: &str, function: &dyn Function) {
        if name.starts_with(&self.below) {
            self.begun.lock().unwrap_or_else(PoisonError::into_inner).extend(function.begin_walk(self.is_whole));
        }
    }
}

/// A site's address and the type that tells its instantiations apart.
pub(crate) type StateKey = (usize, TypeId);

/// A `Coalescing` of some key and result.
type State = Arc<dyn Function>;

static GLOBAL: LazyLock<Arc<Registry>> = LazyLock::new(Arc::default);

impl Registry {
    fn functions(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Weak<dyn Function>>>> {
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leaving(&self) -> MutexGuard<'_, Vec<State>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets those that nobody can reach any more and that have nothing under way.
    fn let_go(&self) {
        // Dropped without the lock: they have values.
        let gone: Vec<State> = self.leaving().extract_if(.., |state| state.in_flight() == 0).collect();
        drop(gone);
    }

    /// The functions that are alive, by name.
    pub(crate) fn alive(&self) -> Vec<(String, Arc<dyn Function>)> {
        self.let_go();
        let functions = self.functions();
        let each = |(name, states): (&String, &Vec<Weak<dyn Function>>)| {
            states.iter().filter_map(|state| Some((name.clone(), state.upgrade()?))).collect::<Vec<_>>()
        };
        functions.iter().flat_map(each).collect()
    }

    /// Creates the state of a function and lists it under `namespace::function`.
    pub(crate) fn create<K: Key, S: Share>(
        &self,
        namespace: &str,
        function: &str,
        options: &Options,
        hooks: Hooks<S>,
        owner: StateKey,
    ) -> Arc<Coalescing<K, S>> {
        let name = format!("{namespace}::{function}");
        let (policy, outside) = self.policy(namespace, function, options, hooks, owner);
        let state = Coalescing::<K, S>::new(name.as_str().into(), policy, hooks, outside);
        if let Some(outside) = &state.outside {
            outside.listen(Arc::downgrade(&state) as Weak<dyn Function>);
        }
        let mut functions = self.functions();
        let states = functions.entry(name).or_default();
        states.retain(|state| state.strong_count() > 0);
        states.push(Arc::downgrade(&state) as Weak<dyn Function>);
        drop(functions);
        // Listed first: either the walk finds it there, or it finds the walk.
        for walk in self.walks().iter() {
            walk.begin(&state.name, &*state);
        }
        state
    }

    /// What applies to a function, and where its values are kept besides.
    pub(crate) fn policy<S: Share>(
        &self,
        namespace: &str,
        function: &str,
        options: &Options,
        hooks: Hooks<S>,
        owner: StateKey,
    ) -> (Policy, Option<Arc<Outside<S::Value>>>) {
        let config = self.config.get_or_init(|| None).clone().unwrap_or_default();
        let (policy, backend) = config.policy(namespace, options, hooks.can_refuse());
        let make = || {
            if backend.is_none() && !options.semantic {
                return None;
            }
            let version = options.version;
            let function =
                &*options.instance.map_or(function.into(), |types| Cow::from(format!("{function}<{types}>")));
            if hooks.has_tier() && !self.is_the_only_one(&format!("{namespace}::{function}"), version, owner) {
                return None;
            }
            let place = Place {
                namespace,
                function,
                version,
                backend: backend.as_deref(),
                policy: &policy,
                #[cfg(feature = "semantic")]
                embedder: options.embedder.as_ref(),
            };
            hooks.make_tier(&place, &config).map(Outside::new)
        };
        let existing = self.outsides().get(&owner).map(Arc::clone);
        let outside = match existing {
            Some(outside) => outside.downcast().ok(),
            // Outside of the lock, since an embedder is the user's. Who comes second throws its own away.
            None => make().and_then(|outside| {
                let mut outsides = self.outsides();
                Arc::clone(outsides.entry(owner).or_insert(outside)).downcast().ok()
            }),
        };
        (policy, outside)
    }

    fn outsides(&self) -> MutexGuard<'_, HashMap<StateKey, Arc<dyn Any + Send + Sync>>> {
        self.outsides.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no other function is called so, whose values could be taken for this one's outside.
    fn is_the_only_one(&self, name: &str, version: u32, owner: StateKey) -> bool {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let is_only = *places.entry((name.to_owned(), version)).or_insert(owner) == owner;
        if !is_only {
            tracing::error!(
                target: "stampede", function = name,
                "two functions of this name keep values in a backend; the second keeps its own in this process only. Give \
                 one of them another `namespace`",
            );
        }
        is_only
    }

    /// Gives back the places of a state that nobody can reach any more. What it still has under way stays to be waited for.
    pub(crate) fn release(&self, owner: StateKey, state: State) {
        if state.in_flight() > 0 {
            self.leaving().push(state);
        }
        self.places.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, other| *other != owner);
        let outside = self.outsides().remove(&owner);
        drop(outside);
    }

    /// The state of one instantiation of a site, created at its first call.
    pub(crate) fn state(&self, key: StateKey, create: &dyn Fn() -> State) -> State {
        if let Some(state) = self.existing(key) {
            return state;
        }
        // Created outside of the lock, since options run the user's expressions. Who comes second throws its own away.
        let state = create();
        let mut states = self.states.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(states.entry(key).or_insert_with(|| Arc::clone(&state)))
    }

    /// The state of a site if it has been called.
    pub(crate) fn existing(&self, key: StateKey) -> Option<State> {
        self.states.read().unwrap_or_else(PoisonError::into_inner).get(&key).map(Arc::clone)
    }

    fn configure(&self, config: Config) -> Result<(), ConfigError> {
        #[cfg(feature = "backends")]
        match crate::store::problems(&config) {
            problems if problems.is_empty() => (),
            problems => return Err(ConfigError::Invalid(problems)),
        }
        let Err(_) = self.config.set(Some(config)) else { return Ok(()) };
        Err(match self.config.get() {
            Some(None) => ConfigError::TooLate(self.functions().keys().cloned().collect()),
            _ => ConfigError::Twice,
        })
    }

    fn all_stats(&self) -> BTreeMap<String, Stats> {
        let mut all = BTreeMap::<String, Stats>::new();
        for (name, function) in self.alive() {
            all.entry(name).or_default().add(&function.stats());
        }
        all
    }

    pub(crate) fn clear(&self) -> usize {
        self.alive().iter().map(|(_, function)| function.clear()).sum()
    }

    /// The clock, if a test has taken it in hand.
    #[cfg(feature = "test-util")]
    pub(crate) fn hand(&self) -> Option<Arc<Hand>> {
        self.hand.get().map(Arc::clone)
    }

    /// Takes the clock in hand.
    #[cfg(feature = "test-util")]
    pub(crate) fn take_in_hand(&self) -> Arc<Hand> {
        Arc::clone(self.hand.get_or_init(Hand::new))
    }

    /// Returns once nothing is under way.
    pub(crate) async fn drained(&self) {
        let _draining = Draining::begin();
        loop {
            // Listens before it looks, so that no landing in between is missed.
            let ended = ENDED.notified();
            if self.in_flight() == 0 && !self.is_busy() {
                return;
            }
            ended.await;
        }
    }

    /// Whether the clock that a test has in hand has woken somebody who is not done.
    #[cfg(feature = "test-util")]
    fn is_busy(&self) -> bool {
        self.hand.get().is_some_and(|hand| hand.is_busy())
    }

    #[cfg(not(feature = "test-util"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    fn is_busy(&self) -> bool {
        false
    }

    /// The functions of which something is under way, and how much.
    #[cfg(feature = "test-util")]
    pub(crate) fn under_way(&self) -> Vec<(String, usize)> {
        let each = self.alive().into_iter().map(|(name, function)| (name, function.in_flight()));
        each.filter(|(_, under_way)| *under_way > 0).collect()
    }

    fn in_flight(&self) -> usize {
        let of_functions: usize = self.alive().iter().map(|(_, function)| function.in_flight()).sum();
        #[cfg(feature = "backends")]
        let of_backends: usize = self.backends().iter().map(|backend| backend.under_way()).sum();
        #[cfg(not(feature = "backends"))]
        let of_backends = 0;
        of_functions + of_backends
    }

    fn walks(&self) -> MutexGuard<'_, Vec<Arc<Walk>>> {
        self.walks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to take out keys of all functions whose names begin so: from here on none of them reads outside, also those that
    /// are called for the first time meanwhile. Returns the functions there are.
    pub(crate) fn begin_walk(&self, below: String, is_whole: bool) -> (Arc<Walk>, Vec<Arc<dyn Function>>) {
        let walk = Arc::new(Walk { below, is_whole, begun: Mutex::default() });
        self.walks().push(Arc::clone(&walk));
        let functions = self.alive().into_iter().filter(|(name, _)| name.starts_with(&walk.below));
        let functions: Vec<_> = functions.map(|(name, function)| (walk.begin(&name, &*function), function).1).collect();
        (walk, functions)
    }

    pub(crate) fn end_walk(&self, walk: &Arc<Walk>, has_arrived: bool) {
        self.walks().retain(|other| !Arc::ptr_eq(other, walk));
        let begun = std::mem::take(&mut *walk.begun.lock().unwrap_or_else(PoisonError::into_inner));
        for end in begun {
            end(has_arrived);
        }
    }

    /// The backends that are configured.
    #[cfg(feature = "backends")]
    pub(crate) fn backends(&self) -> Vec<Arc<crate::store::Guarded>> {
        self.config.get().and_then(Option::as_ref).map(|config| config.backends.all()).unwrap_or_default()
    }

    /// How long each wait for a backend may be that no function's policy says.
    #[cfg(feature = "backends")]
    pub(crate) fn backend_timeout(&self) -> Duration {
        self.config.get().and_then(Option::as_ref).map_or(crate::policy::BACKEND_TIMEOUT, Config::backend_timeout)
    }
}

/// What a call has to look at before it does what calls do: nothing, when this is 0.
static DETOURS: AtomicU64 = AtomicU64::new(UNREAD);

/// The environment has not been read yet.
const UNREAD: u64 = 1;
/// `STAMPEDE_OFF` is set.
const OFF: u64 = 2;
/// One isolation. There may be many.
const ISOLATION: u64 = 4;
/// One call that is to be something else than calls are, or is watched. There may be many.
const SPECIAL: u64 = 1 << 32;
/// What a call has to look at before it uses the state that its site keeps at hand.
const ELSEWHERE: u64 = SPECIAL - 1;

/// Whether every call is like any other, and may use the state that its site keeps at hand.
#[inline]
pub(crate) fn is_plain() -> bool {
    DETOURS.load(Relaxed) == 0
}

/// Whether every call may use the state that its site keeps at hand.
#[inline]
pub(crate) fn is_at_hand() -> bool {
    DETOURS.load(Relaxed) & ELSEWHERE == 0
}

/// Whether any call may be special.
#[inline]
pub(crate) fn has_specials() -> bool {
    DETOURS.load(Relaxed) >= SPECIAL
}

/// Has all calls look whether they are special, while it lives.
pub(crate) struct Special(());

impl Special {
    pub(crate) fn begin() -> Special {
        // Whoever makes a call in what is special has this behind it.
        DETOURS.fetch_add(SPECIAL, Relaxed);
        Special(())
    }
}

impl Drop for Special {
    fn drop(&mut self) {
        DETOURS.fetch_sub(SPECIAL, Relaxed);
    }
}

/// Whether `STAMPEDE_OFF` switches all sharing off. Read once.
pub(crate) fn is_off() -> bool {
    static IS_OFF: OnceLock<bool> = OnceLock::new();
    *IS_OFF.get_or_init(|| {
        let value = std::env::var_os("STAMPEDE_OFF").unwrap_or_default();
        let off = !(value.is_empty() || value == "0" || value.eq_ignore_ascii_case("false"));
        if off {
            tracing::warn!(target: "stampede", "STAMPEDE_OFF is set: every call runs its own body");
            DETOURS.fetch_add(OFF, Release);
        }
        DETOURS.fetch_sub(UNREAD, Release);
        off
    })
}

/// What an isolation holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Runtime(runtime::Id),
    Thread(ThreadId),
    /// One of several hosts in a test, by its number.
    #[cfg(feature = "test-util")]
    Host(u64),
}

impl Scope {
    /// The one that the calling thread has entered, else the tokio runtime it is in, else the thread.
    pub(crate) fn here() -> Scope {
        let thread = || Scope::Thread(std::thread::current().id());
        let runtime = || Handle::try_current().map_or_else(|_| thread(), |handle| Scope::Runtime(handle.id()));
        ENTERED.get().unwrap_or_else(runtime)
    }

    /// Makes this scope that of the calling thread, whatever runtime it is in.
    pub(crate) fn enter(self) -> Entered {
        Entered { before: ENTERED.replace(Some(self)), stays: PhantomData }
    }

    /// Work that is done in the scope that the calling thread has entered, if it has.
    #[cfg(feature = "test-util")]
    pub(crate) fn within<W: Future>(work: W) -> impl Future<Output = W::Output> {
        let entered = ENTERED.get();
        async move {
            match entered {
                Some(scope) => scope.around(work).await,
                None => work.await,
            }
        }
    }

    /// Work that is done in this scope, wherever it is polled.
    pub(crate) async fn around<W: Future>(self, work: W) -> W::Output {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let _entered = self.enter();
            work.as_mut().poll(cx)
        })
        .await
    }
}

/// A thread's stay in a scope.
pub(crate) struct Entered {
    before: Option<Scope>,
    /// Not `Send`: it ends on its thread.
    stays: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        ENTERED.set(self.before);
    }
}

thread_local! {
    static ENTERED: Cell<Option<Scope>> = const { Cell::new(None) };
}

static ISOLATED: RwLock<Vec<(Scope, Arc<Registry>)>> = RwLock::new(Vec::new());

/// The registry for the caller: that of an isolation, else the process's.
pub(crate) fn current() -> Arc<Registry> {
    if DETOURS.load(Acquire) & ELSEWHERE >= ISOLATION {
        let here = Scope::here();
        let isolated = ISOLATED.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, registry)) = isolated.iter().find(|(scope, _)| *scope == here) {
            return Arc::clone(registry);
        }
    }
    Arc::clone(&GLOBAL)
}

/// The runtime of the host that the caller is in, if it is in one.
#[cfg(feature = "test-util")]
pub(crate) fn runtime_of_host() -> Option<Handle> {
    matches!(ENTERED.get(), Some(Scope::Host(_))).then(|| current().runtime.get().cloned())?
}

/// Whether the caller's registry is the process's.
pub(crate) fn is_global(registry: &Arc<Registry>) -> bool {
    Arc::ptr_eq(registry, &GLOBAL)
}

/// Gives a scope a registry of its own, unless it has one already.
pub(crate) fn isolate(scope: Scope, config: Config) -> Option<Arc<Registry>> {
    let registry = Registry::default();
    // A new registry has no configuration yet.
    let _ = registry.config.set(Some(config));
    let mut isolated = ISOLATED.write().unwrap_or_else(PoisonError::into_inner);
    if isolated.iter().any(|(taken, _)| *taken == scope) {
        return None;
    }
    let registry = Arc::new(registry);
    isolated.push((scope, Arc::clone(&registry)));
    DETOURS.fetch_add(ISOLATION, Release);
    Some(registry)
}

/// Ends a scope's isolation. Its values are dropped.
pub(crate) fn end_isolation(scope: Scope) {
    let mut isolated = ISOLATED.write().unwrap_or_else(PoisonError::into_inner);
    let ended = isolated.iter().position(|(taken, _)| *taken == scope).map(|at| isolated.swap_remove(at));
    drop(isolated);
    if let Some((_, registry)) = ended {
        DETOURS.fetch_sub(ISOLATION, Release);
        // Also those that a flight or a waiter still holds.
        registry.clear();
    }
}

/// Gives the process its configuration. Call it once, before the first call of a decorated function.
///
/// # Errors
/// [`ConfigError::Twice`], or [`ConfigError::TooLate`] when functions have been called without it.
pub fn configure(config: Config) -> Result<(), ConfigError> {
    current().configure(config)
}

/// The statistics of every function that has been called, by `namespace::function`.
///
/// Instantiations of one generic function are added up, and so are functions that have one name.
#[must_use]
pub fn all_stats() -> BTreeMap<String, Stats> {
    current().all_stats()
}

/// Invalidates everything that every function and every named [`Coalescer`](crate::Coalescer) has in this process: kept
/// values are dropped, and what is in the air is neither kept nor joined any more. What backends keep stays there:
/// `clear` of each function takes that out.
///
/// Returns how many keys there were.
pub fn clear_all() -> usize {
    current().clear()
}

/// Sets all counters to zero. What is in flight or kept stays.
pub fn reset_stats() {
    for (_, function) in current().alive() {
        function.reset_stats();
    }
}

static ENDED: Notify = Notify::const_new();

/// How many wait for flights to end. Landings look here first, since almost always nobody does.
static DRAINING: AtomicUsize = AtomicUsize::new(0);

/// Called after every landing has been counted.
pub(crate) fn a_flight_ended() {
    if DRAINING.load(SeqCst) > 0 {
        ENDED.notify_waiters();
    }
}

/// Has landings wake those who wait for them.
struct Draining;

impl Draining {
    fn begin() -> Draining {
        DRAINING.fetch_add(1, SeqCst);
        Draining
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        DRAINING.fetch_sub(1, SeqCst);
    }
}

/// Waits until no execution of a function or a named [`Coalescer`](crate::Coalescer) is under way, and nothing is on its
/// way to a backend, for at most `deadline`. Returns how many still are. What this process then still holds outside, the
/// leases of executions that go on, is given back, so that other processes need not wait for them: that takes as long as one
/// answer of the backend, at most its `backend_timeout`.
///
/// Call it when the service stops taking requests: what runs on with `on_abandon = "finish"` gets its time.
///
/// **Cancel**: dropping the future stops the waiting and nothing else.
pub async fn shutdown(deadline: Duration) -> usize {
    let registry = current();
    // Running out of time is an answer too: the number below.
    let _ = tokio::time::timeout(deadline, registry.drained()).await;
    let mut given_back = JoinSet::new();
    for (_, function) in registry.alive() {
        for work in function.give_back() {
            given_back.spawn(work);
        }
    }
    given_back.join_all().await;
    registry.in_flight()
}
