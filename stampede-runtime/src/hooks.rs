//! What a function says about its results, besides its policy.

use std::sync::Arc;
use std::time::Duration;

use crate::carry::Carry;
use crate::clock::{Moment, Stopwatch};
use crate::config::Config;
use crate::error::Error;
use crate::policy::Policy;
use crate::share::Share;
use crate::tags::Tag;
use crate::tier::{Found, Life, Origin, Tier};
use crate::verdict::{Agree, Verify};

/// Function pointers, so that calls stay small.
pub(crate) struct Hooks<S: Share> {
    cache_if: Option<fn(&S::Value) -> bool>,
    ttl: Option<fn(&S::Value) -> Duration>,
    cache_err: Option<fn(&S::Fault) -> Duration>,
    is_none: Option<fn(&S::Value) -> bool>,
    weigh: Option<fn(&S::Value) -> usize>,
    price: Option<fn(&S::Value) -> f64>,
    tags: Option<TagsOf<S::Value>>,
    refuse: Option<fn(Error) -> S::Output>,
    tier: Option<MakeTier<S::Value>>,
    carry: Option<Carry<S::Fault>>,
    #[cfg_attr(not(feature = "semantic"), allow(dead_code, reason = "for meanings"))]
    pub(crate) verify: Option<Verify<S::Value>>,
    #[cfg_attr(not(feature = "semantic"), allow(dead_code, reason = "for meanings"))]
    pub(crate) agree: Option<Agree<S::Value>>,
}

/// The tags that a value says.
pub(crate) type TagsOf<V> = fn(&V) -> Vec<Tag>;

/// Makes the tier outside of this process that a function named.
pub(crate) type MakeTier<V> = fn(&Place<'_>, &Config) -> Option<Arc<dyn Tier<V>>>;

/// Where in it.
#[cfg_attr(not(feature = "backends"), expect(dead_code, reason = "for backends"))]
pub(crate) struct Place<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) function: &'a str,
    pub(crate) version: u32,
    /// As the function or its configuration names it.
    pub(crate) backend: Option<&'a str>,
    pub(crate) policy: &'a Policy,
    #[cfg(feature = "semantic")]
    pub(crate) embedder: Option<&'a Arc<dyn crate::semantic::Embedder>>,
}

#[expect(clippy::expl_impl_clone_on_copy, reason = "a derive would ask it of the result too")]
impl<S: Share> Clone for Hooks<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Share> Copy for Hooks<S> {}

impl<S: Share> Default for Hooks<S> {
    fn default() -> Self {
        Hooks::new()
    }
}

/// A builder's methods.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty),* $(,)?) => {$(
        $(#[$doc])*
        #[must_use]
        pub(crate) const fn $name(mut self, $name: $type) -> Self {
            self.$name = Some($name);
            self
        }
    )*};
}

impl<S: Share> Hooks<S> {
    /// Nothing is said.
    #[must_use]
    pub(crate) const fn new() -> Self {
        Hooks {
            cache_if: None,
            ttl: None,
            cache_err: None,
            is_none: None,
            weigh: None,
            price: None,
            tags: None,
            refuse: None,
            tier: None,
            carry: None,
            verify: None,
            agree: None,
        }
    }

    setters! {
        /// Keeps only values that pass.
        cache_if: fn(&S::Value) -> bool,
        /// How long each value is kept. Zero: not at all.
        ttl: fn(&S::Value) -> Duration,
        /// How long each error is kept. Zero: not at all.
        cache_err: fn(&S::Fault) -> Duration,
        /// Whether a value is the one that `none_ttl` is for.
        is_none: fn(&S::Value) -> bool,
        /// What each value counts against the capacity, at least 1.
        weigh: fn(&S::Value) -> usize,
        /// What each value cost, as the function's `cost` says.
        price: fn(&S::Value) -> f64,
        /// What it is tagged with besides what its call says.
        tags: TagsOf<S::Value>,
        /// How a call that is refused or timed out ends.
        refuse: fn(Error) -> S::Output,
        /// How the tier outside of this process is made.
        #[cfg_attr(not(feature = "backends"), allow(dead_code, reason = "for backends"))]
        tier: MakeTier<S::Value>,
        /// How errors cross to other processes.
        carry: Carry<S::Fault>,
        /// Who is asked whether near questions mean the same.
        verify: Verify<S::Value>,
        /// Whether what was served and what is executed agree.
        agree: Agree<S::Value>,
    }

    /// Whether values may be kept outside of this process.
    pub(crate) fn has_tier(&self) -> bool {
        self.tier.is_some()
    }

    pub(crate) fn make_tier(&self, place: &Place<'_>, config: &Config) -> Option<Arc<dyn Tier<S::Value>>> {
        self.tier.and_then(|make| make(place, config))
    }

    /// The bytes of an error for other processes, at most so many. `None`: it cannot be carried there.
    pub(crate) fn pack(&self, fault: &S::Fault, limit: usize) -> Option<Vec<u8>> {
        self.carry.and_then(|carry| carry.pack(fault, limit))
    }

    /// The error that another process packed.
    pub(crate) fn unpack(&self, bytes: &[u8]) -> Option<S::Fault> {
        self.carry.and_then(|carry| carry.unpack(bytes))
    }

    /// Whether calls can be refused.
    pub(crate) fn can_refuse(&self) -> bool {
        self.refuse.or(S::REFUSE).is_some()
    }

    /// The end of a call that gets no result: an error where the function can return one, else a panic.
    pub(crate) fn refused(&self, error: Error) -> S::Output {
        match self.refuse.or(S::REFUSE) {
            Some(refuse) => refuse(error),
            None => panic!("{error}"),
        }
    }

    /// Whether values say tags.
    pub(crate) fn has_tags(&self) -> bool {
        self.tags.is_some()
    }

    /// The tags that a value says.
    pub(crate) fn tags_of(&self, value: &S::Value) -> Vec<Tag> {
        self.tags.map(|tags| tags(value)).unwrap_or_default()
    }

    /// Whether values have a weight each.
    pub(crate) fn weighs(&self) -> bool {
        self.weigh.is_some()
    }

    /// Whether values have a cost each.
    pub(crate) fn has_price(&self) -> bool {
        self.price.is_some()
    }

    /// What a value cost: finite and not negative. `None`: nobody says.
    pub(crate) fn price_of(&self, value: &S::Value) -> Option<f64> {
        let price = self.price?(value);
        Some(if price.is_finite() { price.max(0.0) } else { 0.0 })
    }

    /// For how long a value is fresh that was just made. `None`: it is not kept.
    fn fresh_for(&self, value: &S::Value, policy: &Policy) -> Option<Duration> {
        if policy.keeps_nothing() {
            return None;
        }
        let none_ttl = policy.none_ttl.filter(|_| self.is_none.is_some_and(|is_none| is_none(value)));
        let of_value = || self.ttl.filter(|_| !policy.ttl_is_overridden).map(|ttl| ttl(value));
        let ttl = none_ttl.or_else(of_value).or(policy.ttl).filter(|ttl| !ttl.is_zero())?;
        self.cache_if.is_none_or(|cache_if| cache_if(value)).then_some(ttl)
    }

    fn weight(&self, value: &S::Value) -> u32 {
        self.weigh.map_or(1, |weigh| u32::try_from(weigh(value)).unwrap_or(u32::MAX).max(1))
    }

    /// How a value is kept that was found outside.
    pub(crate) fn keeping_found(&self, found: &Found<S::Value>, policy: &Policy) -> Keeping {
        let keeping = Keeping::found(found.age, found.made, found.cost, self.weight(&found.value), policy);
        // Another question's answer is never old, and not renewed early: that is its own question's affair.
        let calm_until = if found.origin.near().is_some() { keeping.expires } else { keeping.calm_until };
        Keeping { origin: found.origin, calm_until, ..keeping }
    }

    /// How a value is kept that was just made. `cost`: how long that took.
    pub(crate) fn keeping(&self, value: &S::Value, cost: Duration, policy: &Policy) -> Keeping {
        let Some(ttl) = self.fresh_for(value, policy) else { return Keeping { cost, ..Keeping::NOT } };
        Keeping { weight: self.weight(value), ..Keeping::new(jittered(ttl, policy.jitter), cost, policy) }
    }

    /// How a value is kept that is given, for so long if that is said.
    pub(crate) fn keeping_given(&self, value: &S::Value, ttl: Option<Duration>, policy: &Policy) -> Keeping {
        let Some(ttl) = ttl.filter(|_| !policy.ttl_is_overridden) else {
            return self.keeping(value, Duration::ZERO, policy);
        };
        if ttl.is_zero() || self.cache_if.is_some_and(|cache_if| !cache_if(value)) {
            return Keeping::NOT;
        }
        Keeping { weight: self.weight(value), ..Keeping::new(jittered(ttl, policy.jitter), Duration::ZERO, policy) }
    }

    /// How an error is kept that was just returned.
    pub(crate) fn keeping_fault(&self, fault: &S::Fault, policy: &Policy) -> Keeping {
        let of_fault = self.cache_err.filter(|_| !policy.cache_err_is_overridden).map(|ttl| ttl(fault));
        match of_fault.or(policy.cache_err).filter(|ttl| !ttl.is_zero() && !policy.keeps_nothing()) {
            Some(ttl) => {
                let made = Moment::now();
                let expires = made.after(jittered(ttl, policy.jitter));
                Keeping { expires, calm_until: expires, made, weight: 1, ..Keeping::NOT }
            }
            None => Keeping::NOT,
        }
    }
}

/// How something is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    /// Fresh until then. [`Moment::PAST`]: not kept.
    pub(crate) expires: Moment,
    /// Until then, nothing about it has to be decided.
    pub(crate) calm_until: Moment,
    /// How long it took to make.
    pub(crate) cost: Duration,
    /// Runs since its making began here, whatever came after its end. `None`: nothing was made.
    #[cfg_attr(not(feature = "semantic"), expect(dead_code, reason = "for meanings"))]
    pub(crate) since: Option<Stopwatch>,
    /// When it was made.
    pub(crate) made: Moment,
    /// What it counts against the capacity.
    pub(crate) weight: u32,
    /// How it came here.
    pub(crate) origin: Origin,
}

impl Keeping {
    /// For those who wait only.
    pub(crate) const NOT: Keeping = Keeping {
        expires: Moment::PAST,
        calm_until: Moment::PAST,
        cost: Duration::ZERO,
        since: None,
        made: Moment::PAST,
        weight: 0,
        origin: Origin::Made,
    };

    /// A value that is fresh for so long from now on.
    pub(crate) fn new(fresh: Duration, cost: Duration, policy: &Policy) -> Keeping {
        let calm = fresh.saturating_sub(early_window(cost, policy.early));
        let now = Moment::now();
        let (expires, calm_until) = (now.after(fresh), now.after(calm));
        Keeping { expires, calm_until, cost, since: None, made: now, weight: 1, origin: Origin::Made }
    }

    /// A value from outside, that was made so long ago.
    pub(crate) fn found(age: Life, made: Duration, cost: Duration, weight: u32, policy: &Policy) -> Keeping {
        let now = Moment::now();
        let made = now.before(made);
        match age {
            Life::Fresh(left) => Keeping { made, weight, ..Keeping::new(left, cost, policy) },
            // Whoever found it refreshes it.
            Life::Past(since) => {
                let expires = now.before(since);
                let calm_until = expires.after(policy.stale);
                Keeping { expires, calm_until, cost, since: None, made, weight, origin: Origin::Made }
            }
        }
    }

    /// For how long from now on it is fresh.
    #[cfg_attr(not(feature = "backends"), expect(dead_code, reason = "for backends"))]
    pub(crate) fn fresh_for(&self) -> Duration {
        self.expires.since(Moment::now())
    }

    /// The same, not kept.
    pub(crate) fn not(&self) -> Keeping {
        Keeping { cost: self.cost, made: self.made, origin: self.origin, ..Keeping::NOT }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.expires > Moment::PAST
    }
}

/// A `ttl` without a random part of it, so that values made together do not all expire together. Only ever less: a `ttl`
/// says how old a value may be.
fn jittered(ttl: Duration, jitter: f64) -> Duration {
    if jitter > 0.0 { ttl.mul_f64(1.0 - jitter * fastrand::f64()) } else { ttl }
}

/// The largest `-ln(u)` that a random number can give.
const MOST_EAGER: f64 = 37.0;

/// How long before a value's end an early refresh is possible at all.
fn early_window(cost: Duration, beta: f64) -> Duration {
    if beta > 0.0 {
        Duration::try_from_secs_f64(cost.as_secs_f64() * beta * MOST_EAGER).unwrap_or(Duration::MAX)
    } else {
        Duration::ZERO
    }
}

/// Whether this call is the one to refresh a value that has so much of its `ttl` left: `XFetch` (Vattani, Chierichetti &
/// Lowenstein, "Optimal probabilistic cache stampede prevention", PVLDB 8, 2015), which compares the time left with
/// `cost · beta · -ln(u)`, `u` uniform in `(0, 1]`.
pub(crate) fn is_early(left: Duration, cost: Duration, beta: f64) -> bool {
    let u = 1.0 - fastrand::f64();
    cost.as_secs_f64() * beta * -u.ln() >= left.as_secs_f64()
}
