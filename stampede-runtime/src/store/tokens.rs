//! Tags in a backend: how an entry is known to be older than the last invalidation of one of its tags.
//!
//! Each tag has a *token*, a number that changes whenever the tag is invalidated. An execution reads the tokens of its tags
//! before it begins, and its entry carries them. A reader believes an entry only if each of its tags has that very token
//! still. So an invalidation is one small write for each tag, however many entries have it; an entry that was on its way
//! meanwhile carries the token of before, and nobody ever believes it; and a token that a store has lost, by a restart or to
//! make room, makes its entries invalid rather than valid again.
//!
//! What a *value* says of itself is not known before the execution. Then the token is read after it, and has to be older than
//! the execution: a token is the time when it was made, twice, and one more if an invalidation has made it. One that was made
//! because there was none says nothing of when the tag was last invalidated, but that this is longer ago than
//! an hour; executions that take so long are not kept under tags of their values.
//!
//! The alternatives. *Sets of members* grow with the entries, take as many steps to invalidate as there are members, and lose
//! an entry whose process dies between storing it and adding it to the set, or that is added after the set was read: an
//! invalidated value comes back. *Marks with times* that stand only where something was invalidated cost nothing before, but
//! one that a store loses makes what it marked valid again, and all that compares a time of one host with that of another is
//! wrong by as much as their clocks differ.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;

use super::backend::{Backend, BackendError, Pending};
use super::guard::Verb;
use super::key::StoreKey;
use crate::tags::Tag;

/// A tag's token.
pub(crate) type Token = u64;

/// How long a token stays at least that an invalidation has made.
pub(crate) const INVALIDATED_FOR: Duration = Duration::from_secs(3600);

/// What was known of tags before an execution.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Those of the call's tags, in their order.
    pub(crate) tokens: Vec<Token>,
    /// The backend's time when they were read, as tokens tell it.
    pub(crate) began: Token,
    /// How often messages about changes had been lost by then.
    pub(crate) losses: u64,
}

impl Seen {
    /// One of several that were told apart, each with the places of its tags.
    pub(super) fn merged<'a>(tags: usize, parts: impl Iterator<Item = (&'a [usize], Seen)>) -> Seen {
        let mut all = Seen { tokens: vec![0; tags], began: Token::MAX, losses: u64::MAX };
        for (places, seen) in parts {
            for (at, token) in places.iter().zip(seen.tokens) {
                all.tokens[*at] = token;
            }
            (all.began, all.losses) = (all.began.min(seen.began), all.losses.min(seen.losses));
        }
        all
    }
}

/// Whether a value that was made from `began` on may carry a token that was read after it.
pub(crate) fn is_older(token: Token, began: Token) -> bool {
    token.is_multiple_of(2) || token < began
}

/// A store that keeps tokens in steps that happen at once or not at all, by a clock of its own.
///
/// Not for implementing outside of this crate yet, so not documented there.
pub trait Tokens: Send + Sync {
    /// The tokens of tags, as far as there are any.
    fn read<'a>(&'a self, tags: &'a [StoreKey]) -> Pending<'a, Vec<Option<u64>>>;

    /// The tokens of tags, made where there is none and kept for at least so long from now on; and the time.
    fn agree<'a>(&'a self, tags: &'a [StoreKey], life: Duration) -> Pending<'a, (Vec<u64>, u64)>;

    /// Gives a tag another token, and tells all other processes. `expire`: that old values may stay for errors.
    fn change<'a>(&'a self, key: &'a StoreKey, tag: &'a str, expire: bool) -> Pending<'a, ()>;
}

/// The same in a store that has only entries. Two that change a token at one moment may lose entries by that, no more; the
/// clocks of hosts have to agree as far as values say tags.
struct Plain<'a, B: ?Sized>(&'a B);

/// Longer than entries stay, since nothing tells for how long those of a tag do.
const PLAIN_LIFE: Duration = Duration::from_secs(30 * 86_400);

fn now() -> Token {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX / 4) * 2
}

impl<B: Backend + ?Sized> Plain<'_, B> {
    async fn get(&self, key: &StoreKey) -> Result<Option<Token>, BackendError> {
        let entry = self.0.get(key).await?;
        Ok(entry.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok()))
    }

    async fn put(&self, key: &StoreKey, token: Token) -> Result<(), BackendError> {
        self.0.set(key, token.to_string().as_bytes(), PLAIN_LIFE).await
    }

    async fn agree(&self, tags: &[StoreKey]) -> Result<(Vec<Token>, Token), BackendError> {
        let (mut tokens, now) = (Vec::with_capacity(tags.len()), now());
        for key in tags {
            let token = self.get(key).await?;
            if token.is_none() {
                self.put(key, now).await?;
            }
            tokens.push(token.unwrap_or(now));
        }
        Ok((tokens, now))
    }
}

/// The tokens of tags in a backend of any kind.
pub(super) async fn read(backend: &dyn Backend, tags: &[StoreKey]) -> Result<Vec<Option<Token>>, BackendError> {
    match backend.tokens() {
        _ if tags.is_empty() => Ok(Vec::new()),
        Some(tokens) => tokens.read(tags).await,
        None => {
            let mut tokens = Vec::with_capacity(tags.len());
            for key in tags {
                tokens.push(Plain(backend).get(key).await?);
            }
            Ok(tokens)
        }
    }
}

/// The same, made where there is none.
pub(super) async fn agree(backend: &dyn Backend, tags: &[StoreKey], life: Duration) -> Result<Seen, BackendError> {
    let losses = losses(backend);
    let (tokens, began) = match backend.tokens() {
        Some(tokens) => tokens.agree(tags, life).await?,
        None => Plain(backend).agree(tags).await?,
    };
    Ok(Seen { tokens, began, losses })
}

/// How often messages about changes may have been lost.
pub(super) fn losses(backend: &dyn Backend) -> u64 {
    backend.news().map_or(0, super::news::News::losses)
}

/// So many tags are changed at once, within one budget.
const CHANGED_AT_ONCE: usize = 64;

/// Gives tags other tokens.
async fn change(backend: &dyn Backend, tags: &[Tag], expire: bool) -> Result<(), BackendError> {
    let keys: Vec<StoreKey> = tags.iter().map(|tag| StoreKey::of_tag(tag)).collect();
    if let Some(tokens) = backend.tokens() {
        let each = keys.iter().zip(tags).map(|(key, tag)| tokens.change(key, tag, expire));
        return at_once(each.collect()).await.map(drop);
    }
    let plain = Plain(backend);
    for key in &keys {
        let token = plain.get(key).await?.map_or(0, |token| token + 1).max(now()) | 1;
        plain.put(key, token).await?;
    }
    Ok(())
}

/// What this process has said of the tags of a backend and not been answered to: entries with these tags are not believed.
#[derive(Default)]
pub(crate) struct Said {
    talks: Mutex<Talks>,
    /// Something has arrived or failed.
    answered: Notify,
}

#[derive(Default)]
struct Talks {
    tags: HashMap<Tag, Talk>,
    /// Counts what began or failed.
    clock: u64,
    /// There were too many to remember: no tag is known.
    has_overflown: bool,
    /// Somebody says again what has failed.
    is_repeating: bool,
}

#[derive(Default)]
struct Talk {
    under_way: usize,
    /// The last failure.
    failed: Option<u64>,
}

/// How many tags are remembered that the backend could not be told of. With more, all entries with tags are taken out of it.
const MOST_FAILED: usize = 10_000;

/// How long what has failed rests before it is said again, the first time and at most.
const REPEATED_AFTER: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(10)];

impl Said {
    fn talks(&self) -> MutexGuard<'_, Talks> {
        self.talks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all that was said of these has arrived.
    pub(crate) fn is_known<'a>(&self, mut tags: impl Iterator<Item = &'a Tag>) -> bool {
        let said = self.talks();
        !said.has_overflown && (said.tags.is_empty() || tags.all(|tag| !said.tags.contains_key(tag)))
    }

    /// How much is under way.
    pub(crate) fn under_way(&self) -> usize {
        self.talks().tags.values().map(|talk| talk.under_way).sum()
    }

    fn begin(&self, tags: &[Tag]) -> u64 {
        let mut said = self.talks();
        for tag in tags {
            said.tags.entry(Arc::clone(tag)).or_default().under_way += 1;
        }
        said.clock += 1;
        said.clock
    }

    /// Returns whether somebody has to say again what has failed.
    fn end(&self, tags: &[Tag], at: u64, has_arrived: bool) -> bool {
        let mut said = self.talks();
        said.clock += 1;
        let now = said.clock;
        for tag in tags {
            let Some(talk) = said.tags.get_mut(tag) else { continue };
            talk.under_way -= 1;
            if !has_arrived {
                talk.failed = Some(now);
            } else if talk.failed.is_some_and(|failed| failed < at) {
                // Said after the failure, it makes up for that.
                talk.failed = None;
            }
            if talk.under_way == 0 && talk.failed.is_none() {
                said.tags.remove(tag);
            }
        }
        if said.tags.len() > MOST_FAILED {
            said.tags.retain(|_, talk| talk.under_way > 0);
            said.has_overflown = true;
        }
        let repeats = !has_arrived && !std::mem::replace(&mut said.is_repeating, true);
        drop(said);
        self.answered.notify_waiters();
        repeats
    }

    /// Those whose last invalidation has failed, with nothing under way, first those that can be asked for; and whether there
    /// are more than can be remembered.
    fn failed(&self, rests: impl Fn(&Tag) -> bool) -> (Vec<Tag>, bool) {
        let said = self.talks();
        let is_failed = |(_, talk): &(&Tag, &Talk)| talk.failed.is_some() && talk.under_way == 0;
        let all = || said.tags.iter().filter(is_failed).map(|(tag, _)| tag);
        let some = |tags: &mut dyn Iterator<Item = &Tag>| tags.take(CHANGED_AT_ONCE).cloned().collect::<Vec<_>>();
        let mut failed = some(&mut all().filter(|tag| !rests(tag)));
        if failed.len() < CHANGED_AT_ONCE {
            // Asked for, their store is tried.
            failed.extend(all().filter(|tag| rests(tag)).take(CHANGED_AT_ONCE - failed.len()).cloned());
        }
        (failed, said.has_overflown)
    }
}

/// Invalidations of tags that are being said, all to one part of a backend. Dropped before they have arrived, they have failed.
pub(crate) struct Changing {
    backend: Arc<super::Guarded>,
    part: usize,
    tags: Vec<Tag>,
    at: u64,
    has_arrived: bool,
}

impl Changing {
    /// From here on no entry with these tags is believed, so this comes before memory changes.
    pub(crate) fn begin(backend: &Arc<super::Guarded>, tags: &[Tag]) -> Vec<Changing> {
        let keys: Vec<StoreKey> = tags.iter().map(|tag| StoreKey::of_tag(tag)).collect();
        let parts = backend.by_part(keys.iter());
        let chunks = parts.iter().flat_map(|(part, places)| places.chunks(CHANGED_AT_ONCE).map(|some| (*part, some)));
        let begin = |(part, places): (usize, &[usize])| {
            let tags: Vec<Tag> = places.iter().map(|at| Arc::clone(&tags[*at])).collect();
            let at = backend.said.begin(&tags);
            Changing { backend: Arc::clone(backend), part, tags, at, has_arrived: false }
        };
        chunks.map(begin).collect()
    }

    /// Says all of them: those of different parts at once, and those of one part one after another.
    pub(crate) async fn say_all(all: Vec<Changing>, budget: Duration, expire: bool) -> Result<(), BackendError> {
        let mut parts = std::collections::BTreeMap::<usize, Vec<Changing>>::new();
        for changing in all {
            parts.entry(changing.part).or_default().push(changing);
        }
        let say = |some: Vec<Changing>| -> Pending<'static, Result<(), BackendError>> {
            Box::pin(async move {
                let mut told = Ok(());
                for changing in some {
                    told = changing.say(budget, expire).await.and(told);
                }
                // An error of one is none of the others'.
                Ok(told)
            })
        };
        let told = at_once(parts.into_values().map(say).collect()).await?;
        told.into_iter().fold(Ok(()), Result::and)
    }

    /// Says it. What fails is said again in the background, until it arrives.
    async fn say(mut self, budget: Duration, expire: bool) -> Result<(), BackendError> {
        let backend = Arc::clone(&self.backend);
        let said = backend.ask(self.part, budget, change(backend.backend(), &self.tags, expire)).await;
        match &said {
            Ok(()) => backend.works(self.part, Some(Verb::Remove)),
            Err(error) => backend.fails(self.part, Verb::Remove, "tags", error),
        }
        self.has_arrived = said.is_ok();
        said
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        if self.backend.said.end(&self.tags, self.at, self.has_arrived) {
            crate::blocking::helper().spawn(repeat(Arc::downgrade(&self.backend)));
        }
        crate::registry::a_flight_ended();
    }
}

/// Says again what has failed, until all of it has arrived: other processes read what this one could not take out.
async fn repeat(backend: Weak<super::Guarded>) {
    const BUDGET: Duration = Duration::from_secs(1);
    let [mut rest, longest] = REPEATED_AFTER;
    loop {
        tokio::time::sleep(rest).await;
        let Some(backend) = backend.upgrade() else { return };
        let rests = |tag: &Tag| backend.rests(backend.part(&StoreKey::of_tag(tag)));
        let (failed, has_overflown) = backend.said.failed(rests);
        let arrived = if has_overflown {
            let cleared = backend.clear_some(&super::Prefix::of_all(), None, BUDGET * super::CLEAR_BUDGETS).await;
            if cleared.is_ok() {
                backend.said.talks().has_overflown = false;
            }
            cleared.is_ok()
        } else if failed.is_empty() {
            let mut said = backend.said.talks();
            // Nothing has failed since that was looked for.
            if said.tags.values().all(|talk| talk.failed.is_none()) {
                said.is_repeating = false;
                return;
            }
            false
        } else {
            Changing::say_all(Changing::begin(&backend, &failed), BUDGET, false).await.is_ok()
        };
        rest = if arrived { Duration::ZERO } else { longest.min(rest.max(REPEATED_AFTER[0]) * 2) };
        backend.said.answered.notify_waiters();
    }
}

/// Waits until all that this process has said of tags has arrived. Whether entries with them may be believed.
pub(super) async fn settle(backend: &Arc<super::Guarded>, tags: &[Tag], budget: Duration) -> bool {
    let settled = async {
        loop {
            let mut answered = std::pin::pin!(backend.said.answered.notified());
            // Listens before it looks.
            answered.as_mut().enable();
            if backend.said.is_known(tags.iter()) {
                return;
            }
            answered.await;
        }
    };
    tokio::time::timeout(budget, settled).await.is_ok()
}

/// The answers to several questions that are on their way at once, or the first error.
pub(super) async fn at_once<T>(mut asked: Vec<Pending<'_, T>>) -> Result<Vec<T>, BackendError> {
    let mut answers: Vec<Option<T>> = asked.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (question, answer) in asked.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(told) = question.as_mut().poll(cx)?
            {
                *answer = Some(told);
            }
        }
        let is_done = answers.iter().all(Option::is_some);
        if is_done { Poll::Ready(Ok::<_, BackendError>(())) } else { Poll::Pending }
    })
    .await?;
    Ok(answers.into_iter().flatten().collect())
}

/// Both answers, on their way at once.
pub(super) async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    std::future::poll_fn(|cx| {
        if of_a.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(cx)
        {
            of_a = Some(output);
        }
        if of_b.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(cx)
        {
            of_b = Some(output);
        }
        match (of_a.take(), of_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            others => {
                (of_a, of_b) = others;
                Poll::Pending
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_an_invalidation_is_judged_by_its_time() {
        let (before, after) = (now(), now() + 2_000_000);
        assert!(is_older(before | 1, after) && !is_older(after | 1, before));
        assert!(is_older(after, before), "it was made because there was none");
    }
}
