//! How near is near enough, learnt from near questions of which somebody knows whether they mean the same.
//!
//! **What is promised.** Let the *risk* of a similarity be the part of the questions at least so near that do not mean the same.
//! While traffic stays what it is, with a probability of at least 95 % there is no moment at which [`Bound`] serves from a
//! similarity whose risk is above `max_error`.
//!
//! **How.** The similarities are cut into ten levels by those of the first near questions: the nearest 3 % of them, 6 %, and so
//! on up to all. For each level
//! there is a hypothesis: the risk from here up is above `max_error`. What speaks against it is an e-value: the likelihood of
//! the labels if fewer were wrong, a mixture of several rates, over that if just `max_error` of them were. If the hypothesis
//! is true, that is a supermartingale which begins at 1, so it ever exceeds 1/a with a probability of at most a (Ville); it may
//! be looked at after each label. Ten hypotheses share 5 %: each has a tenth, and one that is refuted passes its part on to
//! the next lower level (the fallback procedure of Wiens, 2003). So where the nearest level is a bad one, lower ones that make
//! up for it can still be served, and where all are good, each is easier than the one before.
//!
//! From the level that is served down, labels are many and above it few: there only a share of the hits is audited. So what
//! is from a level up is judged by a *uniform* sample, in which each near question is with the same probability. Beside that, if
//! all from the level above up is served, the level by itself may show that its own risk is low enough: there all of its labels
//! count. Half of the e-value is of each kind.
//!
//! The idea of learning a bound per cache rather than setting a threshold is that of vCache (arXiv 2502.03771), which fits a
//! logistic curve for each entry, and asks for six labels of each first. Here all entries of a function are one population: it
//! learns from the first few hundred near questions, however many entries they are near to. Fixed sequences of tests for a
//! bounded risk: Angelopoulos, Bates, Candès, Jordan & Lei, "Learn then test" (arXiv 2110.01052).
//!
//! **Drift.** Labels are forgotten in blocks, and where the hits that are audited turn out wrong far more often, everything is.

use std::mem::take;

/// The probability that a level is ever served whose risk is too high.
const DOUBT: f64 = 0.05;
/// From so many labels on there are levels.
const FIRST_LABELS: usize = 200;
/// What part of the near questions are at least so near, level by level.
const LEVELS: [f64; 10] = [0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0];
/// All hypotheses are tested after so many labels.
const PAUSE: u64 = 10;
/// After so many labels of the uniform sample the block before is forgotten.
const BLOCK: u64 = 10_000;
/// The rates, in parts of `max_error`, of which the e-value is a mixture.
const RATES: [f64; 6] = [0.02, 0.1, 0.2, 0.35, 0.5, 0.7];
/// What speaks for it that hits are wrong three times as often as they may, against as often. By chance alone that is reached
/// once in so many audited hits, or more.
const ALARM: f64 = 1_000.0;
const ALARM_RATE: f64 = 3.0;

/// Labels: how many, and how many of them are wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) all: u64,
    pub(crate) wrong: u64,
}

impl Labels {
    fn add(&mut self, is_wrong: bool) {
        self.all += 1;
        self.wrong += u64::from(is_wrong);
    }

    fn and(self, other: Labels) -> Labels {
        Labels { all: self.all + other.all, wrong: self.wrong + other.wrong }
    }

    /// How much more likely they are if fewer than `max_error` of all are wrong, as a logarithm.
    fn evidence(self, max_error: f64) -> f64 {
        let (wrong, right) = (self.wrong as f64, (self.all - self.wrong) as f64);
        let of = |part: f64| {
            let rate = part * max_error;
            wrong * part.ln() + right * ((1.0 - rate) / (1.0 - max_error)).ln()
        };
        mean(RATES.map(of))
    }
}

/// The logarithm of the mean of what these are the logarithms of.
fn mean<const N: usize>(logarithms: [f64; N]) -> f64 {
    let most = logarithms.into_iter().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + (logarithms.into_iter().map(|one| (one - most).exp()).sum::<f64>() / N as f64).ln()
}

/// The labels of one level, in the block that is being filled and in the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// At least so near.
    from: f32,
    all: [Labels; 2],
    /// Those of the uniform sample.
    uniform: [Labels; 2],
}

impl Level {
    fn all(&self) -> Labels {
        self.all[0].and(self.all[1])
    }

    fn uniform(&self) -> Labels {
        self.uniform[0].and(self.uniform[1])
    }
}

/// What one function has learnt.
#[derive(Debug)]
pub(crate) struct Bound {
    max_error: f64,
    /// The nearest first. None until there are enough labels.
    levels: Vec<Level>,
    /// Until then: how near, and whether wrong.
    first: Vec<(f32, bool)>,
    /// So many levels are served, from the nearest on.
    served: usize,
    /// Labels of the uniform sample in this block.
    in_block: u64,
    /// Labels since the hypotheses were last tested.
    since: u64,
    /// What speaks for a change, as a logarithm of at least 0.
    alarm: f64,
    /// Counts what was forgotten for a change: labels that were asked for before are of no use.
    resets: u64,
}

/// A near question that was looked at, for its label.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    similarity: f32,
    is_uniform: bool,
    pub(crate) is_served: bool,
    resets: u64,
}

/// One level as it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct At {
    pub(crate) from: f32,
    pub(crate) labels: Labels,
    pub(crate) is_served: bool,
}

impl Bound {
    pub(crate) fn new(max_error: f64) -> Bound {
        Bound {
            max_error,
            levels: Vec::new(),
            first: Vec::new(),
            served: 0,
            in_block: 0,
            since: 0,
            alarm: 0.0,
            resets: 0,
        }
    }

    /// What is at least so near is served. `None`: nothing is.
    pub(crate) fn threshold(&self) -> Option<f32> {
        self.served.checked_sub(1).map(|last| self.levels[last].from)
    }

    /// A near question is looked at. `is_audited`: it is one of the share of those that are labelled although they are served.
    /// Whether it is to be labelled is the same: a ticket that is served and not audited has no use.
    pub(crate) fn look(&self, similarity: f32, is_audited: bool) -> Ticket {
        let is_served = self.threshold().is_some_and(|threshold| similarity >= threshold);
        // Where nothing is served, all are labelled.
        let is_uniform = is_audited || self.served == 0;
        Ticket { similarity, is_uniform, is_served, resets: self.resets }
    }

    /// It is known whether the answer was a wrong one.
    pub(crate) fn learn(&mut self, ticket: Ticket, is_wrong: bool) {
        if ticket.resets != self.resets {
            return;
        }
        if self.levels.is_empty() {
            self.first.push((ticket.similarity, is_wrong));
            if self.first.len() >= FIRST_LABELS {
                self.cut();
            }
        } else {
            self.note(ticket.similarity, is_wrong, ticket.is_uniform);
        }
        if ticket.is_served && self.is_alarmed(is_wrong) {
            *self = Bound { resets: self.resets + 1, ..Bound::new(self.max_error) };
        }
        self.since += 1;
        if self.since >= PAUSE {
            self.since = 0;
            self.decide();
        }
    }

    /// Makes levels of the similarities so far. Those of a level are a sample of what falls into it, whatever its edges; so
    /// their labels count.
    fn cut(&mut self) {
        let first = take(&mut self.first);
        let mut similarities: Vec<f32> = first.iter().map(|(similarity, _)| *similarity).collect();
        similarities.sort_unstable_by(|one, other| other.total_cmp(one));
        let count = similarities.len();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the count")]
        let edge = |part: f64| similarities[((part * count as f64) as usize).clamp(1, count) - 1];
        self.levels = LEVELS.map(edge).into_iter().map(|from| Level { from, ..Level::default() }).collect();
        self.levels.dedup_by_key(|level| level.from);
        for (similarity, is_wrong) in first {
            self.note(similarity, is_wrong, true);
        }
    }

    fn note(&mut self, similarity: f32, is_wrong: bool, is_uniform: bool) {
        // What is below all levels is of none of them, and never served.
        let Some(level) = self.levels.iter_mut().find(|level| similarity >= level.from) else { return };
        level.all[0].add(is_wrong);
        if is_uniform {
            level.uniform[0].add(is_wrong);
            self.in_block += 1;
        }
        if self.in_block >= BLOCK {
            self.in_block = 0;
            for level in &mut self.levels {
                level.all = [Labels::default(), level.all[0]];
                level.uniform = [Labels::default(), level.uniform[0]];
            }
        }
    }

    /// Whether the hits have become far worse: the sum of what speaks for that, from the moment at which it would be most
    /// (Page's CUSUM, as an e-detector: Shin, Ramdas & Rinaldo, 2022).
    fn is_alarmed(&mut self, is_wrong: bool) -> bool {
        let worse = (ALARM_RATE * self.max_error).min(f64::midpoint(1.0, self.max_error));
        let step = if is_wrong { (worse / self.max_error).ln() } else { ((1.0 - worse) / (1.0 - self.max_error)).ln() };
        self.alarm = self.alarm.max(0.0) + step;
        self.alarm >= ALARM.ln()
    }

    /// Tests all hypotheses. Where one is refuted, all that is from there up is served.
    fn decide(&mut self) {
        let part = DOUBT / self.levels.len().max(1) as f64;
        let (mut passed_on, mut is_above_served, mut above, mut served) = (0.0, false, Labels::default(), 0);
        for (at, level) in self.levels.iter().enumerate() {
            above = above.and(level.uniform());
            let from_here_up = above.evidence(self.max_error);
            // For the first one there is nothing above it that could be worse.
            let by_itself = if is_above_served { level.all().evidence(self.max_error) } else { f64::NEG_INFINITY };
            let evidence = if at == 0 { from_here_up } else { mean([from_here_up, by_itself]) };
            let doubt = part + passed_on;
            is_above_served = evidence >= -doubt.ln();
            passed_on = if is_above_served { doubt } else { 0.0 };
            if is_above_served {
                served = at + 1;
            }
        }
        self.served = served;
    }

    /// All that counts at present.
    pub(crate) fn levels(&self) -> Vec<At> {
        let at =
            |(at, level): (usize, &Level)| At { from: level.from, labels: level.all(), is_served: at < self.served };
        self.levels.iter().enumerate().map(at).collect()
    }

    /// The labels of what is served, each near question with the same probability; of everything, where nothing is.
    pub(crate) fn of_served(&self) -> Labels {
        let levels = self.levels.iter().take(self.served);
        levels.fold(Labels::default(), |sum, level| sum.and(level.uniform()))
    }

    /// All labels that count at present.
    pub(crate) fn labels(&self) -> Labels {
        let first = Labels {
            all: self.first.len() as u64,
            wrong: self.first.iter().filter(|(_, is_wrong)| *is_wrong).count() as u64,
        };
        self.levels.iter().fold(first, |sum, level| sum.and(level.all()))
    }

    /// How often everything was forgotten for a change.
    pub(crate) fn resets(&self) -> u64 {
        self.resets
    }
}

/// The least rate of wrong ones at which so few are wrong with a probability of no more than `doubt`: the upper bound of
/// Clopper and Pearson, one-sided.
pub(crate) fn at_most(labels: Labels, doubt: f64) -> f64 {
    if labels.wrong >= labels.all {
        return 1.0;
    }
    search(|rate| so_few(labels, rate) > doubt)
}

/// The same from below.
pub(crate) fn at_least(labels: Labels, doubt: f64) -> f64 {
    if labels.wrong == 0 {
        return 0.0;
    }
    let more = Labels { all: labels.all, wrong: labels.wrong - 1 };
    search(|rate| 1.0 - so_few(more, rate) < doubt)
}

/// The rate from which on `is_below` does not hold.
fn search(is_below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if is_below(middle) { low = middle } else { high = middle }
    }
    high
}

/// The probability that of so many labels no more than those are wrong, at a rate.
fn so_few(Labels { all, wrong }: Labels, rate: f64) -> f64 {
    if rate <= 0.0 {
        return 1.0;
    }
    if rate >= 1.0 {
        return if wrong >= all { 1.0 } else { 0.0 };
    }
    // Term by term, in logarithms: the first one alone may be too small for a number.
    let (n, odds) = (all as f64, (rate / (1.0 - rate)).ln());
    let mut term = n * (-rate).ln_1p();
    let mut sum = f64::NEG_INFINITY;
    for k in 0..=wrong.min(all) {
        sum = add(sum, term);
        term += ((n - k as f64) / (k as f64 + 1.0)).ln() + odds;
    }
    sum.exp().min(1.0)
}

fn add(one: f64, other: f64) -> f64 {
    let (most, least) = if one > other { (one, other) } else { (other, one) };
    if least == f64::NEG_INFINITY { most } else { most + (least - most).exp().ln_1p() }
}

#[cfg(test)]
mod tests;
