//! The servers behind a backend: one, or a cluster of them.

use std::sync::Arc;

use ::redis::{Cmd, FromRedisValue, Pipeline, Value, cmd, pipe};

use super::cluster::{self, Cluster, Question, Tour};
use super::link::{Link, Timeouts};
use super::scripts::Call;
use super::waiters::Waiters;
use crate::store::BackendError;

pub(super) enum Servers {
    One(Link, Timeouts),
    Cluster(Cluster),
}

impl Servers {
    pub(super) fn waiters(&self) -> &Arc<Waiters> {
        match self {
            Servers::One(link, _) => link.waiters(),
            Servers::Cluster(cluster) => cluster.waiters(),
        }
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        match self {
            Servers::One(_, timeouts) => *timeouts,
            Servers::Cluster(cluster) => cluster.timeouts(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        match self {
            Servers::One(link, _) => link.is_up(),
            Servers::Cluster(cluster) => cluster.is_up(),
        }
    }

    /// Sends a command about a key.
    pub(super) async fn ask<T: FromRedisValue>(&self, key: &str, command: &Cmd) -> Result<T, BackendError> {
        match self {
            Servers::One(link, _) => link.ask(command).await,
            Servers::Cluster(cluster) => cluster.ask(&Question::new(key, &[command])).await,
        }
    }

    /// Sends several about one key, to be done in their order.
    pub(super) async fn ask_in_order<T: FromRedisValue>(
        &self,
        key: &str,
        commands: &[&Cmd],
    ) -> Result<T, BackendError> {
        match self {
            Servers::One(link, _) => {
                let mut all = Pipeline::with_capacity(commands.len());
                for command in commands {
                    all.add_command((*command).clone());
                }
                link.ask_all(&all).await
            }
            Servers::Cluster(cluster) => cluster.ask(&Question::new(key, commands)).await,
        }
    }

    /// Sends what is about no key.
    pub(super) async fn ask_anyone<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, BackendError> {
        match self {
            Servers::One(link, _) => link.ask(command).await,
            Servers::Cluster(cluster) => cluster.ask_anyone(command).await,
        }
    }

    /// Calls a script about a key.
    pub(super) async fn call<T: FromRedisValue>(&self, key: &str, call: &Call) -> Result<T, BackendError> {
        match self {
            Servers::One(link, _) => link.call(call).await,
            Servers::Cluster(cluster) => cluster.ask(&Question::of_script(key, call)).await,
        }
    }

    /// Sends several commands, each about a key of its own. What each is answered.
    pub(super) async fn ask_each(&self, commands: &[(&str, Cmd)]) -> Result<Vec<Value>, BackendError> {
        match self {
            Servers::One(link, _) => {
                let mut all = pipe();
                for (_, command) in commands {
                    all.add_command(command.clone());
                }
                link.ask_all(&all).await
            }
            Servers::Cluster(cluster) => {
                let questions: Vec<_> = commands.iter().map(|(key, command)| Question::new(key, &[command])).collect();
                Ok(cluster.ask_each(&questions).await?.into_iter().flatten().collect())
            }
        }
    }

    /// Calls one script for several keys.
    pub(super) async fn call_each(&self, calls: &[(&str, Call)]) -> Result<(), BackendError> {
        match self {
            Servers::One(link, _) => {
                // The script comes along: a pipeline cannot ask first whether the server knows it.
                let mut all = pipe();
                for (at, (_, call)) in calls.iter().enumerate() {
                    if at == 0 {
                        all.cmd("SCRIPT").arg("LOAD").arg(call.text()).ignore();
                    }
                    all.add_command(call.command().clone()).ignore();
                }
                link.ask_all(&all).await
            }
            Servers::Cluster(cluster) => {
                let questions: Vec<_> = calls.iter().map(|(key, call)| Question::of_script(key, call)).collect();
                cluster.ask_each(&questions).await.map(drop)
            }
        }
    }

    /// What stands under several keys, as texts or bytes. What is neither is nothing.
    pub(super) async fn get_each<T: FromRedisValue>(&self, keys: &[&str]) -> Result<Vec<T>, BackendError> {
        match self {
            Servers::One(link, _) => link.ask(cmd("MGET").arg(keys)).await,
            Servers::Cluster(_) => {
                // One for each: they need not be in one slot.
                let commands: Vec<_> = keys.iter().map(|key| (*key, cmd("MGET").arg(key).clone())).collect();
                let answers = self.ask_each(&commands).await?;
                let answers = answers.into_iter().map(|answer| cluster::read::<(T,)>(answer).map(|(only,)| only));
                answers.collect()
            }
        }
    }

    /// Waits for whether waiters can be woken, where that is not known yet.
    pub(super) async fn is_heard(&self) -> bool {
        let link = match self {
            Servers::One(link, _) => Some(link),
            Servers::Cluster(cluster) => cluster.ear().await,
        };
        let Some(link) = link else { return false };
        link.line().await.is_ok_and(|line| line.is_subscribed())
    }
}

/// A way through all keys with one beginning. What is there all the time is seen, whichever node it is on, and perhaps more
/// than once.
pub(super) struct Walk<'s> {
    servers: &'s Servers,
    pattern: &'s str,
    /// Of the present server. `None`: it has ended.
    cursor: Option<u64>,
    /// Through the nodes of a cluster.
    tour: Option<Tour>,
}

/// How many keys a step looks at, about: a server does nothing else meanwhile.
const SEEN_AT_ONCE: usize = 1_000;

impl<'s> Walk<'s> {
    pub(super) fn new(servers: &'s Servers, pattern: &'s str) -> Walk<'s> {
        Walk { servers, pattern, cursor: Some(0), tour: None }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Vec<String>>, BackendError> {
        match self.servers {
            Servers::One(link, _) => self.step(link).await,
            Servers::Cluster(cluster) => {
                let mut tour = match self.tour.take() {
                    Some(tour) => tour,
                    None => cluster.tour().await?,
                };
                let Some(link) = cluster.next(&mut tour).await? else { return Ok(None) };
                let keys = self.step(link).await?;
                if self.cursor.is_none() {
                    tour.go_on();
                    self.cursor = Some(0);
                }
                self.tour = Some(tour);
                Ok(keys)
            }
        }
    }

    async fn step(&mut self, link: &Link) -> Result<Option<Vec<String>>, BackendError> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(self.pattern).arg("COUNT").arg(SEEN_AT_ONCE);
        let (next, keys): (u64, Vec<String>) = link.ask(&scan).await?;
        self.cursor = Some(next).filter(|next| *next != 0);
        Ok(Some(keys))
    }
}
