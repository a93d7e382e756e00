//! What a program is: a list of steps, and how they are drawn.

use std::fmt;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;

/// So many keys, so that calls often meet.
pub(super) const KEYS: usize = 3;

/// The longest program.
const STEPS: usize = 60;

/// A call or refresh: the how manieth of its program.
pub(super) type Call = usize;

/// What decides whether a value is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quality {
    Good,
    /// Kept for a shorter time, by functions that choose.
    Brief,
    /// Not kept, by functions that choose.
    Poor,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Value(Quality),
    Error,
    Panic,
}

/// What is put in.
pub(super) type Put = Result<Quality, ()>;

/// One step. `caller` and `body` are places in the list of those there are at that moment, counted from its beginning
/// and round again; without any, nothing happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Makes a call, and polls it once.
    Call {
        key: usize,
        at_once: Option<Ending>,
    },
    /// Makes a call that nobody polls yet.
    Unpolled {
        key: usize,
        at_once: Option<Ending>,
        refresh: bool,
    },
    Refresh {
        key: usize,
        at_once: Option<Ending>,
    },
    Poll {
        caller: usize,
    },
    Drop {
        caller: usize,
    },
    /// Lets a body end.
    End {
        body: usize,
        ending: Ending,
    },
    Invalidate {
        key: usize,
    },
    Clear,
    Insert {
        key: usize,
        put: Put,
    },
    /// Lets time pass, in quarters of a second.
    Advance {
        quarters: usize,
    },
    /// Lets everything that can move without time do so.
    Settle,
}

/// The steps, one a line.
#[derive(Clone)]
pub(super) struct Program(pub(super) Vec<Step>);

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        self.0.iter().try_for_each(|step| writeln!(f, "    {step:?}"))
    }
}

fn quality() -> impl Strategy<Value = Quality> {
    prop_oneof![4 => Just(Quality::Good), 1 => Just(Quality::Brief), 2 => Just(Quality::Poor)]
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![5 => quality().prop_map(Ending::Value), 2 => Just(Ending::Error), 1 => Just(Ending::Panic)]
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS;
    let at_once = || weighted(0.2, ending());
    let place = || 0..8_usize;
    prop_oneof![
        10 => (key(), at_once()).prop_map(|(key, at_once)| Step::Call { key, at_once }),
        2 => (key(), at_once(), proptest::bool::ANY)
            .prop_map(|(key, at_once, refresh)| Step::Unpolled { key, at_once, refresh }),
        4 => (key(), at_once()).prop_map(|(key, at_once)| Step::Refresh { key, at_once }),
        6 => place().prop_map(|caller| Step::Poll { caller }),
        6 => place().prop_map(|caller| Step::Drop { caller }),
        8 => (place(), ending()).prop_map(|(body, ending)| Step::End { body, ending }),
        4 => key().prop_map(|key| Step::Invalidate { key }),
        1 => Just(Step::Clear),
        3 => (key(), prop_oneof![4 => quality().prop_map(Ok), 1 => Just(Err(()))])
            .prop_map(|(key, put)| Step::Insert { key, put }),
        4 => (1..6_usize).prop_map(|quarters| Step::Advance { quarters }),
        8 => Just(Step::Settle),
    ]
}

pub(super) fn program() -> impl Strategy<Value = Program> {
    vec(step(), 1..STEPS).prop_map(Program)
}
