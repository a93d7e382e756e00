//! Redis and Valkey as a backend: entries, leases, and messages when a lease ends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Client, Cmd, ProtocolVersion, cmd, from_redis_value};

use self::cluster::{Cluster, PARTS};
use self::error::Failure;
use self::link::{Hears, Link, Place, Timeouts};
use self::scripts::{Call, LEASE, RELEASE, REMOVE, REPLACE, entry_of, is_entry};
use self::sentinel::Sentinels;
use self::servers::{Servers, Walk};
use self::waiters::{NEWS, Waiters};
use super::backend::{Backend, BackendError, BackendErrorKind, Parts, Pending};
use super::key::{self, Parsed, Prefix, StoreKey};
use super::lease::Leases;
use super::news::{Change, News};
use super::tokens::Tokens;
use crate::config::ConfigError;
use crate::pattern::Pattern;

mod builder;
mod cluster;
mod error;
mod leases;
mod link;
mod scripts;
mod sentinel;
mod servers;
mod tags;
#[cfg(feature = "redis-tls")]
mod tls;
mod waiters;

pub use builder::RedisBuilder;

/// Entries in Redis or Valkey, for all processes that use the same server.
///
/// ```
/// use std::time::Duration;
/// use stampede_runtime::{Config, store::RedisBackend};
///
/// let redis = RedisBackend::builder("redis://cache.internal:6379/2")
///     .username("quotes")
///     .password("from a vault")
///     .response_timeout(Duration::from_millis(100))
///     .build()?;
/// let config = Config::builder().backend("main", redis).build()?;
/// # Ok::<(), stampede_runtime::ConfigError>(())
/// ```
///
/// All clones use one connection, and with a [cluster](Self::cluster) one to each node. It is made at the first use, in the background of the process rather than in the
/// runtime of whoever was first, and made again when it breaks. While the server cannot be reached every call fails at
/// once, and so costs nothing but its own work. `docs/backends.md` has the urls, the rights that a user needs, and what
/// happens when the server is down.
///
/// **Cancel.** Futures may be dropped at any point. The server may do what it was asked all the same.
///
/// **Limits.** An entry takes half a gibibyte at most, less where the server says so. An answer comes within the response
/// timeout, and where a connection has to be made first, within the connect timeout besides. `clear` asks as often as it
/// takes: it walks through all keys of the database. A script that a server does not know yet takes three answers
/// within the one timeout. Times are kept by tokio's clock of the caller, which a test that pauses it has to let run.
#[derive(Clone)]
pub struct RedisBackend {
    servers: Arc<Servers>,
    protocol: ProtocolVersion,
}

/// What `proto-max-bulk-len` is unless somebody changes it. A server hangs up on more.
const ENTRY_BYTES_MAX: usize = 512 << 20;

impl RedisBackend {
    /// The server of a url such as `redis://user:password@host:6379/0`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with everything that is wrong with the url, of which it shows nothing.
    pub fn new(url: impl Into<String>) -> Result<RedisBackend, ConfigError> {
        RedisBackend::builder(url).build()
    }

    /// The same with more to say.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder::new(url.into())
    }

    /// A cluster, known from some of its nodes; which others there are, these tell.
    ///
    /// ```
    /// # use stampede_runtime::store::RedisBackend;
    /// let redis = RedisBackend::cluster(["redis://a.internal:6379", "redis://b.internal:6379"]).password("from a vault").build()?;
    /// # Ok::<(), stampede_runtime::ConfigError>(())
    /// ```
    ///
    /// One url for all of that is `redis-cluster://user:password@a.internal:6379,b.internal:6379`. There is a connection to each
    /// node whose keys are asked for, and one for messages to any of them. A node that is down, hangs or moves concerns its own
    /// keys and no others, and has a circuit breaker of its own. Slots may move at any time.
    pub fn cluster<T: Into<String>>(urls: impl IntoIterator<Item = T>) -> RedisBuilder {
        RedisBuilder::cluster(urls.into_iter().map(Into::into).collect())
    }

    /// The server that sentinels know as the master of this name. They are asked for each connection, all at once, so a failover
    /// costs what it costs to connect anew.
    ///
    /// ```
    /// # use stampede_runtime::store::RedisBackend;
    /// let redis = RedisBackend::sentinel("mymaster", ["redis://a.internal:26379", "redis://b.internal:26379"]).build()?;
    /// # Ok::<(), stampede_runtime::ConfigError>(())
    /// ```
    ///
    /// One url for all of that is `redis-sentinel://user:password@a.internal:26379,b.internal:26379/mymaster/0`. The hosts are the
    /// sentinels'; user, password and database are the master's. Sentinels that ask for a password get it from
    /// [`RedisBuilder::sentinel_password`].
    pub fn sentinel<T: Into<String>>(master: impl Into<String>, urls: impl IntoIterator<Item = T>) -> RedisBuilder {
        RedisBuilder::master(master.into(), urls.into_iter().map(Into::into).collect())
    }

    /// The server of a client that is there already. The protocol is the client's: with RESP2, which is what it has unless
    /// one says otherwise, there are no messages.
    #[must_use]
    pub fn from_client(client: Client) -> RedisBackend {
        let timeouts = Timeouts { connect: builder::CONNECT_TIMEOUT, response: builder::RESPONSE_TIMEOUT };
        RedisBackend::of(client, timeouts, false)
    }

    fn of(client: Client, timeouts: Timeouts, tracking: bool) -> RedisBackend {
        let info = client.get_connection_info();
        let protocol = info.redis_settings().protocol();
        let client = Client::open(builder::settled(info.clone())).unwrap_or(client);
        RedisBackend::at(Place::Here(client), protocol, timeouts, tracking)
    }

    fn of_sentinels(sentinels: Sentinels, timeouts: Timeouts, tracking: bool) -> RedisBackend {
        let protocol = sentinels.template.redis_settings().protocol();
        RedisBackend::at(Place::Master(sentinels), protocol, timeouts, tracking)
    }

    fn at(place: Place, protocol: ProtocolVersion, timeouts: Timeouts, tracking: bool) -> RedisBackend {
        let hears = Hears { messages: true, changes: tracking };
        let link = Link::new(place, timeouts, hears, Waiters::new());
        RedisBackend { servers: Arc::new(Servers::One(link, timeouts)), protocol }
    }

    fn of_cluster(clients: Vec<Client>, timeouts: Timeouts, tracking: bool) -> RedisBackend {
        let protocol = clients[0].get_connection_info().redis_settings().protocol();
        let settle =
            |client: Client| Client::open(builder::settled(client.get_connection_info().clone())).unwrap_or(client);
        let seeds = clients.into_iter().map(settle).collect();
        let cluster = Cluster::new(seeds, timeouts, tracking, protocol != ProtocolVersion::RESP2);
        RedisBackend { servers: Arc::new(Servers::Cluster(cluster)), protocol }
    }
}

impl Backend for RedisBackend {
    fn get<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.servers.ask(key.as_str(), cmd("GET").arg(key.as_str())).await })
    }

    fn set<'a>(&'a self, key: &'a StoreKey, entry: &'a [u8], ttl: Duration) -> Pending<'a, ()> {
        Box::pin(async move {
            fits(entry)?;
            self.servers.ask(key.as_str(), &set(key, entry, ttl)).await
        })
    }

    fn get_many<'a>(&'a self, keys: &'a [StoreKey]) -> Pending<'a, Vec<Option<Vec<u8>>>> {
        Box::pin(async move {
            if keys.is_empty() {
                return Ok(Vec::new());
            }
            let keys: Vec<&str> = keys.iter().map(StoreKey::as_str).collect();
            self.servers.get_each(&keys).await
        })
    }

    fn set_many<'a>(&'a self, entries: &'a [(StoreKey, Vec<u8>, Duration)]) -> Pending<'a, ()> {
        Box::pin(async move {
            if entries.is_empty() {
                return Ok(());
            }
            let mut all = Vec::with_capacity(entries.len());
            for (key, entry, ttl) in entries {
                fits(entry)?;
                all.push((key.as_str(), set(key, entry, *ttl)));
            }
            self.servers.ask_each(&all).await.map(drop)
        })
    }

    fn replace<'a>(&'a self, key: &'a StoreKey, old: &'a [u8], new: &'a [u8], ttl: Duration) -> Pending<'a, bool> {
        Box::pin(async move {
            fits(new)?;
            let mut call = Call::new(&REPLACE, &[key.as_str()]);
            call.arg(millis(ttl)).arg(old).arg(new).arg(self.servers.waiters().sender());
            self.servers.call(key.as_str(), &call).await
        })
    }

    fn remove<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, bool> {
        Box::pin(async move {
            let mut call = Call::about(&REMOVE, key);
            self.servers.call(key.as_str(), call.arg(self.servers.waiters().sender())).await
        })
    }

    fn clear<'a>(&'a self, prefix: &'a Prefix) -> Pending<'a, u64> {
        Box::pin(async move {
            let change = Change::All(prefix.as_str().to_owned());
            self.take_out(prefix.glob(), &change, |_| true).await
        })
    }

    fn clear_matching<'a>(&'a self, prefix: &'a Prefix, pattern: &'a Pattern) -> Pending<'a, u64> {
        Box::pin(async move {
            let change = Change::Matching(prefix.as_str().to_owned(), pattern.as_str().to_owned());
            let is_meant = |entry: &str| match key::parse(entry) {
                Some(Parsed::Text(text)) => pattern.is_match(&text),
                // Which text it is, its digest does not tell.
                Some(Parsed::TooLong) => true,
                Some(Parsed::Digest(_)) | None => false,
            };
            self.take_out(prefix.glob(), &change, is_meant).await
        })
    }

    fn ping(&self) -> Pending<'_, ()> {
        Box::pin(async { self.servers.ask_anyone(&cmd("PING")).await })
    }

    fn leases(&self) -> Option<&dyn Leases> {
        Some(self)
    }

    fn tokens(&self) -> Option<&dyn Tokens> {
        Some(self)
    }

    fn news(&self) -> Option<&News> {
        Some(self.servers.waiters().news())
    }

    fn parts(&self) -> Option<&dyn Parts> {
        matches!(*self.servers, Servers::Cluster(_)).then_some(self)
    }
}

/// Those of a cluster are its nodes.
impl Parts for RedisBackend {
    fn count(&self) -> usize {
        PARTS
    }

    fn of(&self, key: &StoreKey) -> usize {
        match &*self.servers {
            Servers::One(..) => 0,
            Servers::Cluster(cluster) => cluster.part(key),
        }
    }

    fn ping(&self, part: usize) -> Pending<'_, ()> {
        match &*self.servers {
            Servers::One(..) => Backend::ping(self),
            Servers::Cluster(cluster) => Box::pin(cluster.ping(part)),
        }
    }
}

/// Puts an entry in place of an earlier one.
fn set(key: &StoreKey, entry: &[u8], ttl: Duration) -> Cmd {
    match millis(ttl) {
        0 => cmd("DEL").arg(key.as_str()).clone(),
        millis => cmd("SET").arg(key.as_str()).arg(entry).arg("PX").arg(millis).clone(),
    }
}

impl RedisBackend {
    /// Takes out the entries that are meant, and what stands beside them. Says how many.
    async fn take_out(
        &self,
        all: String,
        change: &Change,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<u64, BackendError> {
        // Without the tokens of tags, which tell that something was invalidated.
        let is_meant = |key: &String| entry_of(key).is_some_and(|entry| !key::is_of_tag(entry) && is_meant(entry));
        // Told before and after: what is read in between is not kept.
        self.tell(change).await?;
        // First all leases: what is being made now is refused, or is there before the second walk begins.
        let mut walk = Walk::new(&self.servers, &all);
        while let Some(keys) = walk.next().await? {
            for lease in keys.into_iter().filter(|key| key.ends_with(LEASE) && is_meant(key)) {
                let () = self.servers.call(&lease, &Call::new(&RELEASE, &[&lease])).await?;
            }
        }
        let (mut walk, mut cleared) = (Walk::new(&self.servers, &all), 0);
        while let Some(keys) = walk.next().await? {
            let meant = keys.into_iter().filter(|key| !key.ends_with(LEASE) && is_meant(key));
            let (entries, others): (Vec<_>, Vec<_>) = meant.partition(|key| is_entry(key));
            cleared += self.unlink(&entries).await?;
            self.unlink(&others).await?;
        }
        self.tell(change).await?;
        Ok(cleared)
    }

    /// Tells all other processes. Where that is not allowed, their memory is as old as its `ttl` lets it be.
    async fn tell(&self, change: &Change) -> Result<(), BackendError> {
        let text = change.to_text(self.servers.waiters().sender());
        match self.servers.ask_anyone(cmd("PUBLISH").arg(NEWS).arg(text)).await {
            Err(error) if error.kind() == BackendErrorKind::Refused => Ok(()),
            told => told,
        }
    }

    async fn unlink(&self, keys: &[String]) -> Result<u64, BackendError> {
        if keys.is_empty() {
            return Ok(0);
        }
        match &*self.servers {
            Servers::One(link, _) => link.ask(cmd("UNLINK").arg(keys)).await,
            Servers::Cluster(_) => {
                let keys: Vec<_> = keys.iter().map(|key| (key.as_str(), cmd("UNLINK").arg(key).clone())).collect();
                let counts = self.servers.ask_each(&keys).await?;
                Ok(counts.into_iter().filter_map(|count| from_redis_value::<u64>(count).ok()).sum())
            }
        }
    }
}

fn fits(entry: &[u8]) -> Result<(), Failure> {
    if entry.len() > ENTRY_BYTES_MAX {
        return Err(Failure::new(BackendErrorKind::TooLarge, "half a gibibyte is the most"));
    }
    Ok(())
}

/// Whole milliseconds, part of one counting as one, as many as a server can count.
fn millis(span: Duration) -> u64 {
    const MILLI: u128 = 1_000_000;
    // What a script can count exactly; the server adds it to the time and must not overflow.
    const MILLIS_MAX: u64 = (1 << 53) - 1;
    u64::try_from(span.as_nanos().div_ceil(MILLI)).map_or(MILLIS_MAX, |millis| millis.min(MILLIS_MAX))
}

/// Neither the address nor a password: the one may hold the other.
impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Timeouts { connect: connect_timeout, response: response_timeout } = self.servers.timeouts();
        f.debug_struct("RedisBackend")
            .field("is_connected", &self.servers.is_up())
            .field("protocol", &self.protocol)
            .field("connect_timeout", &connect_timeout)
            .field("response_timeout", &response_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_too_large_is_not_sent() {
        let backend = RedisBackend::new("redis://127.0.0.1:1").unwrap();
        let key = StoreKey::new(&crate::store::Place::new("redis", "f", 1), crate::store::Id::Text("a"));
        let error = backend.set(&key, &vec![0; ENTRY_BYTES_MAX + 1], Duration::MAX).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::TooLarge);
    }

    #[test]
    fn part_of_a_millisecond_counts_as_one() {
        assert_eq!([Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(1001)].map(millis), [0, 1, 2]);
        assert_eq!([Duration::MAX, Duration::from_secs(u64::MAX / 1_000)].map(millis), [(1 << 53) - 1; 2]);
    }
}
