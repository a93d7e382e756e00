//! One process's connection to a server in memory.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::MemoryServer;
use super::line::Line;
use crate::pattern::Pattern;
use crate::store::lease::{Acquired, Asked, End, Leases, Token, Waiter, Wish, number_of_its_own};
use crate::store::news::News;
use crate::store::protocol::{At, Command, Ended, Fault, Message, NEWS, Reply, Server, WAKE, Wanted};
use crate::store::tokens::{INVALIDATED_FOR, Tokens};
use crate::store::{Backend, BackendError, BackendErrorKind, Envelope, Pending, Prefix, StoreKey};

/// How long it waits for an answer, as the client of a Redis does unless one says otherwise.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(300);

/// A connection to a [`MemoryServer`], for the configuration of one [`Host`](super::super::Host) or test. Clones are the same
/// connection.
///
/// **Cancel.** As with a server elsewhere: what is under way may be done all the same.
///
/// **Errors.** `Unreachable` at once while it is cut off or the server is stopped; `TimedOut` after 300 ms for what the
/// [`Network`](super::Network) loses; `OutOfMemory` from a full server.
#[derive(Clone)]
pub struct MemoryClient {
    connection: Arc<Connection>,
}

pub(super) struct Connection {
    server: MemoryServer,
    /// What its process is known by in a lease, and after its colon the last part of the channel's name.
    name: String,
    pub(super) channel: String,
    is_cut: AtomicBool,
    is_connected: AtomicBool,
    up: Arc<Line>,
    down: Arc<Line>,
    news: News,
    /// Held for a look-up.
    waiters: Mutex<HashMap<StoreKey, Vec<Arc<Notify>>>>,
}

impl MemoryClient {
    pub(super) fn new(server: MemoryServer) -> MemoryClient {
        let number = format!("{:016x}", number_of_its_own());
        let is_up = server.state().is_up;
        MemoryClient {
            connection: Arc::new(Connection {
                server,
                name: format!("w:{number}"),
                channel: format!("{WAKE}{number}"),
                is_cut: AtomicBool::new(false),
                is_connected: AtomicBool::new(is_up),
                up: Arc::default(),
                down: Arc::default(),
                news: News::default(),
                waiters: Mutex::default(),
            }),
        }
    }

    pub(super) fn connection(&self) -> Weak<Connection> {
        Arc::downgrade(&self.connection)
    }

    /// Cuts this process off. What is on its way is lost. For others it is then as if the process had died: its lease runs out.
    pub fn cut(&self) {
        self.connection.is_cut.store(true, SeqCst);
        self.connection.breaks();
    }

    /// Connects it again.
    pub fn mend(&self) {
        self.connection.is_cut.store(false, SeqCst);
        self.connection.connects();
    }

    /// Sends a command, and waits for the answer.
    async fn ask<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Server, At) -> (Result<T, Fault>, Vec<Message>) + Send + 'static,
    ) -> Result<T, BackendError> {
        if !self.connection.is_connected.load(SeqCst) {
            return Err(BackendErrorKind::Unreachable.into());
        }
        let network = self.connection.server.state().network;
        let is_lost = |part: f64| part > 0.0 && fastrand::f64() < part;
        let (answer, answered) = oneshot::channel();
        let connection = Arc::clone(&self.connection);
        let arrives = move || {
            let told = connection.server.act(command);
            if is_lost(network.lost_answers) {
                // Kept until nobody waits for it any more, as by a connection that stays.
                return drop(tokio::spawn(async move {
                    let mut answer = answer;
                    answer.closed().await;
                }));
            }
            connection.down.send(network.latency, Box::new(move || drop(answer.send(told))));
        };
        if is_lost(network.lost_commands) {
            tokio::time::sleep(RESPONSE_TIMEOUT).await;
            return Err(BackendErrorKind::TimedOut.into());
        }
        self.connection.up.send(network.latency, Box::new(arrives));
        match tokio::time::timeout(RESPONSE_TIMEOUT, answered).await {
            Ok(Ok(Ok(told))) => Ok(told),
            Ok(Ok(Err(Fault::Full))) => Err(BackendErrorKind::OutOfMemory.into()),
            Ok(Ok(Err(Fault::WrongType))) => Err(BackendErrorKind::Refused.into()),
            // Lost with its connection.
            Ok(Err(_)) => Err(BackendErrorKind::Unreachable.into()),
            Err(_) => Err(BackendErrorKind::TimedOut.into()),
        }
    }

    /// A command about an entry, which is told who sends it.
    async fn entry(
        &self,
        key: &StoreKey,
        command: impl FnOnce(&str, &mut dyn FnMut(&Command<'_>)) + Send + 'static,
    ) -> Result<Reply, BackendError> {
        let (key, sender) = (key.clone(), self.connection.sender().to_owned());
        self.ask(move |server, at| {
            let mut answer = None;
            command(&sender, &mut |command| answer = Some(server.entry(at, &key, command)));
            answer.expect("it says one command")
        })
        .await
    }

    async fn flag(
        &self,
        key: &StoreKey,
        command: impl FnOnce(&str, &mut dyn FnMut(&Command<'_>)) + Send + 'static,
    ) -> Result<bool, BackendError> {
        match self.entry(key, command).await? {
            Reply::Flag(flag) => Ok(flag),
            _ => Err(BackendErrorKind::Other.into()),
        }
    }

    async fn value(&self, key: &StoreKey, command: Command<'static>) -> Result<Option<Entry>, BackendError> {
        match self.entry(key, move |_, say| say(&command)).await? {
            Reply::Value(value) => Ok(value),
            _ => Err(BackendErrorKind::Other.into()),
        }
    }
}

/// A value, and how many milliseconds it has left.
type Entry = (Vec<u8>, Option<u64>);

/// Whole milliseconds, part of one counting as one.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

impl Backend for MemoryClient {
    fn get<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, Option<Vec<u8>>> {
        Box::pin(async move { Ok(self.value(key, Command::Get).await?.map(|(entry, _)| entry)) })
    }

    fn set<'a>(&'a self, key: &'a StoreKey, entry: &'a [u8], ttl: Duration) -> Pending<'a, ()> {
        Box::pin(async move {
            let entry = entry.to_vec();
            let set = move |_: &str, say: &mut dyn FnMut(&Command<'_>)| {
                say(&Command::Set { entry: &entry, millis: millis(ttl) });
            };
            self.entry(key, set).await.map(drop)
        })
    }

    fn remove<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, bool> {
        Box::pin(async move { self.flag(key, |sender, say| say(&Command::Remove { sender })).await })
    }

    fn replace<'a>(&'a self, key: &'a StoreKey, old: &'a [u8], new: &'a [u8], ttl: Duration) -> Pending<'a, bool> {
        Box::pin(async move {
            let (old, new) = (old.to_vec(), new.to_vec());
            let replace = move |sender: &str, say: &mut dyn FnMut(&Command<'_>)| {
                say(&Command::Replace { old: &old, new: &new, millis: millis(ttl), sender });
            };
            self.flag(key, replace).await
        })
    }

    fn clear<'a>(&'a self, prefix: &'a Prefix) -> Pending<'a, u64> {
        Box::pin(self.take_out(prefix, None))
    }

    fn clear_matching<'a>(&'a self, prefix: &'a Prefix, pattern: &'a Pattern) -> Pending<'a, u64> {
        Box::pin(self.take_out(prefix, Some(pattern)))
    }

    fn ping(&self) -> Pending<'_, ()> {
        Box::pin(self.ask(|_, _| (Ok(()), Vec::new())))
    }

    fn leases(&self) -> Option<&dyn Leases> {
        Some(self)
    }

    fn tokens(&self) -> Option<&dyn Tokens> {
        Some(self)
    }

    fn news(&self) -> Option<&News> {
        Some(&self.connection.news)
    }
}

impl MemoryClient {
    async fn take_out(&self, prefix: &Prefix, pattern: Option<&Pattern>) -> Result<u64, BackendError> {
        let (prefix, pattern) = (prefix.clone(), pattern.cloned());
        let sender = self.connection.sender().to_owned();
        self.ask(move |server, at| {
            let (cleared, messages) = server.clear(at, &prefix, pattern.as_ref(), &sender);
            (Ok(cleared), messages)
        })
        .await
    }
}

impl Leases for MemoryClient {
    fn look<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, Option<(Vec<u8>, Option<Duration>)>> {
        Box::pin(async move {
            let found = self.value(key, Command::Look).await?;
            Ok(found.map(|(entry, left)| (entry, left.map(Duration::from_millis))))
        })
    }

    fn acquire<'a>(&'a self, key: &'a StoreKey, asked: Asked<'a>) -> Pending<'a, Acquired> {
        Box::pin(async move {
            let owner = asked.owner.to_owned();
            let wish = match asked.value {
                Wish::Any => Ok(None),
                Wish::Other(seen) => Ok(Some(seen.to_vec())),
                Wish::Newest => Err(()),
            };
            // One that cannot be told would only be a field more.
            let waiter = asked.waiter.filter(|waiter| waiter.is_heard()).map_or("", Waiter::name).to_owned();
            let (lease, joined) = (millis(asked.lease).max(1), asked.joined.unwrap_or(0));
            let acquire = move |_: &str, say: &mut dyn FnMut(&Command<'_>)| {
                let wanted = match &wish {
                    Ok(None) => Wanted::Any,
                    Ok(Some(seen)) => Wanted::Other(seen),
                    Err(()) => Wanted::Newest(Envelope::HEADER_BYTES),
                };
                say(&Command::Acquire { owner: &owner, millis: lease, wanted, joined, waiter: &waiter });
            };
            Ok(match self.entry(key, acquire).await? {
                Reply::Value(Some((entry, left))) => Acquired::Value { entry, left: left.map(Duration::from_millis) },
                Reply::Told(bytes) => Acquired::Told(bytes),
                Reply::Lead(fence) => Acquired::Lead(Token { owner: asked.owner.into(), fence }),
                Reply::Wait { fence, left, entry } => {
                    Acquired::Wait { fence, left: Duration::from_millis(left.unwrap_or(0)), entry }
                }
                Reply::Done | Reply::Flag(_) | Reply::Value(None) => return Err(BackendErrorKind::Other.into()),
            })
        })
    }

    fn renew<'a>(&'a self, key: &'a StoreKey, token: &'a Token, lease: Duration) -> Pending<'a, bool> {
        Box::pin(async move {
            let token = token.clone();
            let renew = move |_: &str, say: &mut dyn FnMut(&Command<'_>)| {
                say(&Command::Renew { owner: &token.owner, fence: token.fence, millis: millis(lease).max(1) });
            };
            self.flag(key, renew).await
        })
    }

    fn end<'a>(&'a self, key: &'a StoreKey, token: &'a Token, end: End<'a>) -> Pending<'a, bool> {
        Box::pin(async move {
            let token = token.clone();
            let nothing = (Vec::new(), 0);
            let (how, (entry, ttl), (told, told_for), forget) = match end {
                End::Value { entry, ttl, told } => {
                    let told = told.map_or_else(|| nothing.clone(), |(told, ttl)| (told.to_vec(), millis(ttl)));
                    ("value", (entry.to_vec(), millis(ttl)), told, false)
                }
                End::Told { outcome, ttl, forget } => ("told", nothing, (outcome.to_vec(), millis(ttl)), forget),
                End::Nothing { forget } => ("nothing", nothing.clone(), nothing, forget),
            };
            let end = move |sender: &str, say: &mut dyn FnMut(&Command<'_>)| {
                let with = match how {
                    "value" => Ended::Value { entry: &entry, millis: ttl, told: &told, told_millis: told_for },
                    "told" => Ended::Told { told: &told, told_millis: told_for },
                    _ => Ended::Nothing,
                };
                say(&Command::End { owner: &token.owner, fence: token.fence, with, forget, sender });
            };
            self.flag(key, end).await
        })
    }

    fn overwrite<'a>(&'a self, key: &'a StoreKey, entry: &'a [u8], ttl: Duration) -> Pending<'a, ()> {
        Box::pin(async move {
            let entry = entry.to_vec();
            let overwrite = move |sender: &str, say: &mut dyn FnMut(&Command<'_>)| {
                say(&Command::Overwrite { entry: &entry, millis: millis(ttl), sender });
            };
            self.entry(key, overwrite).await.map(drop)
        })
    }

    fn overwrite_many<'a>(&'a self, entries: &'a [(StoreKey, Vec<u8>, Duration)]) -> Pending<'a, ()> {
        Box::pin(async move {
            for (key, entry, ttl) in entries {
                self.overwrite(key, entry, *ttl).await?;
            }
            Ok(())
        })
    }

    fn waiter(&self, key: &StoreKey) -> Box<dyn Waiter> {
        let woken = Arc::new(Notify::new());
        self.connection.waiters().entry(key.clone()).or_default().push(Arc::clone(&woken));
        Box::new(OneWaiter { key: key.clone(), woken, connection: Arc::clone(&self.connection) })
    }
}

impl Tokens for MemoryClient {
    fn read<'a>(&'a self, tags: &'a [StoreKey]) -> Pending<'a, Vec<Option<u64>>> {
        Box::pin(async move {
            let tags = tags.to_vec();
            self.ask(move |server, at| (Ok(tags.iter().map(|key| server.tag(key).get(at)).collect()), Vec::new())).await
        })
    }

    fn agree<'a>(&'a self, tags: &'a [StoreKey], life: Duration) -> Pending<'a, (Vec<u64>, u64)> {
        Box::pin(async move {
            let tags = tags.to_vec();
            let agree = move |server: &mut Server, at: At| {
                let tokens = tags.iter().map(|key| server.tag(key).agree(at, millis(life)).0).collect();
                (Ok((tokens, at.micros * 2)), Vec::new())
            };
            self.ask(agree).await
        })
    }

    fn change<'a>(&'a self, key: &'a StoreKey, tag: &'a str, expire: bool) -> Pending<'a, ()> {
        Box::pin(async move {
            let (key, tag, sender) = (key.clone(), tag.to_owned(), self.connection.sender().to_owned());
            let how = if expire { "e" } else { "t" };
            self.ask(move |server, at| {
                (Ok(()), server.tag(&key).change(at, millis(INVALIDATED_FOR), &sender, how, &tag))
            })
            .await
        })
    }
}

impl Connection {
    fn sender(&self) -> &str {
        &self.name[2..]
    }

    fn waiters(&self) -> MutexGuard<'_, HashMap<StoreKey, Vec<Arc<Notify>>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages may have been lost, so that everyone has to look.
    fn wake_all(&self) {
        for woken in self.waiters().values().flatten() {
            woken.notify_one();
        }
    }

    /// The connection breaks.
    pub(super) fn breaks(&self) {
        self.is_connected.store(false, SeqCst);
        self.up.lose();
        self.down.lose();
        self.wake_all();
    }

    /// It is made again, if it can be.
    pub(super) fn connects(self: &Arc<Self>) {
        let within = self.server.state().network.reconnects_within;
        let connection = Arc::clone(self);
        let connect = move || {
            if connection.server.state().is_up && !connection.is_cut.load(SeqCst) {
                connection.is_connected.store(true, SeqCst);
                connection.wake_all();
                connection.news.lose();
            }
        };
        if within.is_zero() {
            return connect();
        }
        tokio::spawn(async move {
            tokio::time::sleep(within.mul_f64(fastrand::f64())).await;
            connect();
        });
    }

    /// Sends a message to it.
    pub(super) fn send(self: &Arc<Self>, message: Message) {
        if !self.is_connected.load(SeqCst) {
            return;
        }
        let latency = self.server.state().network.latency;
        let connection = Arc::clone(self);
        self.down.send(latency, Box::new(move || connection.take(&message)));
    }

    fn take(&self, message: &Message) {
        if message.channel == NEWS {
            match message.text.split_once(' ') {
                Some((sender, news)) if sender != self.sender() => self.news.hear(news),
                _ => (),
            }
            return;
        }
        for woken in self.waiters().get(message.text.as_str()).into_iter().flatten() {
            woken.notify_one();
        }
    }
}

impl fmt::Debug for MemoryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_connected = self.connection.is_connected.load(SeqCst);
        f.debug_struct("MemoryClient").field("is_connected", &is_connected).finish_non_exhaustive()
    }
}

struct OneWaiter {
    key: StoreKey,
    /// Keeps one message for a waiter that does not listen right now.
    woken: Arc<Notify>,
    connection: Arc<Connection>,
}

impl fmt::Debug for OneWaiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneWaiter").finish_non_exhaustive()
    }
}

impl Waiter for OneWaiter {
    fn name(&self) -> &str {
        &self.connection.name
    }

    fn woken(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.woken.notified())
    }

    fn is_heard(&self) -> bool {
        self.connection.is_connected.load(SeqCst)
    }
}

impl Drop for OneWaiter {
    fn drop(&mut self) {
        let mut waiters = self.connection.waiters();
        if let Some(of_key) = waiters.get_mut(&self.key) {
            of_key.retain(|woken| !Arc::ptr_eq(woken, &self.woken));
            if of_key.is_empty() {
                waiters.remove(&self.key);
            }
        }
    }
}
