//! A process: what it is about.

use crate::store::protocol::{Reply, Wanted};

/// What a caller asks of its process, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// An ordinary call.
    Call,
    /// A call behind an old value: what is there when it begins will not do.
    Behind,
    /// One that asks for what begins now.
    Refresh,
    /// A value that is given.
    Insert,
    /// The key is taken out.
    Invalidate,
}

/// A number that tells the order of what has happened.
pub(super) type Stamp = u8;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    Idle,
    /// About to ask for the value or the lease.
    Asks(Seek),
    /// The answer is on its way.
    Hears(Seek, Reply),
    /// Somebody else has the lease.
    Waits(Seek),
    Runs(Body),
    /// About to tell the server how the body has ended.
    Ends(Body, Ending),
    /// About to put in a value.
    Inserts,
    /// About to take the key out.
    Invalidates,
    Dead,
}

/// A flight that looks for a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seek {
    pub(super) wish: Wish,
    /// The first fence that it saw, or 0.
    pub(super) joined: u64,
    /// It has a waiter, whose name is in its questions.
    pub(super) waits: bool,
    pub(super) is_refresh: bool,
    /// The first stamp that was not given when its caller came.
    pub(super) called: Stamp,
    /// The last invalidation then.
    pub(super) floor: Stamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wish {
    Any,
    Other(Vec<u8>),
    Newest,
}

impl Seek {
    pub(super) fn wanted(&self) -> Wanted<'_> {
        match &self.wish {
            Wish::Any => Wanted::Any,
            Wish::Other(seen) => Wanted::Other(seen),
            // All that there is of a value here.
            Wish::Newest => Wanted::Newest(8),
        }
    }
}

/// A body that runs, or has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Body {
    /// That of its lease. 0: it has none.
    pub(super) fence: u64,
    pub(super) began: Stamp,
    /// It was told that its lease is not the newest.
    pub(super) is_lost: bool,
    pub(super) is_refresh: bool,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ending {
    Value,
    Error,
    /// It panics, or nobody waits for it.
    Nothing,
}

/// A lease to be given back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Debt {
    pub(super) owner: String,
    /// 0: whatever it is.
    pub(super) fence: u64,
    /// The value goes with it.
    pub(super) forget: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) number: usize,
    pub(super) stage: Stage,
    /// How many tasks it has begun.
    pub(super) begun: usize,
    /// A message for it is under way.
    pub(super) is_sent: bool,
    /// One has arrived.
    pub(super) is_woken: bool,
    pub(super) debts: Vec<Debt>,
}

impl Process {
    pub(super) fn new(number: usize) -> Process {
        Process { number, stage: Stage::Idle, begun: 0, is_sent: false, is_woken: false, debts: Vec::new() }
    }

    /// Its present flight's name.
    pub(super) fn owner(&self) -> String {
        format!("{}-{}", self.number, self.begun)
    }

    /// Its field in a lease.
    pub(super) fn field(&self) -> String {
        format!("w:{}", self.number)
    }

    /// Its flight is over.
    pub(super) fn rest(&mut self) {
        self.stage = Stage::Idle;
        self.is_woken = false;
    }

    /// Whether its flight listens to messages.
    pub(super) fn listens(&self) -> bool {
        match &self.stage {
            Stage::Asks(seek) | Stage::Hears(seek, _) | Stage::Waits(seek) => seek.waits,
            _ => false,
        }
    }
}
