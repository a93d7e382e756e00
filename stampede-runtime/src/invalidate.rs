//! Invalidation of more than one key: by tag, by pattern, by namespace, of everything.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
#[cfg(feature = "backends")]
use std::sync::atomic::Ordering::SeqCst;

use crate::coalescer::{Function, How};
use crate::invalidation::Invalidation;
use crate::pattern::Pattern;
use crate::registry::{self, Registry, Walk};
use crate::tags::{Mark, Tag};

/// Takes out everything that has one of these tags, of every function and every named [`Coalescer`](crate::Coalescer): in this
/// process before the function returns, and in every backend that is configured, for all processes that use it.
///
/// Kept values are gone. What is in the air goes to those who wait already, is not kept, and is not joined by anybody else; but
/// for tags that only the *value* will say: such a flight is joined until it ends, and then not kept.
///
/// [`Invalidation::removed`] says how many flights and values there were in this process. Await the result to know that the
/// backends were told: from then on no process reads from them what is older. What other processes have in memory goes as
/// soon as the message reaches them, within milliseconds; where it is lost, when they notice that the connection is, and at the
/// latest at the end of its `ttl`.
///
/// A backend takes one small write for each tag, however many entries have it.
///
/// ```
/// # use stampede_runtime::{cached, invalidate_tags};
/// #[cached(ttl = "1h", tags("user:{id}", "users"))]
/// async fn load(id: u32) -> String {
///     format!("user {id}")
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), stampede_runtime::Error> {
/// load(7).await;
/// load(8).await;
/// assert_eq!(invalidate_tags(["user:7"]).removed(), 1);
/// assert_eq!(invalidate_tags(["users"]).removed(), 1);
/// invalidate_tags(["users"]).await?; // the backends know
/// # Ok(())
/// # }
/// ```
pub fn invalidate_tags<T: AsRef<str>>(tags: impl IntoIterator<Item = T>) -> Invalidation {
    take_out_tags(tags, How::Remove)
}

/// [`invalidate_tags`], but that old values stay for as long as `stale_if_error` says, for when no new one can be made. They
/// count as past their `ttl` and their `stale` time.
pub fn expire_tags<T: AsRef<str>>(tags: impl IntoIterator<Item = T>) -> Invalidation {
    take_out_tags(tags, How::Expire)
}

fn take_out_tags<T: AsRef<str>>(tags: impl IntoIterator<Item = T>, how: How) -> Invalidation {
    let tags: Vec<Tag> = tags.into_iter().map(|tag| tag.as_ref().into()).collect();
    let registry = registry::current();
    // Before memory changes: from here on nothing with these tags is believed that comes from outside.
    #[cfg(feature = "backends")]
    let saying: Vec<_> = {
        let fits = |tag: &&Tag| tag.len() <= crate::tags::TAG_BYTES_MAX;
        // No entry has a longer one.
        let tags: Vec<Tag> = tags.iter().filter(fits).cloned().collect();
        let backends = if tags.is_empty() { Vec::new() } else { registry.backends() };
        backends.iter().map(|backend| crate::store::Changing::begin(backend, &tags)).collect()
    };
    let functions = registry.alive();
    let removed = tags.iter().flat_map(|tag| {
        let mark = Mark::Tag(tag.clone());
        functions.iter().map(move |(_, function)| function.take_out_marked(&mark, how))
    });
    let removed = removed.sum();
    #[cfg(feature = "backends")]
    let outside = {
        let budget = registry.backend_timeout();
        saying.into_iter().map(move |saying| {
            let say = crate::store::Changing::say_all(saying, budget, how == How::Expire);
            told(async move { say.await.map_err(crate::error::Error::backend) })
        })
    };
    #[cfg(not(feature = "backends"))]
    let outside = None;
    Invalidation::new(removed, outside)
}

/// Takes out every readable key, as `key = "user:{id}"` makes them, that matches a [glob](crate::Pattern): `*` is any text,
/// `?` one character, `[a-z]` one of several, `\` takes away the meaning of the next. The whole key has to match.
///
/// It is of every function, as [`invalidate_tags`] is, and does to each key what `invalidate` of its function does. A backend
/// is walked through from end to end, twice, in small steps: prefer tags for what happens often.
///
/// ```
/// # use stampede_runtime::{cached, invalidate_pattern};
/// #[cached(ttl = "1h", key = "user:{id}:{part}")]
/// async fn load(id: u32, part: &str) -> String {
///     format!("{part} of user {id}")
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// load(7, "name").await;
/// load(7, "age").await;
/// assert_eq!(invalidate_pattern("user:7:*").removed(), 2);
/// # }
/// ```
pub fn invalidate_pattern(glob: impl AsRef<str>) -> Invalidation {
    let pattern = Pattern::new(glob.as_ref());
    walk(String::new(), |function| function.take_out_matching(&pattern), Reach::Matching(&pattern))
}

/// Takes out everything of the functions of a namespace and of those below it: `shop` has those of `shop::prices`.
pub fn invalidate_namespace(namespace: impl AsRef<str>) -> Invalidation {
    let namespace = namespace.as_ref();
    walk(format!("{namespace}::"), Function::clear, Reach::Namespace(namespace))
}

/// Takes out everything: [`clear_all`](crate::clear_all), in the backends too.
pub fn invalidate_all() -> Invalidation {
    walk(String::new(), Function::clear, Reach::All)
}

/// How many milliseconds a walk that failed rests before it is made again.
#[cfg(feature = "backends")]
const RESTS: [u64; 7] = [50, 200, 1_000, 5_000, 10_000, 30_000, 60_000];

/// What of a backend is meant.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "backends"), expect(dead_code, reason = "for backends"))]
enum Reach<'a> {
    Matching(&'a Pattern),
    Namespace(&'a str),
    All,
}

/// Takes out what is kept in memory of the functions whose names begin so, and what backends have.
fn walk(below: String, take_out: impl Fn(&dyn Function) -> usize, reach: Reach<'_>) -> Invalidation {
    let registry = registry::current();
    // Before memory changes: from here on none of their keys is read.
    let (walk, functions) = registry.begin_walk(below, !matches!(reach, Reach::Matching(_)));
    // What runs there is the user's, too: one function's panic does not keep the others, nor the walk from its end.
    let take_out = |function: &Arc<dyn Function>| catch_unwind(AssertUnwindSafe(|| take_out(&**function)));
    let taken: Vec<_> = functions.iter().map(take_out).collect();
    let panic = taken.iter().position(Result::is_err);
    let removed = taken.iter().flatten().sum();
    let invalidation = outside(registry, walk, &functions, reach, removed);
    if let Some(at) = panic
        && let Some(Err(panic)) = taken.into_iter().nth(at)
    {
        resume_unwind(panic);
    }
    invalidation
}

/// Takes out what backends have of the functions whose names begin so.
#[cfg_attr(not(feature = "backends"), expect(clippy::needless_pass_by_value, reason = "for backends"))]
fn outside(
    registry: Arc<Registry>,
    walk: Arc<Walk>,
    functions: &[Arc<dyn Function>],
    reach: Reach<'_>,
    removed: usize,
) -> Invalidation {
    // What is no backend of bytes is taken out by each function: answers in an index.
    let own: Vec<_> = match reach {
        Reach::Matching(_) => Vec::new(),
        Reach::Namespace(_) | Reach::All => functions.iter().filter_map(|function| function.clear_index()).collect(),
    };
    #[cfg(feature = "backends")]
    {
        use crate::store::Prefix;
        let (prefix, pattern) = match reach {
            Reach::Matching(pattern) => (Prefix::of_all(), Some(pattern.clone())),
            Reach::Namespace(namespace) => (Prefix::of_namespace(namespace), None),
            Reach::All => (Prefix::of_all(), None),
        };
        let budget = registry.backend_timeout().saturating_mul(crate::store::CLEAR_BUDGETS);
        let backends = registry.backends();
        for backend in &backends {
            backend.walks.fetch_add(1, SeqCst);
        }
        if !backends.is_empty() {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            crate::home::Home::Threads.run_outside(async move {
                let walk_all = async || {
                    let mut walked = Ok(());
                    for backend in &backends {
                        walked = backend.clear_some(&prefix, pattern.as_ref(), budget).await.and(walked);
                    }
                    walked
                };
                let walked = walk_all().await;
                let mut is_arrived = walked.is_ok();
                for backend in &backends {
                    backend.walks.fetch_sub(1, SeqCst);
                }
                // Nobody may want to know.
                let _ = sender.send(walked.map_err(crate::error::Error::backend));
                registry::a_flight_ended();
                // What failed is said again: until then this process reads none of these keys, and other processes do.
                for rest in RESTS {
                    if is_arrived {
                        break;
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(rest)).await;
                    is_arrived = walk_all().await.is_ok();
                }
                registry.end_walk(&walk, is_arrived);
            });
            let outside = receiver;
            return Invalidation::new(removed, own.into_iter().chain([outside]));
        }
    }
    #[cfg(not(feature = "backends"))]
    let _ = reach;
    registry.end_walk(&walk, true);
    Invalidation::new(removed, own)
}

/// Says something outside, in the background of the process. What came of it can be awaited.
#[cfg(feature = "backends")]
fn told(
    work: impl Future<Output = Result<(), crate::error::Error>> + Send + 'static,
) -> tokio::sync::oneshot::Receiver<Result<(), crate::error::Error>> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    crate::home::Home::Threads.run_outside(async move {
        // Nobody may want to know.
        let _ = sender.send(work.await);
    });
    receiver
}
