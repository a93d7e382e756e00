//! Which pairs would be one, and whether they should.

use serde::Serialize;
use stampede_runtime::semantic::{Guard, Guards};

use super::embed::Embeddings;
use super::pairs::Pair;

/// All that was found out. Serialised, it is the JSON output; the names stay as they are.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) model: String,
    pub(super) pairs: Pairs,
    pub(super) questions: usize,
    pub(super) not_embedded: usize,
    pub(super) thresholds: Vec<AtThreshold>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Pairs {
    pub(super) same: u64,
    pub(super) different: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct AtThreshold {
    pub(super) threshold: f32,
    pub(super) guards: Vec<Figures>,
}

/// The hits with some guards on.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) set: &'static str,
    pub(super) guards: Vec<&'static str>,
    pub(super) right_hits: u64,
    pub(super) right_rate: Option<f64>,
    pub(super) wrong_hits: u64,
    pub(super) wrong_rate: Option<f64>,
    pub(super) wrong_share: Option<f64>,
}

/// The sets of guards that are compared, in the order in which they are shown.
fn sets() -> Vec<(&'static str, Guards)> {
    let one = Guard::ALL.map(|guard| (guard.name(), Guards::of(&[guard])));
    let several = [("default", Guards::default()), ("all", Guards::of(&Guard::ALL))];
    [("none", Guards::NONE)].into_iter().chain(one).chain(several).collect()
}

/// A pair, compared once for all thresholds.
struct Compared {
    is_same: bool,
    similarity: f32,
    /// Which of the sets refuse it.
    refused: Vec<bool>,
}

pub(super) fn report(model: &str, pairs: &[Pair], embeddings: &Embeddings<'_>, thresholds: &[f32]) -> Report {
    let sets = sets();
    let compared: Vec<_> = pairs.iter().filter_map(|pair| compare(pair, embeddings, &sets)).collect();
    let same = pairs.iter().filter(|pair| pair.is_same).count() as u64;
    let counts = Pairs { same, different: pairs.len() as u64 - same };
    let at = |&threshold: &f32| AtThreshold { threshold, guards: hits(threshold, &compared, counts, &sets) };
    Report {
        model: model.to_owned(),
        pairs: counts,
        questions: embeddings.len(),
        not_embedded: embeddings.values().filter(|embedding| embedding.is_none()).count(),
        thresholds: thresholds.iter().map(at).collect(),
    }
}

/// `None`: one of them has no embedding, so that the pair is never a hit.
fn compare(pair: &Pair, embeddings: &Embeddings<'_>, sets: &[(&str, Guards)]) -> Option<Compared> {
    let [a, b] = &pair.questions;
    let [one, other] = [a, b].map(|question| embeddings.get(question.as_str()).and_then(Option::as_ref));
    let similarity = one?.similarity(other?)?;
    let refused = sets.iter().map(|(_, guards)| guards.refuse(b, a).is_some()).collect();
    Some(Compared { is_same: pair.is_same, similarity, refused })
}

fn hits(threshold: f32, compared: &[Compared], pairs: Pairs, sets: &[(&'static str, Guards)]) -> Vec<Figures> {
    let near: Vec<_> = compared.iter().filter(|pair| pair.similarity >= threshold).collect();
    let of_set = |(at, (set, guards)): (usize, &(&'static str, Guards))| {
        let hits = |is_same| near.iter().filter(|pair| pair.is_same == is_same && !pair.refused[at]).count() as u64;
        let (right, wrong) = (hits(true), hits(false));
        Figures {
            set,
            guards: Guard::ALL.into_iter().filter(|guard| guards.has(*guard)).map(Guard::name).collect(),
            right_hits: right,
            right_rate: rate(right, pairs.same),
            wrong_hits: wrong,
            wrong_rate: rate(wrong, pairs.different),
            wrong_share: rate(wrong, right + wrong),
        }
    };
    sets.iter().enumerate().map(of_set).collect()
}

fn rate(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use stampede_runtime::semantic::Embedding;

    use super::*;

    fn pair(a: &str, b: &str, is_same: bool) -> Pair {
        Pair { questions: [a, b].map(str::to_owned), is_same }
    }

    /// At an angle to the first axis whose cosine is this.
    fn towards(cosine: f32) -> Option<Embedding> {
        Embedding::new(vec![cosine, (1.0 - cosine * cosine).sqrt()], 2).ok()
    }

    #[test]
    fn hits_are_counted_against_what_they_could_be() {
        let pairs = [
            pair("q", "near", true),
            pair("q", "far", true),
            pair("q", "nowhere", true),
            pair("q", "near", false),
            pair("q", "far", false),
        ];
        let near = [("q", towards(1.0)), ("near", towards(0.95)), ("far", towards(0.5)), ("nowhere", None)];
        let report = report("m", &pairs, &near.into_iter().collect(), &[0.9, 0.4, 1.0]);
        assert_eq!((report.pairs.same, report.pairs.different, report.questions, report.not_embedded), (3, 2, 4, 1));
        let figures = |at: usize| {
            let hits = &report.thresholds[at].guards[0];
            (hits.right_hits, hits.right_rate, hits.wrong_hits, hits.wrong_rate, hits.wrong_share)
        };
        assert_eq!(figures(0), (1, Some(1.0 / 3.0), 1, Some(0.5), Some(0.5)));
        assert_eq!(figures(1), (2, Some(2.0 / 3.0), 2, Some(1.0), Some(0.5)));
        assert_eq!(figures(2), (0, Some(0.0), 0, Some(0.0), None));
    }

    #[test]
    fn what_is_exactly_as_near_as_the_threshold_is_a_hit() {
        let same = [("a", towards(1.0)), ("b", towards(1.0))].into_iter().collect();
        assert_eq!(report("m", &[pair("a", "b", true)], &same, &[1.0]).thresholds[0].guards[0].right_hits, 1);
    }

    #[test]
    fn every_guard_is_compared_alone_and_with_others() {
        let sets = sets();
        let names: Vec<_> = sets.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["none", "numbers", "antonyms", "negation", "entities", "quoted", "default", "all"]);
    }

    #[test]
    fn a_guard_that_refuses_takes_a_hit_away() {
        let [a, b] = ["fine for 5 km over", "fine for 50 km over"];
        let near = [(a, towards(1.0)), (b, towards(1.0))].into_iter().collect();
        let report = report("m", &[pair(a, b, false)], &near, &[0.9]);
        let wrong = |set: &str| report.thresholds[0].guards.iter().find(|hits| hits.set == set).unwrap().wrong_hits;
        assert_eq!(["none", "numbers", "quoted", "default", "all"].map(wrong), [1, 0, 1, 0, 0]);
    }
}
