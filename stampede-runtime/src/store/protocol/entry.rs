//! An entry, and what stands beside it: the lease of who makes its value, and what the last one told.

use super::{At, Fault, Kept, Message, Run, WAKE, expire};

/// All that belongs to one key: the value under `{key}`, the lease under `{key}:lease`, the outcome under `{key}:outcome`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The value, as the bytes of its envelope.
    pub value: Option<Kept<Vec<u8>>>,
    /// Who has the right to make the value.
    pub lease: Option<Kept<Lease>>,
    /// What those who waited are told.
    pub outcome: Option<Kept<Outcome>>,
}

/// The right to make a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Who has it.
    pub owner: String,
    /// Larger than that of every earlier one.
    pub fence: u64,
    /// How long it was asked for. It never has more left, though the clock be set back.
    pub millis: u64,
    /// The newest value was asked for.
    pub is_newest: bool,
    /// The processes that wait, each by its field, `w:` and the end of its channel's name.
    pub waiters: Vec<String>,
}

/// What an execution told that is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// Of the lease that has ended so.
    pub fence: u64,
    /// What is told.
    pub bytes: Vec<u8>,
}

/// What can be asked about an entry. Spans are milliseconds, those of leases at least one; a `sender` is the end of a channel's
/// name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// The value.
    Get,
    /// The value, and for how long it is still there.
    Look,
    /// A value by itself, as functions without leases put it. `millis` of 0: none.
    Set {
        /// The value.
        entry: &'a [u8],
        /// How long it stays.
        millis: u64,
    },
    /// `acquire.lua`.
    Acquire {
        /// Who asks.
        owner: &'a str,
        /// How long the lease is to last.
        millis: u64,
        /// Which values will do.
        wanted: Wanted<'a>,
        /// The fence of a lease that was waited for, or 0.
        joined: u64,
        /// The field of a process that waits, or nothing.
        waiter: &'a str,
    },
    /// `renew.lua`.
    Renew {
        /// Who has the lease.
        owner: &'a str,
        /// Its fence.
        fence: u64,
        /// How long it is to last from now on.
        millis: u64,
    },
    /// `end.lua`.
    End {
        /// Who has the lease.
        owner: &'a str,
        /// Its fence, or 0 for whatever it is.
        fence: u64,
        /// With what it ends.
        with: Ended<'a>,
        /// Whether the value that is kept is not to be any more.
        forget: bool,
        /// Whose process does it.
        sender: &'a str,
    },
    /// `overwrite.lua`.
    Overwrite {
        /// The value.
        entry: &'a [u8],
        /// How long it stays.
        millis: u64,
        /// Whose process does it.
        sender: &'a str,
    },
    /// `replace.lua`.
    Replace {
        /// What has to be there.
        old: &'a [u8],
        /// What is put there.
        new: &'a [u8],
        /// How long it stays.
        millis: u64,
        /// Whose process does it.
        sender: &'a str,
    },
    /// `remove.lua`.
    Remove {
        /// Whose process does it.
        sender: &'a str,
    },
    /// `release.lua`.
    Release,
    /// Takes out what stands beside a lease, as the second walk of a `clear` does.
    Unlink,
}

/// Which values will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Any.
    Any,
    /// Any that does not begin with these bytes.
    Other(&'a [u8]),
    /// None that is there, or is made for somebody who did not ask for the newest. So many bytes tell one from another.
    Newest(usize),
}

/// With what a lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended<'a> {
    /// With a value, and perhaps with something that those who waited are told besides.
    Value {
        /// The value.
        entry: &'a [u8],
        /// How long it stays.
        millis: u64,
        /// What is told, or nothing.
        told: &'a [u8],
        /// How long that stays.
        told_millis: u64,
    },
    /// With something that is told and not kept.
    Told {
        /// What is told.
        told: &'a [u8],
        /// How long that stays.
        told_millis: u64,
    },
    /// With nothing.
    Nothing,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// Nothing to say.
    Done,
    /// Whether it was done, or something was there.
    Flag(bool),
    /// A value, if there is one, and how many milliseconds it has left, if it has an end.
    Value(Option<(Vec<u8>, Option<u64>)>),
    /// The right to make the value, with this fence.
    Lead(u64),
    /// Somebody else has it.
    Wait {
        /// The other's fence.
        fence: u64,
        /// How many milliseconds that lease has left, if it has an end.
        left: Option<u64>,
        /// To who wants the newest: how the value begins that is there.
        entry: Vec<u8>,
    },
    /// A lease that was waited for has ended so.
    Told(Vec<u8>),
}

impl Entry {
    /// Does what is asked. `key`: that of the value, as messages name it.
    pub fn apply(&mut self, at: At, key: &str, command: &Command<'_>) -> (Result<Reply, Fault>, Vec<Message>) {
        self.expire(at);
        let mut run = Run::new(at);
        let reply = self.step(&mut run, key, command);
        (reply, run.messages)
    }

    /// Whether nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.value.is_none() && self.lease.is_none() && self.outcome.is_none()
    }

    /// Lets go of what has run out.
    pub fn expire(&mut self, at: At) {
        expire(&mut self.value, at);
        expire(&mut self.lease, at);
        expire(&mut self.outcome, at);
    }

    fn step(&mut self, run: &mut Run, key: &str, command: &Command<'_>) -> Result<Reply, Fault> {
        match *command {
            Command::Get => Ok(Reply::Value(self.read()?.map(|entry| (entry.to_vec(), None)))),
            Command::Look => {
                let left = self.value.as_ref().and_then(|value| value.left(run.at));
                Ok(Reply::Value(self.read()?.map(|entry| (entry.to_vec(), left))))
            }
            Command::Set { entry, millis } => self.put(run, entry, millis).map(|()| Reply::Done),
            Command::Acquire { owner, millis, wanted, joined, waiter } => {
                self.acquire(run, owner, millis, wanted, joined, waiter)
            }
            Command::Renew { owner, fence, millis } => {
                let is_mine = self.holds(owner, fence)?;
                if is_mine {
                    self.lengthen(run, millis);
                }
                Ok(Reply::Flag(is_mine))
            }
            Command::End { owner, fence, with, forget, sender } => {
                if !self.holds(owner, fence)? {
                    return Ok(Reply::Flag(false));
                }
                self.end(run, key, fence, with, forget, sender)
            }
            Command::Overwrite { entry, millis, sender } => {
                let was = self.value.is_some();
                self.put(run, entry, millis)?;
                self.outcome = None;
                self.void(run, key);
                if was {
                    run.tell(sender, "k", key);
                }
                Ok(Reply::Done)
            }
            Command::Replace { old, new, millis, sender } => {
                let is_it = self.value.as_ref().is_some_and(|value| value.what.as_deref() == Some(old));
                if is_it {
                    self.put(run, new, millis)?;
                    run.tell(sender, "k", key);
                }
                Ok(Reply::Flag(is_it))
            }
            Command::Remove { sender } => {
                let was = self.value.is_some();
                (self.value, self.outcome) = (None, None);
                self.void(run, key);
                run.tell(sender, "k", key);
                Ok(Reply::Flag(was))
            }
            Command::Release => {
                self.void(run, key);
                Ok(Reply::Done)
            }
            Command::Unlink => {
                self.outcome = None;
                Ok(Reply::Flag(self.value.take().is_some()))
            }
        }
    }

    fn read(&self) -> Result<Option<&[u8]>, Fault> {
        match &self.value {
            Some(Kept { what: None, .. }) => Err(Fault::WrongType),
            value => Ok(value.as_ref().and_then(|value| value.what.as_deref())),
        }
    }

    fn acquire(
        &mut self,
        run: &mut Run,
        owner: &str,
        millis: u64,
        wanted: Wanted<'_>,
        joined: u64,
        waiter: &str,
    ) -> Result<Reply, Fault> {
        // What is no value is nobody's, and will be overwritten.
        let value = self.value.as_ref().and_then(|value| Some((value.what.as_ref()?, value.left(run.at))));
        let will_do = |entry: &[u8]| match wanted {
            Wanted::Any => true,
            Wanted::Other(seen) => !entry.starts_with(seen),
            Wanted::Newest(_) => false,
        };
        if let Some((entry, left)) = value
            && will_do(entry)
        {
            return Ok(Reply::Value(Some((entry.clone(), left))));
        }
        let beginning = match (wanted, value) {
            (Wanted::Newest(length), Some((entry, _))) => entry[..length.min(entry.len())].to_vec(),
            _ => Vec::new(),
        };
        if joined != 0 {
            drop_foreign(run, &mut self.outcome);
            let told = self.outcome.as_ref().and_then(|outcome| outcome.what.as_ref());
            if let Some(told) = told.filter(|told| told.fence >= joined) {
                return Ok(Reply::Told(told.bytes.clone()));
            }
        }
        drop_foreign(run, &mut self.lease);
        let is_newest = matches!(wanted, Wanted::Newest(_));
        if let Some(kept) = &mut self.lease
            && let Some(lease) = &mut kept.what
            // One that was asked for as the newest will do for the next who asks for that.
            && (!is_newest || lease.is_newest)
        {
            let fence = lease.fence;
            if lease.owner == owner {
                // The answer that said so was lost.
                self.lengthen(run, millis);
                return Ok(Reply::Lead(fence));
            }
            if !waiter.is_empty() {
                run.grow()?;
                if !lease.waiters.iter().any(|other| other == waiter) {
                    lease.waiters.push(waiter.to_owned());
                }
            }
            let most = lease.millis;
            if kept.left(run.at).is_some_and(|left| left > most) {
                run.shrink();
                kept.until = Some(run.until(most));
            }
            return Ok(Reply::Wait { fence, left: kept.left(run.at), entry: beginning });
        }

        drop_foreign(run, &mut self.outcome);
        let held = self.lease.take();
        let held_fence = held.as_ref().and_then(|held| Some(held.what.as_ref()?.fence)).unwrap_or(0);
        let told_fence = self.outcome.as_ref().and_then(|outcome| Some(outcome.what.as_ref()?.fence)).unwrap_or(0);
        // Unless the clock is set back, of which what is still there must not notice.
        let fence = run.at.micros.max(held_fence.max(told_fence) + 1);
        if let Err(fault) = run.grow() {
            self.lease = held;
            return Err(fault);
        }
        // Those who wait for a lease that is taken over wait on.
        let waiters = held.and_then(|held| Some(held.what?.waiters)).unwrap_or_default();
        let lease = Lease { owner: owner.to_owned(), fence, millis, is_newest, waiters };
        self.lease = Some(Kept::new(lease, run.until(millis)));
        Ok(Reply::Lead(fence))
    }

    /// Whether this is the newest lease. Who was never told its fence knows it by its owner alone, and says 0.
    fn holds(&self, owner: &str, fence: u64) -> Result<bool, Fault> {
        match &self.lease {
            None => Ok(false),
            Some(Kept { what: None, .. }) => Err(Fault::WrongType),
            Some(Kept { what: Some(lease), .. }) => Ok(lease.owner == owner && (lease.fence == fence || fence == 0)),
        }
    }

    fn lengthen(&mut self, run: &mut Run, millis: u64) {
        run.shrink();
        if let Some(lease) = &mut self.lease {
            lease.until = Some(run.until(millis));
        }
    }

    fn end(
        &mut self,
        run: &mut Run,
        key: &str,
        fence: u64,
        with: Ended<'_>,
        forget: bool,
        sender: &str,
    ) -> Result<Reply, Fault> {
        let is_value = matches!(with, Ended::Value { .. });
        let was = (is_value || forget) && self.value.is_some();
        let (put, told) = match with {
            Ended::Value { entry, millis, told, told_millis } => {
                let put = self.put(run, entry, millis);
                (put, (!told.is_empty()).then_some((told, told_millis)))
            }
            Ended::Told { told, told_millis } => (Ok(()), Some((told, told_millis))),
            Ended::Nothing => (Ok(()), None),
        };
        let noted = told.map_or(Ok(()), |(bytes, millis)| self.note(run, fence, bytes, millis));
        // A value that could be kept makes up for what could not be told.
        let done = if is_value { put } else { noted };
        // What is there is older than what was just made, also where that could not be kept.
        if forget || is_value && put.is_err() {
            self.value = None;
        }
        // A store that takes no value takes the right back all the same.
        self.void(run, key);
        if was {
            run.tell(sender, "k", key);
        }
        done.map(|()| Reply::Flag(true))
    }

    fn note(&mut self, run: &mut Run, fence: u64, bytes: &[u8], millis: u64) -> Result<(), Fault> {
        run.grow()?;
        if matches!(self.outcome, Some(Kept { what: None, .. })) {
            return Err(Fault::WrongType);
        }
        let outcome = Outcome { fence, bytes: bytes.to_vec() };
        self.outcome = (millis > 0).then(|| Kept::new(outcome, run.until(millis)));
        Ok(())
    }

    /// Ends a lease, whoever has it, and wakes those who wait for it.
    fn void(&mut self, run: &mut Run, key: &str) {
        run.shrink();
        let lease = self.lease.take().and_then(|lease| lease.what);
        for waiter in lease.map(|lease| lease.waiters).unwrap_or_default() {
            if let Some(channel) = waiter.strip_prefix("w:") {
                run.publish(format!("{WAKE}{channel}"), key.to_owned());
            }
        }
    }

    /// Puts a value in place of an earlier one, whatever that was.
    fn put(&mut self, run: &mut Run, entry: &[u8], millis: u64) -> Result<(), Fault> {
        if millis == 0 {
            run.shrink();
            self.value = None;
            return Ok(());
        }
        run.grow()?;
        self.value = Some(Kept::new(entry.to_vec(), run.until(millis)));
        Ok(())
    }
}

/// What stands under a name of ours and is not ours is in the way.
fn drop_foreign<T>(run: &mut Run, kept: &mut Option<Kept<T>>) {
    if kept.as_ref().is_some_and(|kept| kept.what.is_none()) {
        run.shrink();
        *kept = None;
    }
}
