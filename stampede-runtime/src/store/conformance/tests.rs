//! The suite can fail: backends with one trick each, and the checks that see through it.

use std::collections::{BTreeSet, VecDeque};
use std::future::pending;
use std::sync::Mutex;

use super::*;
use crate::store::{BackendErrorKind, MemoryBackend, Pending, Prefix};

/// What a backend does wrong.
#[derive(Clone, Copy, Debug)]
enum Trick {
    FailsPings,
    NeverAnswersPings,
    LosesEverything,
    LosesEmptyEntries,
    EndsEntriesAtZero,
    ReadsEntriesAsText,
    CutsLargeEntries,
    KeepsTheFirstEntry,
    KeepsTheFirstTtl,
    AlwaysSaysRemoved,
    RemovesNothing,
    TakesPrefixesForPatterns,
    FoldsCaseInPrefixes,
    ClearsEverything,
    ClearsAllVersions,
    ClearsWithoutCounting,
    ClearsOnePage,
    RoundsTtlsDown,
    RoundsTtlsUp,
    ProlongsOnRead,
    TakesZeroForEver,
    OverflowsLongTtls,
    ExpiresLongTtls,
    FoldsCase,
    CutsKeys,
    MixesUpAnswers,
    FailsUnderLoad,
    LeavesAnswersBehind,
    SortsAnswers,
    AnswersOnlyWhatIsThere,
    SetsOnlyTheFirst,
    SetsManyForEver,
    ReplacesAnything,
    ReplacesWhatIsNotThere,
    KeepsTheTtlItReplaces,
}

/// A good backend with a trick.
#[derive(Debug)]
struct Tricky {
    trick: Trick,
    inner: MemoryBackend,
    /// Every key that was set, for the tricks that clear.
    keys: Mutex<BTreeSet<StoreKey>>,
    /// For the tricks with answers: those on their way, and how many calls there are.
    answers: Mutex<VecDeque<Option<Vec<u8>>>>,
    calls: AtomicU64,
}

impl Tricky {
    fn new(trick: Trick) -> Tricky {
        let inner = MemoryBackend::new(64 << 20);
        Tricky { trick, inner, keys: Mutex::default(), answers: Mutex::default(), calls: AtomicU64::new(0) }
    }

    fn key(&self, key: &StoreKey) -> StoreKey {
        let place = Place::new("tricky", "f", 1);
        match self.trick {
            Trick::FoldsCase => StoreKey::new(&place, Id::Text(&key.as_str().to_ascii_lowercase())),
            Trick::CutsKeys => StoreKey::new(&place, Id::Text(&key.as_str()[..key.as_str().len().min(250)])),
            _ => key.clone(),
        }
    }

    fn matches(&self, prefix: &Prefix, key: &StoreKey) -> bool {
        let (prefix, key) = (prefix.as_str(), key.as_str());
        match self.trick {
            Trick::TakesPrefixesForPatterns => key.starts_with(prefix.split('*').next().unwrap_or_default()),
            Trick::FoldsCaseInPrefixes => key.to_ascii_lowercase().starts_with(&prefix.to_ascii_lowercase()),
            Trick::ClearsAllVersions => key.starts_with(prefix.rsplit_once(":v").unwrap_or_default().0),
            Trick::ClearsEverything => true,
            _ => key.starts_with(prefix),
        }
    }
}

impl Backend for Tricky {
    fn get<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let key = self.key(key);
            let found = self.inner.get(&key).await?;
            match self.trick {
                Trick::LosesEverything => Ok(None),
                Trick::LosesEmptyEntries => Ok(found.filter(|entry| !entry.is_empty())),
                Trick::ReadsEntriesAsText => Ok(found.map(|it| String::from_utf8_lossy(&it).into_owned().into_bytes())),
                Trick::EndsEntriesAtZero => {
                    Ok(found.map(|it| it.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()))
                }
                Trick::ProlongsOnRead => {
                    if let Some(entry) = &found {
                        self.inner.set(&key, entry, Duration::from_millis(400)).await?;
                    }
                    Ok(found)
                }
                Trick::MixesUpAnswers => {
                    self.answers.lock().unwrap().push_back(found);
                    tokio::task::yield_now().await;
                    Ok(self.answers.lock().unwrap().pop_back().flatten())
                }
                Trick::LeavesAnswersBehind => {
                    self.answers.lock().unwrap().push_back(found);
                    tokio::task::yield_now().await;
                    Ok(self.answers.lock().unwrap().pop_front().flatten())
                }
                _ => Ok(found),
            }
        })
    }

    fn set<'a>(&'a self, key: &'a StoreKey, entry: &'a [u8], ttl: Duration) -> Pending<'a, ()> {
        Box::pin(async move {
            let key = self.key(key);
            self.keys.lock().unwrap().insert(key.clone());
            let year = Duration::from_secs(365 * 86_400);
            let seconds = Duration::from_secs(ttl.as_secs());
            let ttl = match self.trick {
                Trick::RoundsTtlsDown => seconds,
                Trick::RoundsTtlsUp if ttl > seconds => seconds.saturating_add(Duration::from_secs(1)),
                Trick::TakesZeroForEver if ttl.is_zero() => year,
                Trick::OverflowsLongTtls if ttl > year => return Err(BackendErrorKind::Refused.into()),
                Trick::ExpiresLongTtls if ttl > year => Duration::ZERO,
                Trick::KeepsTheFirstTtl if self.inner.get(&key).await?.is_some() => Duration::from_millis(400),
                _ => ttl,
            };
            let entry = match self.trick {
                Trick::KeepsTheFirstEntry if self.inner.get(&key).await?.is_some() => return Ok(()),
                Trick::CutsLargeEntries => &entry[..entry.len().min(65_536)],
                _ => entry,
            };
            if matches!(self.trick, Trick::FailsUnderLoad) {
                let busy = self.calls.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                self.calls.fetch_sub(1, Ordering::Relaxed);
                if busy >= 60 {
                    return Err(BackendErrorKind::TimedOut.into());
                }
            }
            self.inner.set(&key, entry, ttl).await
        })
    }

    fn remove<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, bool> {
        Box::pin(async move {
            match self.trick {
                Trick::RemovesNothing => Ok(self.inner.get(key).await?.is_some()),
                Trick::AlwaysSaysRemoved => self.inner.remove(key).await.map(|_| true),
                _ => self.inner.remove(&self.key(key)).await,
            }
        })
    }

    fn clear<'a>(&'a self, prefix: &'a Prefix) -> Pending<'a, u64> {
        Box::pin(async move {
            let keys: BTreeSet<_> = {
                let mut keys = self.keys.lock().unwrap();
                let (cleared, kept) = keys.iter().cloned().partition(|key| self.matches(prefix, key));
                *keys = kept;
                cleared
            };
            let mut counted = 0;
            for (at, key) in keys.iter().enumerate() {
                if !matches!(self.trick, Trick::ClearsOnePage) || at < 1000 {
                    counted += u64::from(self.inner.remove(key).await?);
                }
            }
            Ok(if matches!(self.trick, Trick::ClearsWithoutCounting) { 0 } else { counted })
        })
    }

    fn get_many<'a>(&'a self, keys: &'a [StoreKey]) -> Pending<'a, Vec<Option<Vec<u8>>>> {
        Box::pin(async move {
            let mut keys: Vec<_> = keys.iter().collect();
            if matches!(self.trick, Trick::SortsAnswers) {
                keys.sort_unstable();
            }
            let mut entries = Vec::new();
            for key in keys {
                entries.push(self.get(key).await?);
            }
            if matches!(self.trick, Trick::AnswersOnlyWhatIsThere) {
                entries.retain(Option::is_some);
            }
            Ok(entries)
        })
    }

    fn set_many<'a>(&'a self, entries: &'a [(StoreKey, Vec<u8>, Duration)]) -> Pending<'a, ()> {
        Box::pin(async move {
            let mut seen = BTreeSet::new();
            for (key, entry, ttl) in entries {
                let is_first = seen.insert(key);
                let ttl = match self.trick {
                    Trick::SetsOnlyTheFirst if !is_first => continue,
                    Trick::SetsManyForEver if !ttl.is_zero() => Duration::MAX,
                    _ => *ttl,
                };
                self.set(key, entry, ttl).await?;
            }
            Ok(())
        })
    }

    fn replace<'a>(&'a self, key: &'a StoreKey, old: &'a [u8], new: &'a [u8], ttl: Duration) -> Pending<'a, bool> {
        Box::pin(async move {
            let found = self.get(key).await?;
            let is_it = match self.trick {
                Trick::ReplacesAnything => found.is_some(),
                Trick::ReplacesWhatIsNotThere => found.is_none_or(|entry| entry == old),
                _ => found.is_some_and(|entry| entry == old),
            };
            let ttl = if matches!(self.trick, Trick::KeepsTheTtlItReplaces) { Duration::from_secs(600) } else { ttl };
            if is_it {
                self.set(key, new, ttl).await?;
            }
            Ok(is_it)
        })
    }

    fn ping(&self) -> Pending<'_, ()> {
        match self.trick {
            Trick::FailsPings => Box::pin(async { Err(BackendErrorKind::Unreachable.into()) }),
            Trick::NeverAnswersPings => Box::pin(pending()),
            _ => Box::pin(async { Ok(()) }),
        }
    }
}

/// Fails the check made for it, and perhaps others.
async fn fails(trick: Trick, check: &str) {
    let failures = failures(async || Tricky::new(trick)).await;
    assert!(failures.iter().any(|failure| failure.check == check), "{trick:?} was not seen by `{check}`: {failures:?}");
}

/// Fails that check and no other.
async fn fails_only(trick: Trick, check: &str) {
    let failures = failures(async || Tricky::new(trick)).await;
    let checks: Vec<_> = failures.iter().map(|failure| failure.check).collect();
    assert_eq!(checks, [check], "{trick:?}: {failures:?}");
}

#[tokio::test(start_paused = true)]
async fn every_trick_is_seen() {
    fails_only(Trick::FailsPings, "answers_a_ping").await;
    fails_only(Trick::NeverAnswersPings, "answers_a_ping").await;
    fails(Trick::LosesEverything, "returns_what_was_set").await;
    fails(Trick::LosesEmptyEntries, "returns_what_was_set").await;
    fails(Trick::EndsEntriesAtZero, "returns_what_was_set").await;
    fails(Trick::ReadsEntriesAsText, "returns_what_was_set").await;
    fails_only(Trick::CutsLargeEntries, "returns_a_mebibyte").await;
    fails(Trick::KeepsTheFirstEntry, "replaces_what_was_set").await;
    fails(Trick::KeepsTheFirstTtl, "replaces_the_ttl").await;
    fails(Trick::AlwaysSaysRemoved, "removes_and_tells_whether_it_was_there").await;
    fails(Trick::RemovesNothing, "removes_and_tells_whether_it_was_there").await;
    fails_only(Trick::TakesPrefixesForPatterns, "clears_nothing_else").await;
    fails_only(Trick::FoldsCaseInPrefixes, "clears_nothing_else").await;
    fails_only(Trick::ClearsAllVersions, "clears_nothing_else").await;
    fails(Trick::ClearsEverything, "clears_nothing_else").await;
    fails(Trick::ClearsWithoutCounting, "clears_all_of_a_prefix_and_counts").await;
    fails_only(Trick::ClearsOnePage, "clears_thousands").await;
    fails(Trick::RoundsTtlsDown, "keeps_an_entry_until_its_ttl").await;
    fails(Trick::RoundsTtlsUp, "lets_go_of_an_entry_at_its_ttl").await;
    fails(Trick::ProlongsOnRead, "reading_does_not_prolong").await;
    fails(Trick::TakesZeroForEver, "a_zero_ttl_keeps_nothing").await;
    fails_only(Trick::OverflowsLongTtls, "the_longest_ttl_keeps").await;
    fails_only(Trick::ExpiresLongTtls, "the_longest_ttl_keeps").await;
    fails(Trick::FoldsCase, "tells_unusual_keys_apart").await;
    fails(Trick::CutsKeys, "tells_unusual_keys_apart").await;
    fails(Trick::MixesUpAnswers, "never_answers_with_another_keys_entry").await;
    fails_only(Trick::FailsUnderLoad, "a_hundred_at_once").await;
    fails(Trick::LeavesAnswersBehind, "a_dropped_call_disturbs_no_other").await;
    fails_only(Trick::SortsAnswers, "gets_many_in_their_order").await;
    fails_only(Trick::AnswersOnlyWhatIsThere, "gets_many_in_their_order").await;
    fails_only(Trick::SetsOnlyTheFirst, "sets_many").await;
    fails_only(Trick::SetsManyForEver, "sets_many").await;
    fails_only(Trick::ReplacesAnything, "replaces_exactly_what_is_there").await;
    fails_only(Trick::ReplacesWhatIsNotThere, "replaces_exactly_what_is_there").await;
    fails_only(Trick::KeepsTheTtlItReplaces, "replaces_exactly_what_is_there").await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "answers_a_ping: `ping` failed: the store cannot be reached")]
async fn a_failure_says_what_was_seen() {
    check(async || Tricky::new(Trick::FailsPings)).await;
}

#[tokio::test(start_paused = true)]
async fn a_check_leaves_nothing_behind() {
    let backend = Arc::new(MemoryBackend::new(64 << 20));
    check(async || Arc::clone(&backend)).await;
    assert!(format!("{backend:?}").contains("entries: 0"), "{backend:?}");
}
