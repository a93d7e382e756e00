//! The suite can fail: indexes with one trick each, and the checks that see through it.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::sync::Mutex;

use super::*;
use crate::semantic::EmbeddedIndex;
use crate::store::{BackendErrorKind, Pending};

/// What an index does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trick {
    FailsPings,
    NeverAnswersPings,
    LosesEverything,
    FindsNothingNear,
    ForgetsCosts,
    FoldsQuestions,
    ParsesResponses,
    CutsLargeResponses,
    KeepsTheFirst,
    TakesQuestionsForHashes,
    RemovesNothing,
    AlwaysSaysRemoved,
    HitsProlong,
    RoundsTtlsDown,
    RoundsTtlsUp,
    ServesTheOldAsNear,
    DropsTheOld,
    KeepsTheFirstTtl,
    OverflowsLongTtls,
    IgnoresCapacity,
    SharesCapacity,
    UsedOnesStay,
    SaysDistance,
    RoundsSimilarities,
    FarthestFirst,
    IgnoresLimits,
    HasAThreshold,
    ComparesOtherDimensions,
    RemovesNearerThanItSays,
    FiltersPartitionsAfterwards,
    FiltersOldOnesAfterwards,
    IgnoresTenants,
    IgnoresModels,
    IgnoresArguments,
    JoinsNames,
    FoldsNames,
    CutsNames,
    ClearsOnePartition,
    ClearsPatterns,
    ClearsOnePage,
    ClearsWithoutCounting,
    NotesNoRemovals,
    NotesOnlyWhatWasThere,
    NotesOfOneAreOfAll,
    NotesNoRemovalsOfTheNear,
    NotesOnlyTheNearThatWasThere,
    NotesNoClears,
    TheLastPutWins,
    MixesUpAnswers,
    FailsUnderLoad,
    LeavesAnswersBehind,
}

/// A good index with a trick.
#[derive(Debug)]
struct Tricky {
    trick: Trick,
    inner: EmbeddedIndex,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What was put, and for how long it is fresh.
    put: HashMap<(Partition, QuestionHash), (Duration, Embedding)>,
    removed: bool,
    answers: VecDeque<Option<Entry>>,
    busy: u32,
}

impl Tricky {
    fn new(trick: Trick) -> Tricky {
        Tricky { trick, inner: EmbeddedIndex::new(), state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn place(&self, of: &Partition) -> Partition {
        let mut of = of.clone();
        let part = |text: &str, change: &dyn Fn(&str) -> String| Arc::<str>::from(change(text).as_str());
        match self.trick {
            Trick::IgnoresTenants | Trick::SharesCapacity => of.tenant = "".into(),
            Trick::IgnoresModels => of.model = "".into(),
            Trick::IgnoresArguments | Trick::FiltersPartitionsAfterwards => of.arguments = [0; 32],
            Trick::JoinsNames => (of.model, of.tenant) = (format!("{}{}", of.model, of.tenant).into(), "".into()),
            Trick::FoldsNames => of.tenant = part(&of.tenant, &str::to_lowercase),
            Trick::CutsNames => of.tenant = part(&of.tenant, &|text| text.chars().take(255).collect()),
            _ => {}
        }
        of
    }

    fn hash(&self, of: &Partition, hash: &QuestionHash) -> QuestionHash {
        match self.trick {
            Trick::FiltersPartitionsAfterwards => *blake3::keyed_hash(&of.arguments, hash).as_bytes(),
            Trick::SharesCapacity => *blake3::keyed_hash(hash, of.tenant.as_bytes()).as_bytes(),
            _ => *hash,
        }
    }

    /// Those of the check's own functions that are of a partition, for the tricks that look at all of them.
    fn all(&self) -> Vec<(Partition, QuestionHash)> {
        self.state().put.keys().cloned().collect()
    }

    /// An answer, after others had their turn.
    async fn trade(&self, entry: Option<Entry>, front: bool) -> Option<Entry> {
        self.state().answers.push_back(entry);
        tokio::task::yield_now().await;
        let mut state = self.state();
        if front { state.answers.pop_front() } else { state.answers.pop_back() }.flatten()
    }
}

impl Index for Tricky {
    fn exact<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, Option<Entry>> {
        Box::pin(async move {
            let mut found = self.inner.exact(&self.place(of), &self.hash(of, hash)).await?;
            if let Some(entry) = &mut found {
                entry.hash = *hash;
                match self.trick {
                    Trick::ForgetsCosts => entry.cost = Duration::ZERO,
                    Trick::FoldsQuestions => entry.question = entry.question.to_lowercase(),
                    _ => {}
                }
            }
            Ok(match self.trick {
                Trick::LosesEverything => None,
                Trick::DropsTheOld => found.filter(|entry| !entry.fresh.is_zero()),
                Trick::MixesUpAnswers => self.trade(found, false).await,
                Trick::LeavesAnswersBehind => self.trade(found, true).await,
                _ => found,
            })
        })
    }

    fn nearest<'a>(&'a self, of: &'a Partition, to: &'a Embedding, limit: usize) -> Pending<'a, Vec<Near>> {
        Box::pin(async move {
            let scanned = match self.trick {
                Trick::FiltersPartitionsAfterwards | Trick::FiltersOldOnesAfterwards => 40,
                Trick::SharesCapacity | Trick::IgnoresLimits | Trick::FarthestFirst => usize::MAX,
                _ => limit,
            };
            let cut = Embedding::new(to.as_slice()[..to.dimensions().min(8)].to_vec(), 0);
            let to = if self.trick == Trick::ComparesOtherDimensions { &cut.unwrap() } else { to };
            let mut near = self.inner.nearest(&self.place(of), to, scanned).await?;
            match self.trick {
                Trick::FindsNothingNear => near.clear(),
                Trick::SaysDistance | Trick::RoundsSimilarities => {
                    for Near { similarity, .. } in &mut near {
                        let rounded = (*similarity * 100.0).round() / 100.0;
                        *similarity = if self.trick == Trick::SaysDistance { 1.0 - *similarity } else { rounded };
                    }
                }
                Trick::FarthestFirst => near.reverse(),
                Trick::HasAThreshold => near.retain(|near| near.similarity > 0.0),
                Trick::FiltersOldOnesAfterwards => {
                    let state = self.state();
                    near.retain(|near| near.entry.age < state.put[&(of.clone(), near.entry.hash)].0);
                }
                Trick::FiltersPartitionsAfterwards | Trick::SharesCapacity => {
                    let own: Vec<_> = self.all().into_iter().filter(|(at, _)| at == of).collect();
                    near.retain(|near| own.iter().any(|(of, hash)| self.hash(of, hash) == near.entry.hash));
                }
                _ => {}
            }
            if self.trick != Trick::IgnoresLimits {
                near.truncate(limit);
            }
            Ok(near)
        })
    }

    fn put<'a>(&'a self, of: &'a Partition, new: New<'a>) -> Pending<'a, bool> {
        Box::pin(async move {
            let key = (of.clone(), new.hash);
            let (place, mut new) = (self.place(of), New { hash: self.hash(of, &new.hash), ..new });
            let kept = self.inner.exact(&place, &new.hash).await?;
            let response = match self.trick {
                Trick::ParsesResponses => {
                    serde_json::from_str::<serde_json::Value>(new.response).unwrap_or_default().to_string()
                }
                Trick::CutsLargeResponses => new.response[..new.response.len().min(65_536)].to_owned(),
                _ => new.response.to_owned(),
            };
            new.response = &response;
            let cut = Embedding::new(new.embedding.as_slice()[..new.embedding.dimensions().min(8)].to_vec(), 0);
            let cut = cut.map_err(|error| crate::store::BackendError::new(BackendErrorKind::Refused, error))?;
            let whole_seconds = Duration::from_secs(new.ttl.as_secs());
            let age = clock::instant().into_std().saturating_duration_since(new.began);
            match self.trick {
                Trick::KeepsTheFirst if kept.is_some() => return Ok(true),
                Trick::TakesQuestionsForHashes => new.hash = *blake3::hash(new.question.as_bytes()).as_bytes(),
                Trick::RoundsTtlsDown => new.ttl = whole_seconds,
                Trick::RoundsTtlsUp => new.ttl = whole_seconds.saturating_add(Duration::from_secs(1)),
                Trick::ServesTheOldAsNear | Trick::FiltersOldOnesAfterwards => new.ttl += new.retention,
                Trick::KeepsTheFirstTtl if kept.is_some() => new.ttl = Duration::from_millis(400),
                Trick::OverflowsLongTtls if new.ttl.as_millis() > u128::from(u64::MAX) => {
                    return Err(BackendErrorKind::Refused.into());
                }
                Trick::IgnoresCapacity => new.capacity = usize::MAX,
                Trick::ComparesOtherDimensions => new.embedding = &cut,
                Trick::NotesNoRemovals | Trick::TheLastPutWins => new.began = clock::instant().into_std(),
                Trick::NotesOfOneAreOfAll if self.state().removed && age >= BEFORE / 2 => return Ok(false),
                _ => {}
            }
            self.state().put.insert(key, (new.ttl.saturating_sub(new.retention), new.embedding.clone()));
            if self.trick == Trick::FailsUnderLoad {
                self.state().busy += 1;
                tokio::task::yield_now().await;
                let busy = std::mem::replace(&mut self.state().busy, 0);
                if busy >= 60 {
                    return Err(BackendErrorKind::TimedOut.into());
                }
            }
            self.inner.put(&place, new).await
        })
    }

    fn hit<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, ()> {
        Box::pin(async move {
            let found = self.inner.exact(of, hash).await?;
            let put = self.state().put.get(&(of.clone(), *hash)).cloned();
            if let (Some(entry), Some((ttl, embedding))) = (found, put)
                && matches!(self.trick, Trick::HitsProlong | Trick::UsedOnesStay)
            {
                let again = Put { response: &entry.response, ttl, ..Put::new(&entry.question, &embedding) };
                self.inner.put(of, again.new_of()).await?;
            }
            self.inner.hit(of, hash).await
        })
    }

    fn remove<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, bool> {
        Box::pin(async move {
            self.state().removed = true;
            let (of, hash) = (self.place(of), self.hash(of, hash));
            let is_there = self.inner.exact(&of, &hash).await?.is_some();
            match self.trick {
                Trick::RemovesNothing => Ok(is_there),
                Trick::AlwaysSaysRemoved => self.inner.remove(&of, &hash).await.map(|_| true),
                Trick::NotesOnlyWhatWasThere if !is_there => Ok(false),
                _ => self.inner.remove(&of, &hash).await,
            }
        })
    }

    fn remove_near<'a>(&'a self, of: &'a Partition, to: &'a Embedding, similarity: f32) -> Pending<'a, u64> {
        Box::pin(async move {
            let place = self.place(of);
            match self.trick {
                Trick::RemovesNearerThanItSays => self.inner.remove_near(&place, to, similarity + 0.05).await,
                Trick::NotesNoRemovalsOfTheNear => {
                    // Short entries in the place of those that go: nothing is noted.
                    let near = self.inner.nearest(&place, to, usize::MAX).await?;
                    let near: Vec<_> = near.into_iter().filter(|near| near.similarity >= similarity).collect();
                    for Near { entry, .. } in &near {
                        let brief = Put { ttl: Duration::from_nanos(1), ..Put::new(&entry.question, to) };
                        self.inner.put(&place, brief.new_of()).await?;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    Ok(near.len() as u64)
                }
                Trick::NotesOnlyTheNearThatWasThere => {
                    let near = self.inner.nearest(&place, to, usize::MAX).await?;
                    let near: Vec<_> = near.into_iter().filter(|near| near.similarity >= similarity).collect();
                    for Near { entry, .. } in &near {
                        self.inner.remove(&place, &entry.hash).await?;
                    }
                    Ok(near.len() as u64)
                }
                _ => self.inner.remove_near(&place, to, similarity).await,
            }
        })
    }

    fn clear<'a>(&'a self, namespace: &'a str) -> Pending<'a, u64> {
        Box::pin(async move {
            let pattern = namespace.trim_end_matches(['*', '%', '_']);
            let is_meant = |of: &Partition| match self.trick {
                Trick::ClearsPatterns => of.namespace.starts_with(pattern),
                Trick::ClearsOnePartition => *of.namespace == *namespace && of.tenant.is_empty(),
                _ => *of.namespace == *namespace,
            };
            let by_hand =
                [Trick::ClearsPatterns, Trick::ClearsOnePartition, Trick::ClearsOnePage, Trick::NotesNoClears];
            if !by_hand.contains(&self.trick) {
                let cleared = self.inner.clear(namespace).await?;
                return Ok(if self.trick == Trick::ClearsWithoutCounting { 0 } else { cleared });
            }
            let page = if self.trick == Trick::ClearsOnePage { 1000 } else { usize::MAX };
            let mut cleared = 0;
            for (of, hash) in self.all().into_iter().filter(|(of, _)| is_meant(of)).take(page) {
                cleared += u64::from(self.inner.remove(&of, &hash).await?);
            }
            Ok(cleared)
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

async fn tried(trick: Trick, name: &str) -> Option<Failure> {
    let check = all().into_iter().find(|(check, _)| *check == name).expect("there is such a check");
    failure(check, 16, Arc::new(Tricky::new(trick))).await
}

#[tokio::test(start_paused = true)]
async fn every_trick_is_seen() {
    let seen_by = [
        (Trick::FailsPings, "answers_a_ping"),
        (Trick::NeverAnswersPings, "answers_a_ping"),
        (Trick::LosesEverything, "returns_what_was_put"),
        (Trick::FindsNothingNear, "returns_what_was_put"),
        (Trick::ForgetsCosts, "returns_what_was_put"),
        (Trick::FoldsQuestions, "returns_what_was_put"),
        (Trick::ParsesResponses, "returns_any_text"),
        (Trick::CutsLargeResponses, "returns_a_mebibyte"),
        (Trick::KeepsTheFirst, "replaces_what_was_put"),
        (Trick::TakesQuestionsForHashes, "tells_hashes_apart"),
        (Trick::RemovesNothing, "removes_and_tells_whether_it_was_there"),
        (Trick::AlwaysSaysRemoved, "removes_and_tells_whether_it_was_there"),
        (Trick::HitsProlong, "asking_does_not_prolong"),
        (Trick::RoundsTtlsDown, "keeps_an_entry_until_its_ttl"),
        (Trick::RoundsTtlsUp, "lets_go_of_an_entry_at_its_ttl"),
        (Trick::ServesTheOldAsNear, "old_entries_are_exact_and_never_near"),
        (Trick::DropsTheOld, "old_entries_are_exact_and_never_near"),
        (Trick::KeepsTheFirstTtl, "replaces_the_ttl"),
        (Trick::OverflowsLongTtls, "the_longest_ttl_keeps"),
        (Trick::IgnoresCapacity, "those_made_first_make_room"),
        (Trick::UsedOnesStay, "those_made_first_make_room"),
        (Trick::SharesCapacity, "room_is_made_in_one_partition"),
        (Trick::SaysDistance, "similarity_is_the_cosine"),
        (Trick::RoundsSimilarities, "similarity_is_the_cosine"),
        (Trick::FarthestFirst, "nearest_come_first"),
        (Trick::IgnoresLimits, "nearest_come_first"),
        (Trick::HasAThreshold, "nearest_however_near"),
        (Trick::ComparesOtherDimensions, "another_number_of_dimensions_is_never_near"),
        (Trick::RemovesNearerThanItSays, "removes_what_is_near_and_counts"),
        (Trick::FiltersPartitionsAfterwards, "finds_few_among_many"),
        (Trick::FiltersOldOnesAfterwards, "finds_fresh_among_old"),
        (Trick::IgnoresTenants, "partitions_see_only_their_own"),
        (Trick::IgnoresModels, "partitions_see_only_their_own"),
        (Trick::IgnoresArguments, "partitions_see_only_their_own"),
        (Trick::JoinsNames, "partitions_see_only_their_own"),
        (Trick::FoldsNames, "partitions_see_only_their_own"),
        (Trick::CutsNames, "unusual_names_are_told_apart"),
        (Trick::ClearsOnePartition, "clears_all_partitions_of_a_function_and_counts"),
        (Trick::ClearsWithoutCounting, "clears_all_partitions_of_a_function_and_counts"),
        (Trick::ClearsPatterns, "clears_nothing_else"),
        (Trick::ClearsOnePage, "clears_thousands"),
        (Trick::NotesNoRemovals, "a_removal_wins_over_what_began_before"),
        (Trick::NotesOnlyWhatWasThere, "a_removal_wins_over_what_began_before"),
        (Trick::NotesOfOneAreOfAll, "a_removal_wins_over_what_began_before"),
        (Trick::NotesNoRemovalsOfTheNear, "a_removal_of_the_near_wins_over_what_began_before"),
        (Trick::NotesOnlyTheNearThatWasThere, "a_removal_of_the_near_wins_over_what_began_before"),
        (Trick::NotesNoClears, "a_clear_wins_over_what_began_before"),
        (Trick::TheLastPutWins, "what_began_later_wins"),
        (Trick::MixesUpAnswers, "never_answers_with_another_entry"),
        (Trick::FailsUnderLoad, "a_hundred_at_once"),
        (Trick::LeavesAnswersBehind, "a_dropped_call_disturbs_no_other"),
    ];
    let mut unseen = Vec::new();
    for (trick, check) in seen_by {
        if tried(trick, check).await.is_none() {
            unseen.push((trick, check));
        }
    }
    assert!(unseen.is_empty(), "not seen: {unseen:?}");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "answers_a_ping: `ping` failed: the store cannot be reached")]
async fn a_failure_says_what_was_seen() {
    check(16, async || Tricky::new(Trick::FailsPings)).await;
}
