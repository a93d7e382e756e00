//! What leads from a tag to the flights and values that have it, and from what stands for a key outside to those of the key.
//!
//! A flight is entered under the tags of its call before its body begins, so whoever takes a tag out finds it, and takes it
//! out of the table like any other: what it lands with is not kept. What a *value* says of itself is known only when there
//! is one. So for each tag that was taken out it is noted when that was, and a value that is older is not entered.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::key::Id;
use crate::nest::{self, FlightId};

/// A tag's text.
pub type Tag = Arc<str>;

/// The most tags of one value, of call and value together. More: the value is not kept.
pub(crate) const TAGS_MAX: usize = 1_000;

/// The most bytes of a tag. A longer one: the value is not kept.
pub(crate) const TAG_BYTES_MAX: usize = 256;

/// A tag of a call.
///
/// # Panics
/// When the `Display` of an argument fails.
#[must_use]
pub fn tag(format: std::fmt::Arguments<'_>) -> Tag {
    format.to_string().into()
}

/// The tags that a value says.
pub fn tags_by<V, T, I>(value: &V, tags: impl FnOnce(&V) -> I) -> Vec<Tag>
where
    I: IntoIterator<Item = T>,
    T: Into<String>,
{
    tags(value).into_iter().map(|tag| tag.into().into()).collect()
}

/// The tags of one execution, and what a tier outside knew of them before that began.
#[derive(Default)]
pub(crate) struct Tagged {
    /// Those that its arguments say.
    pub(crate) of_call: Arc<[Tag]>,
    /// Those that its value says, once there is one.
    pub(crate) of_value: OnceLock<Vec<Tag>>,
    /// Whether a value will say some.
    #[cfg_attr(not(feature = "backends"), allow(dead_code, reason = "for backends"))]
    pub(crate) asks_value: bool,
    /// What its tier knew of the tags before it began, the last time that it was asked.
    #[cfg(feature = "backends")]
    pub(crate) seen: Mutex<Option<crate::store::Seen>>,
    /// No execution has made the value: it was given then.
    #[cfg(feature = "backends")]
    pub(crate) given: Option<std::time::Instant>,
}

impl Tagged {
    pub(crate) fn of_call(tags: &Arc<[Tag]>, asks_value: bool) -> Tagged {
        Tagged { of_call: Arc::clone(tags), asks_value, ..Tagged::default() }
    }

    /// Those of a value that is there.
    pub(crate) fn of_given(of_call: Vec<Tag>, of_value: Vec<Tag>) -> Tagged {
        Tagged {
            of_call: of_call.into(),
            of_value: of_value.into(),
            #[cfg(feature = "backends")]
            given: Some(std::time::Instant::now()),
            ..Tagged::default()
        }
    }

    /// Notes what its tier knows before an execution may begin.
    #[cfg(feature = "backends")]
    pub(crate) fn begin(&self, seen: Option<crate::store::Seen>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Tag> {
        self.of_call.iter().chain(self.of_value.get().into_iter().flatten())
    }

    /// Whether they are as many and as long as they may be.
    pub(crate) fn is_in_bounds(&self) -> bool {
        self.all().count() <= TAGS_MAX && self.all().all(|tag| tag.len() <= TAG_BYTES_MAX)
    }
}

/// What flights and values are entered under.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Mark {
    Tag(Tag),
    /// What stands for the key outside.
    Entry(Arc<Id>),
}

/// Something that is marked: a node of one function, of whatever type. So all of this is compiled once, not for each function.
type Marked = dyn Any + Send + Sync;

/// Flights and values of one function by their marks. They are held weakly, and what is gone is swept out as others come.
pub(crate) struct Marks(Mutex<Entered>);

struct Entered {
    by_mark: HashMap<Mark, Vec<Weak<Marked>>>,
    /// How many there are.
    count: usize,
    /// When there are so many, those that are gone are swept out.
    sweep_at: usize,
    /// When each tag was last taken out.
    taken_out: HashMap<Tag, FlightId>,
    /// The same of all that are not there.
    floor: FlightId,
}

/// How many tags are remembered as taken out. Then all are: flights that have begun before are not kept.
const MOST_TAKEN_OUT: usize = 10_000;

const FIRST_SWEEP: usize = 1_024;

impl Default for Marks {
    fn default() -> Self {
        Marks(Mutex::new(Entered {
            by_mark: HashMap::new(),
            count: 0,
            sweep_at: FIRST_SWEEP,
            taken_out: HashMap::new(),
            floor: 0,
        }))
    }
}

impl Marks {
    fn entered(&self) -> MutexGuard<'_, Entered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a flight whose body has not begun.
    pub(crate) fn enter(&self, node: &Weak<Marked>, entry: Option<Mark>, tags: &[Tag]) {
        let swept = {
            let mut entered = self.entered();
            for mark in entry.into_iter().chain(tags.iter().cloned().map(Mark::Tag)) {
                entered.put(mark, node);
            }
            entered.sweep()
        };
        drop(swept);
    }

    /// Enters what has a value by now. `false`: one of the tags was taken out since the flight of that number began, and it is
    /// not entered.
    pub(crate) fn enter_value(&self, node: &Weak<Marked>, since: FlightId, tags: &[&[Tag]]) -> bool {
        let swept = {
            let mut entered = self.entered();
            let is_older = |tag: &Tag| entered.taken_out.get(&**tag).is_some_and(|at| *at > since);
            let tags = || tags.iter().copied().flatten();
            if entered.floor > since || tags().any(is_older) {
                return false;
            }
            for tag in tags() {
                entered.put(Mark::Tag(Arc::clone(tag)), node);
            }
            entered.sweep()
        };
        drop(swept);
        true
    }

    /// All nodes that are entered under a mark. `stays`: and will be.
    pub(crate) fn take_out<N: Any + Send + Sync>(&self, mark: &Mark, stays: bool) -> Vec<Arc<N>> {
        let taken = self.take_out_any(mark, stays);
        taken.iter().filter_map(Weak::upgrade).filter_map(|marked| marked.downcast().ok()).collect()
    }

    fn take_out_any(&self, mark: &Mark, stays: bool) -> Vec<Weak<Marked>> {
        let mut entered = self.entered();
        if let Mark::Tag(tag) = mark {
            let now = nest::new_id();
            if entered.taken_out.len() >= MOST_TAKEN_OUT && !entered.taken_out.contains_key(tag) {
                entered.taken_out.clear();
                entered.floor = now;
            }
            entered.taken_out.insert(Arc::clone(tag), now);
        }
        if stays {
            entered.by_mark.get(mark).cloned().unwrap_or_default()
        } else {
            let taken = entered.by_mark.remove(mark).unwrap_or_default();
            entered.count -= taken.len();
            taken
        }
    }
}

impl Entered {
    fn put(&mut self, mark: Mark, node: &Weak<Marked>) {
        self.by_mark.entry(mark).or_default().push(Weak::clone(node));
        self.count += 1;
    }

    /// Removes what is gone, once there is a lot. What is returned is to be dropped without the lock: memory is given back.
    #[must_use]
    fn sweep(&mut self) -> Vec<Weak<Marked>> {
        let mut gone = Vec::new();
        if self.count >= self.sweep_at {
            self.by_mark.retain(|_, nodes| {
                gone.extend(nodes.extract_if(.., |node| node.strong_count() == 0));
                !nodes.is_empty()
            });
            self.count -= gone.len();
            self.sweep_at = (self.count * 2).max(FIRST_SWEEP);
        }
        gone
    }
}
