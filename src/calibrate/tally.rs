//! Which pairs would be one, and whether they should.

use serde::Serialize;
use stampede_runtime::semantic::{Guard, Guards};

use super::embed::Embeddings;
use super::interval;
use super::pairs::Pair;

/// How fine thresholds are tried for a recommendation and drawn: so many to the distance of one.
const STEPS: u16 = 200;
/// The set that is on unless a function says otherwise.
pub(super) const DEFAULT: &str = "default";

/// All that was found out. Serialised, it is the JSON output; the names stay as they are.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) model: String,
    pub(super) pairs: Pairs,
    pub(super) questions: usize,
    pub(super) not_embedded: usize,
    pub(super) thresholds: Vec<AtThreshold>,
    pub(super) recommended: Option<Recommended>,
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

/// The hits with some guards on. Intervals are of 95 %: from, to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    pub(super) set: &'static str,
    pub(super) guards: Vec<&'static str>,
    pub(super) right_hits: u64,
    pub(super) right_rate: Option<f64>,
    pub(super) right_interval: Option<[f64; 2]>,
    pub(super) wrong_hits: u64,
    pub(super) wrong_rate: Option<f64>,
    pub(super) wrong_interval: Option<[f64; 2]>,
    pub(super) wrong_share: Option<f64>,
    pub(super) wrong_share_interval: Option<[f64; 2]>,
    /// What the share does not exceed, with 95 %, on that side alone.
    pub(super) wrong_share_upper: Option<f64>,
}

/// What keeps wrong hits as few as was wished.
#[derive(Debug, Serialize)]
pub(super) struct Recommended {
    pub(super) max_error: f64,
    pub(super) guards: Vec<Choice>,
}

/// For a set of guards. Without a threshold: where the bound is least.
#[derive(Debug, Serialize)]
pub(super) struct Choice {
    pub(super) threshold: Option<f32>,
    pub(super) nearest_threshold: Option<f32>,
    #[serde(flatten)]
    pub(super) figures: Option<Figures>,
}

/// All pairs, compared once for all thresholds.
pub(super) struct Tally {
    model: String,
    pairs: Pairs,
    questions: usize,
    not_embedded: usize,
    sets: Vec<(&'static str, Guards)>,
    compared: Vec<Compared>,
}

struct Compared {
    is_same: bool,
    similarity: f32,
    /// Which of the sets refuse it.
    refused: Vec<bool>,
}

impl Tally {
    pub(super) fn new(model: &str, pairs: &[Pair], embeddings: &Embeddings<'_>) -> Tally {
        let sets = sets();
        let same = pairs.iter().filter(|pair| pair.is_same).count() as u64;
        Tally {
            model: model.to_owned(),
            pairs: Pairs { same, different: pairs.len() as u64 - same },
            questions: embeddings.len(),
            not_embedded: embeddings.values().filter(|embedding| embedding.is_none()).count(),
            compared: pairs.iter().filter_map(|pair| compare(pair, embeddings, &sets)).collect(),
            sets,
        }
    }

    pub(super) fn report(&self, thresholds: &[f32], max_error: Option<f64>) -> Report {
        let all = |threshold| (0..self.sets.len()).map(move |set| self.figures(threshold, set)).collect();
        Report {
            model: self.model.clone(),
            pairs: self.pairs,
            questions: self.questions,
            not_embedded: self.not_embedded,
            thresholds: thresholds.iter().map(|&threshold| AtThreshold { threshold, guards: all(threshold) }).collect(),
            recommended: max_error.map(|max_error| Recommended {
                max_error,
                guards: (0..self.sets.len()).map(|set| self.choose(set, max_error)).collect(),
            }),
        }
    }

    /// The figures of one set over the thresholds from `from` to 1.
    pub(super) fn curve(&self, set: &str, from: f32) -> Vec<(f32, Figures)> {
        let set = self.sets.iter().position(|(name, _)| *name == set).expect("the set is one of ours");
        grid()
            .filter(|threshold| *threshold >= from)
            .map(|threshold| (threshold, self.figures(threshold, set)))
            .collect()
    }

    /// The lowest threshold whose bound is not above what is wished.
    fn choose(&self, set: usize, max_error: f64) -> Choice {
        let tried = || grid().map(|threshold| (threshold, self.figures(threshold, set)));
        let bound = |figures: &Figures| figures.wrong_share_upper.unwrap_or(1.0);
        if let Some((threshold, figures)) = tried().find(|(_, figures)| bound(figures) <= max_error) {
            return Choice { threshold: Some(threshold), nearest_threshold: None, figures: Some(figures) };
        }
        let least = tried().min_by(|(_, one), (_, other)| bound(one).total_cmp(&bound(other)));
        let (nearest_threshold, figures) =
            least.map_or((None, None), |(threshold, figures)| (Some(threshold), Some(figures)));
        Choice { threshold: None, nearest_threshold, figures }
    }

    fn figures(&self, threshold: f32, set: usize) -> Figures {
        let (name, guards) = self.sets[set];
        let near = self.compared.iter().filter(|pair| pair.similarity >= threshold && !pair.refused[set]);
        let (mut right, mut wrong) = (0, 0);
        for pair in near {
            *(if pair.is_same { &mut right } else { &mut wrong }) += 1;
        }
        let Pairs { same, different } = self.pairs;
        Figures {
            set: name,
            guards: Guard::ALL.into_iter().filter(|guard| guards.has(*guard)).map(Guard::name).collect(),
            right_hits: right,
            right_rate: of(right, same, rate),
            right_interval: of(right, same, interval::both),
            wrong_hits: wrong,
            wrong_rate: of(wrong, different, rate),
            wrong_interval: of(wrong, different, interval::both),
            wrong_share: of(wrong, right + wrong, rate),
            wrong_share_interval: of(wrong, right + wrong, interval::both),
            wrong_share_upper: of(wrong, right + wrong, interval::upper),
        }
    }
}

/// Thresholds that are tried: from 0 to 1.
fn grid() -> impl Iterator<Item = f32> {
    (0..=STEPS).map(|step| f32::from(step) / f32::from(STEPS))
}

/// The sets of guards that are compared, in the order in which they are shown.
fn sets() -> Vec<(&'static str, Guards)> {
    let one = Guard::ALL.map(|guard| (guard.name(), Guards::of(&[guard])));
    let several = [(DEFAULT, Guards::default()), ("all", Guards::of(&Guard::ALL))];
    [("none", Guards::NONE)].into_iter().chain(one).chain(several).collect()
}

/// `None`: one of them has no embedding, so that the pair is never a hit.
fn compare(pair: &Pair, embeddings: &Embeddings<'_>, sets: &[(&str, Guards)]) -> Option<Compared> {
    let [a, b] = &pair.questions;
    let [one, other] = [a, b].map(|question| embeddings.get(question.as_str()).and_then(Option::as_ref));
    let similarity = one?.similarity(other?)?;
    let refused = sets.iter().map(|(_, guards)| guards.refuse(b, a).is_some()).collect();
    Some(Compared { is_same: pair.is_same, similarity, refused })
}

/// `None` where there is nothing to count.
fn of<T>(part: u64, whole: u64, what: fn(u64, u64) -> T) -> Option<T> {
    (whole > 0).then(|| what(part, whole))
}

fn rate(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
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

    fn report(pairs: &[Pair], embeddings: &Embeddings<'_>, thresholds: &[f32]) -> Report {
        Tally::new("m", pairs, embeddings).report(thresholds, None)
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
        let report = report(&pairs, &near.into_iter().collect(), &[0.9, 0.4, 1.0]);
        assert_eq!((report.pairs.same, report.pairs.different, report.questions, report.not_embedded), (3, 2, 4, 1));
        let figures = |at: usize| {
            let hits = &report.thresholds[at].guards[0];
            (hits.right_hits, hits.right_rate, hits.wrong_hits, hits.wrong_rate, hits.wrong_share)
        };
        assert_eq!(figures(0), (1, Some(1.0 / 3.0), 1, Some(0.5), Some(0.5)));
        assert_eq!(figures(1), (2, Some(2.0 / 3.0), 2, Some(1.0), Some(0.5)));
        assert_eq!(figures(2), (0, Some(0.0), 0, Some(0.0), None));
        let hits = &report.thresholds[1].guards[0];
        assert_eq!(hits.right_interval, Some(interval::both(2, 3)));
        assert_eq!(hits.wrong_interval, Some(interval::both(2, 2)));
        assert_eq!(hits.wrong_share_interval, Some(interval::both(2, 4)));
        assert_eq!(hits.wrong_share_upper, Some(interval::upper(2, 4)));
    }

    #[test]
    fn what_is_exactly_as_near_as_the_threshold_is_a_hit() {
        let same = [("a", towards(1.0)), ("b", towards(1.0))].into_iter().collect();
        assert_eq!(report(&[pair("a", "b", true)], &same, &[1.0]).thresholds[0].guards[0].right_hits, 1);
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
        let report = report(&[pair(a, b, false)], &near, &[0.9]);
        let wrong = |set: &str| report.thresholds[0].guards.iter().find(|hits| hits.set == set).unwrap().wrong_hits;
        assert_eq!(["none", "numbers", "quoted", "default", "all"].map(wrong), [1, 0, 1, 0, 0]);
    }

    /// 200 right pairs at 0.9, and wrong ones at 0.6: the lowest threshold above those is the one, if 200 are enough to be sure.
    #[test]
    fn what_is_recommended_is_the_lowest_threshold_that_is_sure() {
        let right = (0..200).map(|_| pair("q", "near", true));
        let pairs: Vec<_> = right.chain((0..50).map(|_| pair("q", "far", false))).collect();
        let near = [("q", towards(1.0)), ("near", towards(0.9)), ("far", towards(0.6))].into_iter().collect();
        let tally = Tally::new("m", &pairs, &near);
        let choose = |max_error| tally.choose(0, max_error);
        assert_eq!(choose(0.02).threshold, Some(0.605));
        assert_eq!(choose(0.5).threshold, Some(0.0));
        // None wrong in 200 is sure of 1.5 %, and of no less.
        assert!(interval::upper(0, 200) < 0.015);
        let none = choose(0.01);
        assert_eq!((none.threshold, none.nearest_threshold), (None, Some(0.605)));
        assert_eq!(none.figures.unwrap().wrong_hits, 0);
    }

    #[test]
    fn without_a_hit_nothing_is_sure() {
        let tally = Tally::new("m", &[pair("a", "b", true)], &[("a", None), ("b", None)].into_iter().collect());
        let choice = tally.choose(0, 0.99);
        assert_eq!((choice.threshold, choice.figures.unwrap().wrong_share), (None, None));
    }
}
