//! A server with leases that is in this process.

mod client;
mod line;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use self::client::Connection;
pub use self::client::MemoryClient;
use crate::clock;
use crate::store::StoreKey;
use crate::store::protocol::{At, Message, NEWS, Server};

/// What a Redis is to the processes of a fleet, in this process: for tests of distributed functions that need no server.
///
/// It keeps values, leases, outcomes and the tokens of tags by the rules of the protocol, and tells its clients when leases
/// end and entries change. Each process of the fleet has a [`MemoryClient`] of its own; what is such a process in a test is a
/// [`Host`](super::Host). Clones are the same server.
///
/// ```rust,standalone_crate
/// use stampede_runtime::testing::{Host, MemoryServer};
/// use stampede_runtime::{Config, distributed_coalesce};
///
/// #[distributed_coalesce(namespace = "shop", ttl = "1m")]
/// async fn price(article: u32) -> u32 {
///     tokio::time::sleep(std::time::Duration::from_secs(2)).await;
///     article * 100
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), stampede_runtime::ConfigError> {
/// tokio::time::pause(); // in a test: #[tokio::test(start_paused = true)]
/// let server = MemoryServer::new();
/// let host = || Host::new(Config::builder().backend("redis", server.client()).build().unwrap());
/// let (one, other) = (host(), host());
///
/// let both = tokio::join!(one.run(price(7)), other.run(price(7)));
/// assert_eq!(both, (700, 700));
/// let executions = [&one, &other].map(|host| host.within(|| price::stats().executions));
/// assert_eq!(executions.iter().sum::<u64>(), 1); // one of them has waited for the other
/// # Ok(())
/// # }
/// ```
///
/// Its clock is tokio's, which a test may pause, or the one that the caller's test has taken in hand. It moves by a microsecond
/// at least between two commands, as that of a server does.
///
/// **Limits**: none but the process's memory. What has run out is taken out now and then.
#[derive(Clone)]
pub struct MemoryServer(Arc<Shared>);

struct Shared {
    /// Held for one command.
    state: Mutex<State>,
    begun: Instant,
    /// Microseconds since 1970 when it was made.
    began: u64,
}

struct State {
    server: Server,
    clients: Vec<Weak<Connection>>,
    network: Network,
    is_up: bool,
    is_full: bool,
    commands: u64,
    /// The last command's time.
    last: u64,
}

/// What lies between a [`MemoryServer`] and its clients. By itself: nothing, everything arrives at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// How long a command, an answer or a message takes at most; at random between half of it and all, in whole milliseconds.
    /// Each connection keeps its order.
    pub latency: Duration,
    /// How many of the commands get lost before they are done, from 0 to 1. The client learns by waiting.
    pub lost_commands: f64,
    /// How many of them get lost after that.
    pub lost_answers: f64,
    /// How many messages get lost.
    pub lost_messages: f64,
    /// A client that was cut off connects again at random within so long.
    pub reconnects_within: Duration,
}

impl Default for Network {
    fn default() -> Network {
        let (latency, reconnects_within) = (Duration::ZERO, Duration::ZERO);
        Network { latency, lost_commands: 0.0, lost_answers: 0.0, lost_messages: 0.0, reconnects_within }
    }
}

impl MemoryServer {
    /// A server that has nothing yet.
    #[must_use]
    pub fn new() -> MemoryServer {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let state = State {
            server: Server::default(),
            clients: Vec::new(),
            network: Network::default(),
            is_up: true,
            is_full: false,
            commands: 0,
            last: 0,
        };
        let began = u64::try_from(since.as_micros()).unwrap_or(u64::MAX / 4);
        MemoryServer(Arc::new(Shared { state: Mutex::new(state), begun: clock::instant(), began }))
    }

    /// A connection for one process: a backend for its configuration.
    #[must_use]
    pub fn client(&self) -> MemoryClient {
        let client = MemoryClient::new(self.clone());
        let mut state = self.state();
        state.clients.retain(|client| client.strong_count() > 0);
        state.clients.push(client.connection());
        client
    }

    /// From now on this lies between it and its clients.
    pub fn network(&self, network: Network) {
        self.state().network = network;
    }

    /// Nobody reaches it any more. What is on its way is lost, and whoever waits for a lease learns at once that no message
    /// will come, as with a connection that breaks.
    pub fn stop(&self) {
        self.state().is_up = false;
        self.each(|client| client.breaks());
    }

    /// It can be reached again, with all that it had.
    pub fn start(&self) {
        self.state().is_up = true;
        self.each(Connection::connects);
    }

    /// Loses all that it has: with [`stop`](Self::stop) and [`start`](Self::start) around it, a restart.
    pub fn forget(&self) {
        self.state().server = Server::default();
    }

    /// From now on it takes nothing more, or does again: what would grow is refused with
    /// [`OutOfMemory`](crate::store::BackendErrorKind::OutOfMemory).
    pub fn set_full(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    /// How many commands it has done. A question for several keys is as many.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.state().commands
    }

    /// The value under a key, past all clients.
    #[doc(hidden)]
    #[must_use]
    pub fn stored(&self, key: &StoreKey) -> Option<Vec<u8>> {
        let state = self.state();
        state.server.at(key)?.value.as_ref()?.what.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn each(&self, act: impl Fn(&Arc<Connection>)) {
        let clients: Vec<_> = self.state().clients.iter().filter_map(Weak::upgrade).collect();
        for client in clients {
            act(&client);
        }
    }

    /// Does a command, and sends what it publishes.
    fn act<T>(&self, command: impl FnOnce(&mut Server, At) -> (T, Vec<Message>)) -> T {
        let passed = clock::instant().saturating_duration_since(self.0.begun);
        let mut state = self.state();
        let now = self.0.began.saturating_add(u64::try_from(passed.as_micros()).unwrap_or(u64::MAX / 4));
        // Also for a test whose clock stands still.
        let micros = now.max(state.last + 1);
        state.last = micros;
        state.commands += 1;
        let is_full = state.is_full;
        let (answer, messages) = command(&mut state.server, At { micros, is_full });
        let clients: Vec<_> =
            if messages.is_empty() { Vec::new() } else { state.clients.iter().filter_map(Weak::upgrade).collect() };
        let losses = state.network.lost_messages;
        drop(state);
        for message in messages {
            for client in clients.iter().filter(|client| message.channel == NEWS || message.channel == client.channel) {
                if losses == 0.0 || fastrand::f64() >= losses {
                    client.send(message.clone());
                }
            }
        }
        answer
    }
}

impl Default for MemoryServer {
    fn default() -> MemoryServer {
        MemoryServer::new()
    }
}

impl fmt::Debug for MemoryServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MemoryServer")
            .field("is_up", &state.is_up)
            .field("commands", &state.commands)
            .finish_non_exhaustive()
    }
}
