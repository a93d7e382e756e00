//! Some processes, a server and the time: what can happen, and what must not.

use super::client::{Body, Debt, Ending, Process, Seek, Stage, Stamp, Task, Wish};
use crate::store::protocol::{At, Command, Ended, Entry, Reply};

/// How long a lease lasts, in ticks of a millisecond: it is gone at the second tick.
const LEASE: u64 = 1;
/// How long values and outcomes do: for ever, here.
const LONG: u64 = 1_000;
/// When it all begins, in ticks.
const DAWN: u64 = 1_000;
const KEY: &str = "K";

/// What is to be explored.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Of each process.
    pub(super) tasks: Vec<Vec<Task>>,
    /// How many ticks pass.
    pub(super) ticks: u64,
    /// How many faults there are.
    pub(super) faults: u8,
    pub(super) kinds: &'static [Fault],
    /// Whether everybody has to end where messages arrive, too, and not only where none does.
    pub(super) with_messages: bool,
    pub(super) defect: Option<Defect>,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Commands, answers and messages get lost.
    Loss,
    /// Processes die.
    Crash,
    /// The server restarts, empty.
    Restart,
    /// It makes room: a value, a lease or an outcome is gone.
    Eviction,
    /// Its clock is set back or forward by a lease.
    Clock,
}

/// What could be wrong with the protocol, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    /// `end` writes whatever the fence is.
    EndsAnyway,
    /// The same, seen before anybody does it.
    TakesAnything,
    /// `remove` takes out the value alone.
    LeaseStays,
    /// `remove` ends the lease alone.
    ValueStays,
    /// Who waits relies on messages.
    NeverLooks,
    /// What is told is told to everyone.
    ToldToAll,
    /// `acquire` gives the lease to whoever asks.
    GivesAway,
    /// Two leases of one millisecond have one fence.
    CoarseClock,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Begin(usize),
    Ask(usize),
    Hear(usize),
    /// The answer does not come: the question was answered, or not. And its flight goes on alone.
    Unanswered {
        who: usize,
        was_asked: bool,
        is_alone: bool,
    },
    /// A message arrives.
    Deliver(usize),
    LoseMessage(usize),
    /// A flight that was woken asks again.
    Wake(usize),
    /// One looks by itself.
    Look(usize),
    Renew(usize),
    Return(usize, Ending),
    End(usize),
    /// Whether it was done, the process is not told.
    EndUnanswered {
        who: usize,
        was_done: bool,
    },
    GiveBack(usize),
    Insert(usize),
    Invalidate(usize),
    Crash(usize),
    Restart,
    Evict(usize),
    Set {
        back: bool,
    },
    Tick,
}

/// A promise that is not kept.
pub(super) type Broken = &'static str;

pub(super) const OLDER: Broken = "an older value takes the place of a newer one";
pub(super) const INVALIDATED: Broken = "what began before an invalidation is stored after it";
pub(super) const SERVED: Broken = "a call is answered with what began before an invalidation that it came after";
pub(super) const TOLD: Broken = "an error is told to who came after its end";
pub(super) const TWO: Broken = "two may write";
pub(super) const NOT_NEWEST: Broken = "who does not have the newest lease may write";
pub(super) const FENCE: Broken = "a fence is not larger than the last";
pub(super) const AT_ONCE: Broken = "two execute at once, without a fault and in no time";
pub(super) const UNWOKEN: Broken = "somebody waits whom nothing will wake";
pub(super) const STUCK: Broken = "without further faults, not everybody has ended";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    entry: Entry,
    ticks: u64,
    /// The server's clock, in ticks.
    clock: u64,
    /// Leases that were given, which keep two of one tick apart.
    given: u64,
    processes: Vec<Process>,
    faults: u8,
    /// The next stamp.
    next: Stamp,
    /// When the last invalidation was done.
    invalidated: Stamp,
    /// When the newest value began that was ever stored.
    stored: Stamp,
    /// The last lease that was given.
    newest: Option<(String, u64)>,
    /// The server's clock was set back: fences grow only where the last lease is still there.
    was_set_back: bool,
}

impl World {
    pub(super) fn new(rules: &Rules) -> World {
        World {
            entry: Entry::default(),
            ticks: 0,
            clock: DAWN,
            given: 0,
            processes: (0..rules.tasks.len()).map(Process::new).collect(),
            faults: 0,
            next: 1,
            invalidated: 0,
            stored: 0,
            newest: None,
            was_set_back: false,
        }
    }

    fn at(&self) -> At {
        At { micros: self.clock * 1_000 + self.given, is_full: false }
    }

    /// What can happen without a fault, but for time.
    pub(super) fn steps(&self, rules: &Rules) -> Vec<Step> {
        let mut steps = Vec::new();
        for (who, process) in self.processes.iter().enumerate() {
            match &process.stage {
                Stage::Idle if process.begun < rules.tasks[who].len() => steps.push(Step::Begin(who)),
                Stage::Idle | Stage::Dead => {}
                Stage::Asks(_) => steps.push(Step::Ask(who)),
                Stage::Hears(..) => steps.push(Step::Hear(who)),
                Stage::Waits(_) => {
                    if process.is_woken {
                        steps.push(Step::Wake(who));
                    }
                    if rules.defect != Some(Defect::NeverLooks) {
                        steps.push(Step::Look(who));
                    }
                }
                Stage::Runs(body) => {
                    if body.fence != 0 && !body.is_lost {
                        steps.push(Step::Renew(who));
                    }
                    let endings = [Ending::Value, Ending::Error, Ending::Nothing];
                    steps.extend(endings.map(|ending| Step::Return(who, ending)));
                }
                Stage::Ends(..) => steps.push(Step::End(who)),
                Stage::Inserts => steps.push(Step::Insert(who)),
                Stage::Invalidates => steps.push(Step::Invalidate(who)),
            }
            if process.is_sent {
                steps.push(Step::Deliver(who));
            }
            if !process.debts.is_empty() {
                steps.push(Step::GiveBack(who));
            }
        }
        steps
    }

    /// All that can happen.
    pub(super) fn all_steps(&self, rules: &Rules) -> Vec<Step> {
        let mut steps = self.steps(rules);
        if self.ticks < rules.ticks {
            steps.push(Step::Tick);
        }
        if self.faults < rules.faults {
            for kind in rules.kinds {
                self.add_faults(*kind, &mut steps);
            }
        }
        steps
    }

    fn add_faults(&self, kind: Fault, steps: &mut Vec<Step>) {
        for (who, process) in self.processes.iter().enumerate() {
            match (kind, &process.stage) {
                (Fault::Loss, Stage::Asks(seek)) => {
                    for was_asked in [false, true] {
                        steps.push(Step::Unanswered { who, was_asked, is_alone: true });
                        // A lease that is known to last is waited for.
                        if seek.waits {
                            steps.push(Step::Unanswered { who, was_asked, is_alone: false });
                        }
                    }
                }
                (Fault::Loss, Stage::Ends(..)) => {
                    steps.extend([false, true].map(|was_done| Step::EndUnanswered { who, was_done }));
                }
                (Fault::Crash, stage) if *stage != Stage::Dead => steps.push(Step::Crash(who)),
                _ => {}
            }
            if kind == Fault::Loss && process.is_sent {
                steps.push(Step::LoseMessage(who));
            }
        }
        match kind {
            Fault::Restart => steps.push(Step::Restart),
            Fault::Eviction => {
                let is_there = [self.entry.value.is_some(), self.entry.lease.is_some(), self.entry.outcome.is_some()];
                steps.extend((0..3).filter(|part| is_there[*part]).map(Step::Evict));
            }
            Fault::Clock => steps.extend([false, true].map(|back| Step::Set { back })),
            Fault::Loss | Fault::Crash => {}
        }
    }

    /// The world after a step.
    pub(super) fn after(&self, step: Step, rules: &Rules) -> Result<World, Broken> {
        let mut world = self.clone();
        world.take(step, rules)?;
        world.entry.expire(world.at());
        world.look(rules)?;
        Ok(world)
    }

    fn take(&mut self, step: Step, rules: &Rules) -> Result<(), Broken> {
        match step {
            Step::Begin(who) => self.begin(who, rules),
            Step::Ask(who) => {
                let Stage::Asks(seek) = self.processes[who].stage.clone() else { return Ok(()) };
                let reply = self.ask(who, &seek, rules)?;
                self.processes[who].stage = Stage::Hears(seek, reply);
            }
            Step::Hear(who) => return self.hear(who),
            Step::Deliver(who) => {
                let process = &mut self.processes[who];
                process.is_sent = false;
                process.is_woken |= process.listens();
            }
            Step::Wake(who) | Step::Look(who) => {
                let process = &mut self.processes[who];
                if step == Step::Wake(who) {
                    process.is_woken = false;
                }
                if let Stage::Waits(seek) = &process.stage {
                    process.stage = Stage::Asks(seek.clone());
                }
            }
            Step::Renew(who) => {
                let Stage::Runs(body) = self.processes[who].stage else { return Ok(()) };
                let owner = self.processes[who].owner();
                let renew = Command::Renew { owner: &owner, fence: body.fence, millis: LEASE };
                let is_lost = self.apply(&renew) != Reply::Flag(true);
                self.processes[who].stage = Stage::Runs(Body { is_lost, ..body });
            }
            Step::Return(who, ending) => {
                let Stage::Runs(body) = self.processes[who].stage else { return Ok(()) };
                let process = &mut self.processes[who];
                // What is there is older than what was asked for, and what was made cannot be stored.
                let takes_out = body.fence == 0 && body.is_refresh && ending == Ending::Value;
                match body {
                    _ if takes_out => process.stage = Stage::Invalidates,
                    Body { fence: 0, .. } | Body { is_lost: true, .. } => process.rest(),
                    body => process.stage = Stage::Ends(body, ending),
                }
            }
            Step::End(who) => {
                let Stage::Ends(body, ending) = self.processes[who].stage else { return Ok(()) };
                self.end(who, body, ending, rules)?;
                self.processes[who].rest();
            }
            Step::GiveBack(who) => {
                let Debt { owner, fence, forget } = self.processes[who].debts.remove(0);
                let sender = who.to_string();
                let (owner, sender) = (&*owner, &*sender);
                self.apply(&Command::End { owner, fence, with: Ended::Nothing, forget, sender });
            }
            Step::Insert(who) => {
                let stamp = self.stamp();
                let sender = who.to_string();
                self.apply(&Command::Overwrite { entry: &[stamp], millis: LONG, sender: &sender });
                self.stored = stamp;
                self.processes[who].rest();
            }
            Step::Invalidate(who) => {
                let Entry { value, lease, .. } = self.entry.clone();
                let sender = who.to_string();
                self.apply(&Command::Remove { sender: &sender });
                match rules.defect {
                    Some(Defect::LeaseStays) => self.entry.lease = lease,
                    Some(Defect::ValueStays) => self.entry.value = value,
                    _ => {}
                }
                self.invalidated = self.stamp();
                self.processes[who].rest();
            }
            Step::Tick => self.pass(),
            fault => return self.go_wrong(fault, rules),
        }
        Ok(())
    }

    /// A fault.
    fn go_wrong(&mut self, fault: Step, rules: &Rules) -> Result<(), Broken> {
        self.faults += 1;
        match fault {
            Step::Unanswered { who, was_asked, is_alone } => {
                let Stage::Asks(seek) = self.processes[who].stage.clone() else { return Ok(()) };
                if was_asked {
                    self.ask(who, &seek, rules)?;
                }
                let owner = self.processes[who].owner();
                if !is_alone {
                    self.processes[who].stage = Stage::Waits(seek);
                    return Ok(());
                }
                let body = Body { fence: 0, began: self.stamp(), is_lost: false, is_refresh: seek.is_refresh };
                let process = &mut self.processes[who];
                process.is_woken = false;
                process.stage = Stage::Runs(body);
                process.debts.push(Debt { owner, fence: 0, forget: false });
            }
            Step::EndUnanswered { who, was_done } => {
                let Stage::Ends(body, ending) = self.processes[who].stage else { return Ok(()) };
                if was_done {
                    self.end(who, body, ending, rules)?;
                }
                let process = &mut self.processes[who];
                let forget = ending != Ending::Nothing;
                process.debts.push(Debt { owner: process.owner(), fence: body.fence, forget });
                process.rest();
            }
            Step::Crash(who) => {
                let process = &mut self.processes[who];
                process.rest();
                process.stage = Stage::Dead;
                (process.is_sent, process.debts) = (false, Vec::new());
            }
            Step::Restart => {
                self.entry = Entry::default();
                for process in &mut self.processes {
                    // Its connection was made anew, so that messages may have been lost.
                    process.is_sent = false;
                    process.is_woken |= process.listens();
                }
            }
            Step::Evict(part) => match part {
                0 => self.entry.value = None,
                1 => self.entry.lease = None,
                _ => self.entry.outcome = None,
            },
            Step::Set { back: true } => {
                self.clock -= LEASE + 1;
                self.was_set_back = true;
            }
            Step::LoseMessage(who) => self.processes[who].is_sent = false,
            Step::Set { back: false } => self.clock += LEASE + 1,
            _ => unreachable!("all others are no faults"),
        }
        Ok(())
    }

    fn pass(&mut self) {
        self.ticks += 1;
        self.clock += 1;
    }

    fn stamp(&mut self) -> Stamp {
        self.next += 1;
        self.next - 1
    }

    fn begin(&mut self, who: usize, rules: &Rules) {
        let task = rules.tasks[who][self.processes[who].begun];
        let there = self.entry.value.as_ref().and_then(|value| value.what.clone());
        let (called, floor, is_refresh) = (self.next, self.invalidated, task == Task::Refresh);
        let seek = |wish| Stage::Asks(Seek { wish, joined: 0, waits: false, is_refresh, called, floor });
        let process = &mut self.processes[who];
        process.begun += 1;
        process.stage = match task {
            Task::Call => seek(Wish::Any),
            Task::Behind => seek(there.map_or(Wish::Any, Wish::Other)),
            Task::Refresh => seek(Wish::Newest),
            Task::Insert => Stage::Inserts,
            Task::Invalidate => Stage::Invalidates,
        };
    }

    /// Has the server do something about the entry.
    fn apply(&mut self, command: &Command<'_>) -> Reply {
        let (reply, messages) = self.entry.apply(self.at(), KEY, command);
        for message in messages {
            let who =
                message.channel.strip_prefix(crate::store::protocol::WAKE).and_then(|who| who.parse::<usize>().ok());
            if let Some(process) = who.and_then(|who| self.processes.get_mut(who)) {
                process.is_sent = process.stage != Stage::Dead;
            }
        }
        reply.expect("it is not full, and nobody else puts anything there")
    }

    fn ask(&mut self, who: usize, seek: &Seek, rules: &Rules) -> Result<Reply, Broken> {
        if rules.defect == Some(Defect::GivesAway) {
            self.entry.lease = None;
        }
        let process = &self.processes[who];
        let owner = process.owner();
        let waiter = if seek.waits { process.field() } else { String::new() };
        let joined = if rules.defect == Some(Defect::ToldToAll) { 1 } else { seek.joined };
        let wanted = seek.wanted();
        let acquire = Command::Acquire { owner: &owner, millis: LEASE, wanted, joined, waiter: &waiter };
        let remembers = self.entry.lease.is_some();
        let reply = self.apply(&acquire);
        if let Reply::Lead(fence) = reply {
            let given = (owner, fence);
            if self.newest.as_ref() != Some(&given) {
                let is_larger = self.newest.as_ref().is_none_or(|(_, last)| *last < fence);
                if !is_larger && (remembers || !self.was_set_back) {
                    return Err(FENCE);
                }
                self.newest = Some(given);
                self.given += u64::from(rules.defect != Some(Defect::CoarseClock));
            }
        }
        Ok(reply)
    }

    fn hear(&mut self, who: usize) -> Result<(), Broken> {
        let Stage::Hears(mut seek, reply) = self.processes[who].stage.clone() else { return Ok(()) };
        match reply {
            Reply::Value(Some((entry, _))) => {
                if entry[0] < seek.floor {
                    return Err(SERVED);
                }
                self.processes[who].rest();
            }
            Reply::Told(bytes) => {
                if bytes[0] < seek.floor {
                    return Err(SERVED);
                }
                if bytes[1] < seek.called {
                    return Err(TOLD);
                }
                self.processes[who].rest();
            }
            Reply::Lead(fence) => {
                let body = Body { fence, began: self.stamp(), is_lost: false, is_refresh: seek.is_refresh };
                self.processes[who].is_woken = false;
                self.processes[who].stage = Stage::Runs(body);
            }
            Reply::Wait { fence, entry, .. } => {
                if seek.wish == Wish::Newest {
                    // Somebody makes it. What is there now is not it.
                    seek.wish = if entry.is_empty() { Wish::Any } else { Wish::Other(entry) };
                }
                if seek.joined == 0 {
                    seek.joined = fence;
                }
                // Asked once more, it will be known to whoever ends the lease.
                let is_known = std::mem::replace(&mut seek.waits, true);
                self.processes[who].stage = if is_known { Stage::Waits(seek) } else { Stage::Asks(seek) };
            }
            Reply::Done | Reply::Flag(_) | Reply::Value(None) => unreachable!("no answer to an acquire"),
        }
        Ok(())
    }

    fn end(&mut self, who: usize, body: Body, ending: Ending, rules: &Rules) -> Result<(), Broken> {
        let (mut owner, mut fence) = (self.processes[who].owner(), body.fence);
        let sender = who.to_string();
        if let Some(Defect::EndsAnyway | Defect::TakesAnything) = rules.defect {
            match self.entry.lease.as_ref().and_then(|lease| lease.what.as_ref()) {
                Some(lease) => (owner, fence) = (lease.owner.clone(), lease.fence),
                None if ending == Ending::Value => {
                    self.apply(&Command::Set { entry: &[body.began], millis: LONG });
                    return self.store(body.began);
                }
                None => return Ok(()),
            }
        }
        let bytes = if ending == Ending::Error { vec![body.began, self.stamp()] } else { vec![body.began] };
        let with = match ending {
            Ending::Value => Ended::Value { entry: &bytes, millis: LONG, told: &[], told_millis: 0 },
            Ending::Error => Ended::Told { told: &bytes, told_millis: LONG },
            Ending::Nothing => Ended::Nothing,
        };
        let end = Command::End { owner: &owner, fence, with, forget: false, sender: &sender };
        let is_done = self.apply(&end) == Reply::Flag(true);
        if is_done && ending == Ending::Value { self.store(body.began) } else { Ok(()) }
    }

    /// Notes that a value was stored.
    fn store(&mut self, began: Stamp) -> Result<(), Broken> {
        if began < self.stored {
            return Err(OLDER);
        }
        if began < self.invalidated {
            return Err(INVALIDATED);
        }
        self.stored = began;
        Ok(())
    }

    /// What has to be so at every moment.
    fn look(&self, rules: &Rules) -> Result<(), Broken> {
        let mut writers = 0;
        for process in &self.processes {
            let fence = match &process.stage {
                Stage::Runs(body) | Stage::Ends(body, _) if body.fence != 0 => body.fence,
                Stage::Hears(_, Reply::Lead(fence)) => *fence,
                Stage::Waits(_) => {
                    let looks = rules.defect != Some(Defect::NeverLooks);
                    if !(looks || process.is_woken || process.is_sent || self.is_held_by_the_living()) {
                        return Err(UNWOKEN);
                    }
                    continue;
                }
                _ => continue,
            };
            let owner = process.owner();
            if self.would_take(&owner, fence, rules) {
                writers += 1;
                if self.newest.as_ref().is_some_and(|(newest, of)| (&owner, &fence) != (newest, of)) {
                    return Err(NOT_NEWEST);
                }
            }
        }
        if writers > 1 {
            return Err(TWO);
        }
        let executes = |process: &&Process| matches!(process.stage, Stage::Runs(_) | Stage::Ends(..));
        let are_calls = rules.tasks.iter().flatten().all(|task| *task == Task::Call);
        let is_calm = self.faults == 0 && self.ticks == 0 && are_calls;
        if is_calm && self.processes.iter().filter(executes).count() > 1 { Err(AT_ONCE) } else { Ok(()) }
    }

    /// Whether a lease is there that its process will end.
    fn is_held_by_the_living(&self) -> bool {
        let lease = self.entry.lease.as_ref().and_then(|lease| lease.what.as_ref());
        lease.is_some_and(|lease| {
            let is_of = |process: &Process| process.owner() == lease.owner || !process.debts.is_empty();
            self.processes.iter().any(|process| process.stage != Stage::Dead && is_of(process))
        })
    }

    /// Whether the server would take a value from who says so.
    fn would_take(&self, owner: &str, fence: u64, rules: &Rules) -> bool {
        if rules.defect == Some(Defect::TakesAnything) {
            return true;
        }
        let with = Ended::Value { entry: &[0], millis: LONG, told: &[], told_millis: 0 };
        let end = Command::End { owner, fence, with, forget: false, sender: "" };
        self.entry.clone().apply(self.at(), KEY, &end).0 == Ok(Reply::Flag(true))
    }

    /// Whether everybody who is alive has ended, if nothing goes wrong from here on and everybody does what is next. With
    /// `silent`, no message arrives any more.
    pub(super) fn settles(&self, rules: &Rules, silent: bool) -> Result<(), Broken> {
        // Each task takes a lease to run out, some steps, and others to go first.
        const ROUNDS: usize = 40;
        let mut world = self.clone();
        for _ in 0..ROUNDS {
            let mut is_over = true;
            for who in 0..world.processes.len() {
                // What is done within a tick, all in all.
                for _ in 0..6 {
                    let mine = |step: &Step| match step {
                        Step::Deliver(of) => *of == who && !silent,
                        Step::Return(of, ending) => *of == who && *ending == Ending::Value,
                        Step::Begin(of)
                        | Step::Ask(of)
                        | Step::Hear(of)
                        | Step::Wake(of)
                        | Step::Look(of)
                        | Step::End(of)
                        | Step::GiveBack(of)
                        | Step::Insert(of)
                        | Step::Invalidate(of) => *of == who,
                        _ => false,
                    };
                    let next = world.steps(rules).into_iter().find(mine);
                    let Some(step) = next else { break };
                    is_over = false;
                    world.take(step, rules)?;
                    // One look for each tick.
                    if step == Step::Look(who) {
                        world.take(Step::Ask(who), rules)?;
                        world.take(Step::Hear(who), rules)?;
                        break;
                    }
                }
            }
            let is_waiting = |process: &Process| !matches!(process.stage, Stage::Idle | Stage::Dead);
            if is_over && !world.processes.iter().any(is_waiting) {
                return Ok(());
            }
            world.pass();
            world.entry.expire(world.at());
        }
        Err(STUCK)
    }
}
