//! A tier outside of this process, as flights see it: it may know a value, or give the right to make it for all processes;
//! it is told of new ones; and whatever goes wrong there is its own affair.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::coalescer::Function;
use crate::error::Error;
use crate::hooks::Keeping;
use crate::key::Id;
use crate::pattern::Pattern;
use crate::stats::Stats;
use crate::tags::{Tag, Tagged};

pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where values are looked for before a body runs, and kept after it did.
pub(crate) trait Tier<V>: Send + Sync {
    /// What there is to know before a body runs.
    fn look(&self, id: &Arc<Id>, look: Look) -> Work<Answer<V>>;

    /// The values of several keys, in their order, where nobody is about to make them. Asks for all of them at once, and for no
    /// lease.
    fn look_many(&self, ids: &[Arc<Id>]) -> Work<Vec<Option<Found<V>>>> {
        let count = ids.len();
        Box::pin(async move { (0..count).map(|_| None).collect() })
    }

    /// Keeps a value that no execution has made for the tier. `None`: it is nothing that this tier can keep.
    fn keep(&self, id: &Arc<Id>, value: &V, keeping: &Keeping, tagged: Option<&Arc<Tagged>>) -> Option<Work<Kept>>;

    /// The same with several that are given, at once. What came of each is in their order.
    fn keep_many(&self, values: &[Given<'_, V>]) -> Work<Vec<Kept>> {
        let each: Vec<_> = values.iter().map(|it| self.keep(it.id, it.value, it.keeping, it.tagged)).collect();
        Box::pin(async move {
            let mut kept = Vec::new();
            for one in each {
                kept.push(match one {
                    Some(work) => work.await,
                    None => Err(Error::unwritable()),
                });
            }
            kept
        })
    }

    /// Gives what is kept of a key another `ttl`, from now on. Whether there was anything that is still fresh.
    fn touch(&self, id: &Arc<Id>, ttl: Duration) -> Work<Result<bool, Error>> {
        let _ = (id, ttl);
        Box::pin(async { Ok(false) })
    }

    /// Keeps, as far as the tier can, what an execution has made without a lease where there are leases. Nobody knows whether
    /// it is the newest.
    fn keep_unleased(&self, _id: &Arc<Id>, _value: &V, _keeping: &Keeping) -> Option<Work<()>> {
        None
    }

    /// Takes out what is kept of a key, where nobody has asked for more: something older than what was made, or nobody knows
    /// what.
    fn take_back(&self, id: &Arc<Id>) -> Work<Result<bool, Error>> {
        self.forget(id)
    }

    /// Takes a key out, and whatever else answers it. Whether something was there, as far as the tier is told.
    fn forget(&self, id: &Arc<Id>) -> Work<Result<bool, Error>>;

    /// Takes all keys of the function out.
    fn forget_all(&self) -> Work<Result<(), Error>>;

    /// The same of the readable ones that match.
    fn forget_matching(&self, pattern: &Pattern) -> Work<Result<(), Error>> {
        let _ = pattern;
        self.forget_all()
    }

    /// What tells a value's bytes from others. `None`: it has none.
    #[cfg(feature = "semantic")]
    fn digest(&self, _value: &V) -> Option<[u8; 32]> {
        None
    }

    /// Whether it gives out [`Lease`]s. Then what is said of one key may overtake itself: nothing older replaces what is
    /// newer.
    fn has_leases(&self) -> bool;

    /// Whether a flight waits until what its process has said has arrived, and then looks. Otherwise it goes on by itself.
    fn settles(&self) -> bool {
        self.has_leases()
    }

    /// Whether it tells what other processes change.
    fn tells_news(&self) -> bool {
        false
    }

    /// Has a function's memory hear that.
    fn listen(&self, _function: Weak<dyn Function>) {}

    /// Other processes have taken something out of what is shared: so it goes where nothing is.
    #[cfg(feature = "semantic")]
    fn hear(&self, _heard: Heard) {}

    /// Gives back what this process holds there.
    fn give_back(&self) -> Vec<Work<()>> {
        Vec::new()
    }

    /// Adds what it did.
    fn add_stats(&self, stats: &mut Stats);

    fn reset_stats(&self);
}

/// What another process has taken out.
#[cfg(feature = "semantic")]
#[derive(Clone, Copy)]
pub(crate) enum Heard {
    /// The question with this digest.
    One([u8; 32]),
    /// Everything, or nobody knows what.
    All,
}

/// Whether a value is kept.
pub(crate) type Kept = Result<(), Error>;

/// A value that is given.
pub(crate) struct Given<'a, V> {
    pub(crate) id: &'a Arc<Id>,
    pub(crate) value: &'a V,
    pub(crate) keeping: &'a Keeping,
    pub(crate) tagged: Option<&'a Arc<Tagged>>,
}

/// How a flight looks.
#[derive(Clone)]
#[cfg_attr(not(feature = "backends"), allow(dead_code, reason = "for backends"))]
pub(crate) struct Look {
    pub(crate) wanted: Wanted,
    /// Another body waits for the one that this is for.
    pub(crate) is_nested: bool,
    /// Whether it may wait for another process.
    pub(crate) may_wait: bool,
    /// The fence of a lease whose end it is to be told of, if that has come.
    pub(crate) joined: Option<u64>,
    /// Its tags. What is known of them is noted there before it is told to begin.
    pub(crate) tagged: Option<Arc<Tagged>>,
}

/// What a flight wants of a tier.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "backends"), allow(dead_code, reason = "for backends"))]
pub(crate) enum Wanted {
    /// A value.
    Any,
    /// The right to make one, whatever there is or is being made.
    Newest,
}

/// What a tier answers.
#[cfg_attr(not(feature = "backends"), expect(dead_code, reason = "for backends"))]
pub(crate) enum Answer<V> {
    /// Nothing of use. The body runs for this process.
    Nothing,
    Found(Found<V>),
    /// The body runs for all processes.
    Lead(Arc<dyn Lease<V>>),
    /// Another process, with a lease of this fence, runs its body, and is not waited for.
    Busy(u64),
    /// Another process has run its body meanwhile, and what came of it is not kept. With the way to look on, if it cannot be
    /// understood.
    Told(Told<V>, OrElse<V>),
}

/// Looks on.
pub(crate) type OrElse<V> = Box<dyn FnOnce() -> Work<Answer<V>> + Send>;

/// What a tier knew.
pub(crate) struct Found<V> {
    pub(crate) value: V,
    pub(crate) age: Life,
    /// How long ago it was made.
    pub(crate) made: Duration,
    /// How long the value took to make.
    pub(crate) cost: Duration,
    /// Another process was making it when it was looked for.
    pub(crate) is_awaited: bool,
    pub(crate) origin: Origin,
    /// The tags that its entry has.
    pub(crate) tags: Vec<Tag>,
    /// The right to make another one, which came along.
    pub(crate) lease: Option<Arc<dyn Lease<V>>>,
    /// Looks on, for another value than this.
    pub(crate) or_else: Option<OrElse<V>>,
    /// Of another question's answer, where it is from.
    #[cfg(feature = "semantic")]
    pub(crate) source: Option<Source>,
}

/// Another question and its answer, for who has to say whether that answers this one.
#[cfg(feature = "semantic")]
pub(crate) struct Source {
    /// The question.
    pub(crate) text: Arc<str>,
    /// The digest of the answer's bytes.
    pub(crate) answer: [u8; 32],
    /// To be called once it has answered a call.
    pub(crate) was_taken: Box<dyn FnOnce() + Send>,
}

impl<V> Found<V> {
    #[cfg_attr(not(feature = "backends"), expect(dead_code, reason = "for backends"))]
    pub(crate) fn new(value: V, age: Life, made: Duration, cost: Duration, origin: Origin) -> Found<V> {
        Found {
            value,
            age,
            made,
            cost,
            is_awaited: false,
            origin,
            tags: Vec::new(),
            lease: None,
            or_else: None,
            #[cfg(feature = "semantic")]
            source: None,
        }
    }
}

/// How a value came to be in this process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Origin {
    /// It was made here, or given.
    Made,
    /// It was in the backend.
    #[cfg_attr(not(feature = "backends"), allow(dead_code, reason = "for backends"))]
    Backend,
    /// Another process made it while this one waited.
    Told,
    /// It is the index's answer to exactly the question.
    #[cfg_attr(not(feature = "semantic"), expect(dead_code, reason = "for meanings"))]
    Index,
    /// It is another question's.
    #[cfg_attr(not(feature = "semantic"), expect(dead_code, reason = "for meanings"))]
    Near(Near),
}

/// Another question, whose answer is this one's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Near {
    /// Its digest.
    pub(crate) source: [u8; 32],
    /// How near it is.
    pub(crate) similarity: f32,
    /// It was being executed when it was found.
    pub(crate) is_joined: bool,
}

/// The same of what is kept, which need not know more.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(not(feature = "semantic"), allow(dead_code, reason = "for meanings"))]
pub(crate) enum Came {
    Made,
    Backend,
    Told,
    Index,
    Near { similarity: f32, is_joined: bool },
}

impl Came {
    pub(crate) fn is_near(self) -> bool {
        matches!(self, Came::Near { .. })
    }
}

impl Origin {
    /// The other question's answer, if it is one.
    pub(crate) fn near(self) -> Option<Near> {
        if let Origin::Near(near) = self { Some(near) } else { None }
    }
}

/// What waiting processes are told of an execution whose end is not kept.
pub(crate) enum Told<V> {
    Value(V),
    /// An error, as bytes.
    Fault(Vec<u8>),
    /// It ran longer than its `timeout`, which is this.
    TimedOut(Duration),
}

/// The right of one execution to make the value of a key for all processes. Dropped, it is given back.
pub(crate) trait Lease<V>: Send + Sync {
    /// Its number.
    fn fence(&self) -> u64;

    /// Whether somebody else has the right by now: then nobody wants to know what comes of this execution.
    fn is_lost(&self) -> bool;

    /// Ends it with a value to be kept. Whether that was refused: somebody else had the right by then, or the key was taken
    /// out meanwhile. `None`: it has ended before.
    fn commit(&self, value: &V, keeping: &Keeping, tagged: Option<&Arc<Tagged>>) -> Option<Work<bool>>;

    /// Ends it with something else, or with nothing. `None`: it has ended before.
    fn end(&self, told: Option<Told<&V>>) -> Option<Work<()>>;
}

/// How a value stands to its `ttl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "backends"), expect(dead_code, reason = "for backends"))]
pub(crate) enum Life {
    /// Fresh for so long.
    Fresh(Duration),
    /// Past its `ttl` for so long.
    Past(Duration),
}
