//! A cluster: each question goes to the node that has its key, and to another one where that says so.
//!
//! redis-rs has a cluster connection of its own, which is not used. It does everything in one task, and while that finds out
//! about a slot, questions about others may wait; it tells nobody when a subscription is lost; and it has many retries where
//! stampede has one time within which there is an answer, or none. So every node has a [`Link`], as a single server has, which
//! is what keeps a sick node from being anybody else's matter.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{
    Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, Script, ServerErrorKind, Value, cmd,
};
use tokio::time::{Instant, sleep, timeout_at};

use self::nodes::{Map, Node, Nodes};
use self::slots::{Address, slot_of};
use super::error::Failure;
use super::link::{Link, Timeouts};
use super::scripts::Call;
use super::waiters::Waiters;
use crate::store::tokens::at_once;
use crate::store::{BackendError, BackendErrorKind, Pending, StoreKey};

mod nodes;
mod slots;

/// How many breakers there are: one for each node, and the first for what is known of none. With more nodes some share one.
pub(super) const PARTS: usize = 64;
/// A question is sent so often at most: nodes that point at each other have no answer.
const ROUNDS_MAX: u32 = 64;
/// After so many redirections in a row there is a pause: a slot that has just moved is not known to all.
const HASTE_MAX: u32 = 3;
/// The pauses before a question is sent again, first and most.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(40)];
/// A walk through all nodes begins anew so often at most while slots move. A key that moves once is met by the second at last.
const WALKS_MAX: u32 = 4;

pub(super) struct Cluster {
    nodes: Nodes,
}

/// Commands about keys of one slot, which are sent together and answered by one node.
pub(super) struct Question<'a> {
    slot: u16,
    commands: Vec<&'a Cmd>,
    /// What the node may have to be given first.
    script: Option<&'static Script>,
}

impl<'a> Question<'a> {
    pub(super) fn new(key: &str, commands: &[&'a Cmd]) -> Question<'a> {
        Question { slot: slot_of(key), commands: commands.to_vec(), script: None }
    }

    pub(super) fn of_script(key: &str, call: &'a Call) -> Question<'a> {
        Question { script: Some(call.script()), ..Question::new(key, &[call.command()]) }
    }
}

/// A way through all nodes, and once more while slots move.
pub(super) struct Tour {
    map: Arc<Map>,
    /// What the nodes said of their slots when it began.
    before: Vec<Option<String>>,
    at: usize,
    walks: u32,
}

impl Tour {
    /// Goes on to the next node.
    pub(super) fn go_on(&mut self) {
        self.at += 1;
    }
}

/// One that has no answer yet.
struct Open<'q> {
    at: usize,
    question: &'q Question<'q>,
    node: Arc<Node>,
    /// The node does not have the slot yet.
    is_asking: bool,
}

/// What a node said to each.
struct Told<'q> {
    all: Vec<(Open<'q>, RedisResult<Vec<Value>>)>,
    took: Duration,
}

impl Cluster {
    /// `hears`: the protocol has messages.
    pub(super) fn new(seeds: Vec<Client>, timeouts: Timeouts, tracking: bool, hears: bool) -> Cluster {
        Cluster { nodes: Nodes::new(seeds, timeouts, tracking, hears) }
    }

    pub(super) fn waiters(&self) -> &Arc<Waiters> {
        self.nodes.waiters()
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        self.nodes.timeouts()
    }

    /// The connection that messages come through.
    pub(super) async fn ear(&self) -> Option<&Link> {
        // It is to one of the nodes.
        self.nodes.map().await.ok()?;
        self.nodes.ear()
    }

    /// Whether any node is connected to.
    pub(super) fn is_up(&self) -> bool {
        self.nodes.known().is_some_and(|map| map.nodes.iter().any(|node| node.link.is_up()))
    }

    pub(super) fn part(&self, key: &StoreKey) -> usize {
        let map = self.nodes.known();
        map.and_then(|map| Some(map.owner(slot_of(key.as_str()))?.number)).unwrap_or(0)
    }

    /// Whether the node of this number answers, if there is one.
    pub(super) async fn ping(&self, part: usize) -> Result<(), BackendError> {
        let map = self.nodes.map().await?;
        match map.nodes.iter().find(|node| node.number == part) {
            // While its breaker is open nothing else finds out that its slots have gone to another.
            Some(node) => node.link.ask(&cmd("PING")).await.inspect_err(|_| self.nodes.doubt()),
            None => Ok(()),
        }
    }

    /// Asks one question.
    pub(super) async fn ask<T: FromRedisValue>(&self, question: &Question<'_>) -> Result<T, BackendError> {
        let mut answers = self.ask_each(std::slice::from_ref(question)).await?;
        let values = answers.pop().unwrap_or_default();
        let value = match question.commands.len() {
            1 => values.into_iter().next().unwrap_or(Value::Nil),
            _ => Value::Array(values),
        };
        read(value)
    }

    /// Asks several, those of different nodes at once. Each is answered, or there is an error.
    pub(super) async fn ask_each(&self, questions: &[Question<'_>]) -> Result<Vec<Vec<Value>>, BackendError> {
        let Timeouts { connect, response } = self.nodes.timeouts();
        // All of it, redirections too, takes no longer than one answer may, besides connections that have to be made.
        let end = Instant::now() + connect + response;
        let late = || Failure::new(BackendErrorKind::TimedOut, "no answer in time");
        let map = timeout_at(end, self.nodes.map()).await.map_err(|_| late())??;
        let mut open = Vec::with_capacity(questions.len());
        for (at, question) in questions.iter().enumerate() {
            open.push(Open { at, question, node: self.owner(&map, question)?, is_asking: false });
        }
        drop(map);
        let mut answers: Vec<Option<Vec<Value>>> = questions.iter().map(|_| None).collect();
        let (mut left, mut pause) = (response, PAUSES[0]);
        for round in 1..=ROUNDS_MAX {
            let asked =
                by_node(open).into_iter().map(|some| -> Pending<'_, _> { Box::pin(self.tell(some, end, left)) });
            let told = match at_once(asked.collect()).await {
                // Little time was left for it, which says nothing of the node.
                Err(error) if error.kind() == BackendErrorKind::TimedOut && left < response / 2 => {
                    return Err(moving().into());
                }
                told => told.inspect_err(|_| self.nodes.doubt())?,
            };
            left = left.saturating_sub(told.iter().map(|told| told.took).max().unwrap_or_default());
            open = Vec::new();
            let (mut waits, mut failure) = (round >= HASTE_MAX, None);
            for (one, told) in told.into_iter().flat_map(|told| told.all) {
                match told {
                    Ok(values) => answers[one.at] = Some(values),
                    Err(error) => {
                        failure = Some(moving());
                        let (again, has_to_wait) = self.again(&one, &error)?;
                        open.push(again);
                        waits |= has_to_wait;
                    }
                }
            }
            let Some(failure) = failure else {
                return Ok(answers.into_iter().map(Option::unwrap_or_default).collect());
            };
            if left <= pause || round == ROUNDS_MAX {
                return Err(failure.into());
            }
            if waits {
                let now = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
                sleep(now).await;
                (left, pause) = (left.saturating_sub(now), PAUSES[1].min(pause * 2));
            }
        }
        unreachable!("the last round returns")
    }

    /// Where an unanswered question goes next, and whether after a pause; or that it goes nowhere.
    fn again<'q>(&self, one: &Open<'q>, error: &RedisError) -> Result<(Open<'q>, bool), Failure> {
        let to = error.redirect_node().and_then(|(to, _)| Address::of_redirection(to, &one.node.address.host));
        let again = |node: Option<Arc<Node>>, is_asking| {
            let node = node.ok_or_else(|| Failure::new(BackendErrorKind::Other, "a node that is nowhere"))?;
            Ok::<_, Failure>(Open { at: one.at, question: one.question, node, is_asking })
        };
        match (error.kind(), to) {
            (ErrorKind::Server(ServerErrorKind::Moved), Some(to)) => {
                let node = self.nodes.moved(one.question.slot, &to);
                Ok((again(node, false)?, false))
            }
            (ErrorKind::Server(ServerErrorKind::Ask), Some(to)) => Ok((again(self.nodes.named(&to), true)?, false)),
            // Some of the keys are here and others elsewhere, for a moment.
            (ErrorKind::Server(ServerErrorKind::TryAgain), _) => {
                let map = self.nodes.known();
                let owner = map.and_then(|map| map.owner(one.question.slot).map(Arc::clone));
                Ok((again(owner, false)?, true))
            }
            (kind, _) => {
                if matches!(kind, ErrorKind::Server(ServerErrorKind::ClusterDown | ServerErrorKind::ReadOnly)) {
                    self.nodes.doubt();
                }
                Err(error.into())
            }
        }
    }

    fn owner(&self, map: &Map, question: &Question<'_>) -> Result<Arc<Node>, Failure> {
        map.owner(question.slot).map(Arc::clone).ok_or_else(|| {
            self.nodes.doubt();
            Failure::new(BackendErrorKind::Unreachable, "no node has this part of the keys")
        })
    }

    /// Asks a node all that is for it, at once.
    async fn tell<'q>(&self, some: Vec<Open<'q>>, end: Instant, left: Duration) -> Result<Told<'q>, BackendError> {
        let node = &some.first().expect("there is no node without a question").node;
        let late = || Failure::new(BackendErrorKind::TimedOut, "no connection in time");
        let line = timeout_at(end, node.link.line()).await.map_err(|_| late())??;
        let begun = Instant::now();
        let mut connection = line.connection();
        let told = async {
            if let [Open { question: Question { commands, script: None, .. }, is_asking: false, .. }] = &some[..]
                && let [command] = commands[..]
            {
                return match connection.send_packed_command(command).await.and_then(Value::extract_error) {
                    Err(error) if error.code().is_none() => Err(error),
                    told => Ok(vec![told.map(|value| vec![value])]),
                };
            }
            let all: Vec<&Open<'_>> = some.iter().collect();
            let mut told = send(&mut connection, &all).await?;
            let unknown: Vec<usize> = (0..told.len()).filter(|at| lacks_script(&told[*at])).collect();
            if !unknown.is_empty() {
                let mut scripts: Vec<&Script> = unknown.iter().filter_map(|at| some[*at].question.script).collect();
                scripts.dedup_by_key(|script| script.get_hash());
                for script in scripts {
                    script.load_async(&mut connection).await?;
                }
                let again: Vec<&Open<'_>> = unknown.iter().map(|at| &some[*at]).collect();
                for (at, again) in unknown.into_iter().zip(send(&mut connection, &again).await?) {
                    told[at] = again;
                }
            }
            Ok(told)
        };
        let told = line.answered_within(left, told).await?;
        Ok(Told { all: some.into_iter().zip(told).collect(), took: begun.elapsed() })
    }

    /// Asks whoever answers what is about no key.
    pub(super) async fn ask_anyone<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, BackendError> {
        self.nodes.map().await?;
        let mut failure = Failure::new(BackendErrorKind::Unreachable, "no node is known").into();
        for node in self.nodes.candidates() {
            match node.link.ask(command).await {
                // That has cost no time.
                Err(error) if error.kind() == BackendErrorKind::Unreachable => failure = error,
                answer => return answer,
            }
        }
        self.nodes.doubt();
        Err(failure)
    }

    /// Begins a way through all nodes.
    pub(super) async fn tour(&self) -> Result<Tour, BackendError> {
        let map = self.nodes.map().await?;
        let before = Self::survey(&map).await?;
        Ok(Tour { map, before, at: 0, walks: 1 })
    }

    /// The node where a tour is now. `None`: it has been to all.
    pub(super) async fn next<'t>(&self, tour: &'t mut Tour) -> Result<Option<&'t Link>, BackendError> {
        if tour.at == tour.map.nodes.len() && tour.walks < WALKS_MAX {
            let now = self.nodes.look_again().await.unwrap_or_else(|| Arc::clone(&tour.map));
            let after = Self::survey(&now).await?;
            if tour.before != after || after.iter().flatten().any(|node| node.contains('[')) {
                // Slots have moved, perhaps from a node that was not visited yet to one that was.
                *tour = Tour { map: now, before: after, at: 0, walks: tour.walks + 1 };
            }
        }
        Ok(tour.map.nodes.get(tour.at).map(|node| &node.link))
    }

    /// What each node says of its slots; nothing where one may not ask.
    async fn survey(map: &Map) -> Result<Vec<Option<String>>, BackendError> {
        let mut said = Vec::with_capacity(map.nodes.len());
        let mut ask = cmd("CLUSTER");
        ask.arg("NODES");
        for node in &map.nodes {
            match node.link.ask::<String>(&ask).await {
                Ok(text) => said.push(slots::itself(&text)),
                Err(error) if error.kind() == BackendErrorKind::Refused => said.push(None),
                Err(error) => return Err(error),
            }
        }
        said.sort();
        Ok(said)
    }
}

/// Sends them, and takes what the node says to each.
async fn send(
    connection: &mut ::redis::aio::MultiplexedConnection,
    all: &[&Open<'_>],
) -> RedisResult<Vec<RedisResult<Vec<Value>>>> {
    let mut pipeline = Pipeline::new();
    let mut count = 0;
    for one in all {
        for command in &one.question.commands {
            if one.is_asking {
                pipeline.add_command(cmd("ASKING"));
                count += 1;
            }
            pipeline.add_command((*command).clone());
            count += 1;
        }
    }
    let mut values = connection.send_packed_commands(&pipeline, 0, count).await?.into_iter();
    let mut told = Vec::with_capacity(all.len());
    for one in all {
        // All are taken, whatever the first is.
        let mut of_one = Vec::with_capacity(one.question.commands.len());
        for _ in &one.question.commands {
            if one.is_asking {
                values.next();
            }
            of_one.extend(values.next());
        }
        told.push(of_one.into_iter().map(Value::extract_error).collect());
    }
    Ok(told)
}

fn lacks_script(told: &RedisResult<Vec<Value>>) -> bool {
    told.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}

fn by_node(open: Vec<Open<'_>>) -> Vec<Vec<Open<'_>>> {
    let mut groups: Vec<Vec<Open<'_>>> = Vec::new();
    for one in open {
        match groups.iter_mut().find(|group| Arc::ptr_eq(&group[0].node, &one.node)) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups
}

fn moving() -> Failure {
    Failure::new(BackendErrorKind::Refused, "the keys are on their way to another node")
}

/// An answer as what it is to be.
pub(super) fn read<T: FromRedisValue>(value: Value) -> Result<T, BackendError> {
    ::redis::from_redis_value(value).map_err(|error| Failure::from(RedisError::from(error)).into())
}
