//! What is drawn: a policy, and a list of steps.

use std::fmt;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use stampede_runtime::Settings;

/// Milliseconds. Those of the model can be before its beginning.
pub(super) type Ms = i64;

pub(super) fn span(ms: Ms) -> Duration {
    Duration::from_millis(ms.try_into().expect("spans are not negative"))
}

/// The longest program.
const STEPS: usize = 30;

/// What the attribute of a function says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute {
    pub(super) ttl: Option<Ms>,
    pub(super) none_ttl: Option<Ms>,
    /// Poor values are not kept.
    pub(super) is_picky: bool,
}

/// What the configuration says. Per cent: `early`, `jitter`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) ttl: Option<Ms>,
    pub(super) stale: Option<Ms>,
    pub(super) stale_if_error: Option<Ms>,
    pub(super) early: Option<u16>,
    pub(super) jitter: Option<u16>,
    pub(super) none_ttl: Option<Ms>,
    pub(super) cache_err: Option<Ms>,
    pub(super) timeout: Option<Ms>,
    pub(super) soft_timeout: Option<Ms>,
    pub(super) wait: Option<Ms>,
}

impl Policy {
    /// Without what cannot be said beside the rest.
    fn lawful(mut self) -> Policy {
        let is_less = |one: Option<Ms>, other: Option<Ms>| one.zip(other).is_none_or(|(one, other)| one < other);
        self.stale = self.stale.filter(|_| is_less(self.stale, self.stale_if_error));
        let is_first = is_less(self.soft_timeout, self.timeout) && is_less(self.soft_timeout, self.wait);
        self.soft_timeout = self.soft_timeout.filter(|_| is_first);
        self
    }

    pub(super) fn settings(&self) -> Settings {
        let mut settings = Settings::new();
        macro_rules! set {
            ($($word:ident: $value:expr),*) => {
                $(if let Some(value) = self.$word {
                    settings = settings.$word($value(value));
                })*
            };
        }
        let part = |percent: u16| f64::from(percent) / 100.0;
        set!(
            ttl: span, stale: span, stale_if_error: span, early: part, jitter: part, none_ttl: span, cache_err: span,
            timeout: span, soft_timeout: span, wait: span
        );
        settings
    }
}

// Calls come at whole tenths of a second. The last two digits of everything else differ so that no two things happen at
// once, and nothing happens at the very end of a value.

fn policy() -> impl Strategy<Value = Policy> {
    let ms = |times: &'static [Ms]| of(select(times));
    let kept = (
        proptest::option::weighted(0.95, select(&[0, 901, 901, 2_501, 2_501, 8_001, 8_001, 20_001][..])),
        ms(&[1_402, 5_002, 100_002]),
        ms(&[2_804, 30_004, 200_004]),
        proptest::option::weighted(0.3, select(&[0_u16, 5, 100, 1_000][..])),
        proptest::option::weighted(0.3, select(&[0_u16, 10, 50, 100][..])),
        ms(&[0, 706, 3_006]),
        ms(&[0, 1_109, 4_009]),
    );
    let limits =
        (ms(&[620, 1_520]), ms(&[170, 570, 1_170]), proptest::option::weighted(0.3, select(&[890, 2_490][..])));
    (kept, limits).prop_map(|(kept, limits)| {
        let (ttl, stale, stale_if_error, early, jitter, none_ttl, cache_err) = kept;
        let (timeout, soft_timeout, wait) = limits;
        Policy { ttl, stale, stale_if_error, early, jitter, none_ttl, cache_err, timeout, soft_timeout, wait }.lawful()
    })
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Value,
    /// A value that picky functions do not keep.
    Poor,
    None,
    Error,
    Panic,
}

/// What a body does, if it is the one that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) takes: Ms,
    pub(super) ending: Ending,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Advance(Ms),
    Call(Script),
    Refresh(Script),
    /// One of those who wait leaves: that many, counted round.
    Drop(usize),
    Invalidate,
    Clear,
    Insert(Ending),
}

/// A policy and what happens under it, one step a line.
#[derive(Clone)]
pub(super) struct Program {
    pub(super) policy: Policy,
    /// The seed of all that is left to chance, so that a failure can be repeated.
    pub(super) seed: u64,
    pub(super) steps: Vec<Step>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}, seed {}", self.policy, self.seed)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "    {step:?}"))
    }
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        5 => Just(Ending::Value),
        2 => Just(Ending::Poor),
        2 => Just(Ending::None),
        5 => Just(Ending::Error),
        2 => Just(Ending::Panic),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let script = || {
        let takes = select(&[0, 50, 350, 350, 850, 2_050][..]);
        (takes, ending()).prop_map(|(takes, ending)| Script { takes, ending })
    };
    prop_oneof![
        10 => select(&[100, 300, 700, 1_000, 1_000, 2_600, 4_000, 9_000, 35_000, 90_000][..]).prop_map(Step::Advance),
        12 => script().prop_map(Step::Call),
        2 => script().prop_map(Step::Refresh),
        2 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::Invalidate),
        1 => Just(Step::Clear),
        1 => ending().prop_map(Step::Insert),
    ]
}

pub(super) fn program() -> impl Strategy<Value = Program> {
    (policy(), any::<u64>(), vec(step(), 1..STEPS)).prop_map(|(policy, seed, steps)| Program { policy, seed, steps })
}
