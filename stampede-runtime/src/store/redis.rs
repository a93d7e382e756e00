//! Redis and Valkey as a backend: entries, leases, and messages when a lease ends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Client, ProtocolVersion, cmd, pipe};

use self::error::Failure;
use self::link::Link;
use self::scripts::{LEASE, RELEASE, REMOVE, REPLACE, about, entry_of, is_entry};
use self::waiters::NEWS;
use super::backend::{Backend, BackendError, BackendErrorKind, Pending};
use super::key::{self, Parsed, Prefix, StoreKey};
use super::lease::Leases;
use super::news::{Change, News};
use super::tokens::Tokens;
use crate::config::ConfigError;
use crate::pattern::Pattern;

mod builder;
mod error;
mod leases;
mod link;
mod scripts;
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
/// All clones use one connection. It is made at the first use, in the background of the process rather than in the
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
    link: Arc<Link>,
    protocol: ProtocolVersion,
}

/// What `proto-max-bulk-len` is unless somebody changes it. A server hangs up on more.
const ENTRY_BYTES_MAX: usize = 512 << 20;

/// How many keys a step of `clear` looks at, about: a server does nothing else meanwhile.
const CLEARED_AT_ONCE: usize = 1_000;

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

    /// The server of a client that is there already. The protocol is the client's: with RESP2, which is what it has unless
    /// one says otherwise, there are no messages.
    #[must_use]
    pub fn from_client(client: Client) -> RedisBackend {
        RedisBackend::of(client, builder::CONNECT_TIMEOUT, builder::RESPONSE_TIMEOUT, false)
    }

    fn of(client: Client, connect_timeout: Duration, response_timeout: Duration, tracking: bool) -> RedisBackend {
        let info = client.get_connection_info();
        let protocol = info.redis_settings().protocol();
        let client = Client::open(builder::settled(info.clone())).unwrap_or(client);
        RedisBackend { link: Arc::new(Link::new(client, connect_timeout, response_timeout, tracking)), protocol }
    }
}

impl Backend for RedisBackend {
    fn get<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.link.ask(cmd("GET").arg(key.as_str())).await })
    }

    fn set<'a>(&'a self, key: &'a StoreKey, entry: &'a [u8], ttl: Duration) -> Pending<'a, ()> {
        Box::pin(async move {
            fits(entry)?;
            match millis(ttl) {
                0 => self.link.ask(cmd("DEL").arg(key.as_str())).await,
                millis => self.link.ask(cmd("SET").arg(key.as_str()).arg(entry).arg("PX").arg(millis)).await,
            }
        })
    }

    fn get_many<'a>(&'a self, keys: &'a [StoreKey]) -> Pending<'a, Vec<Option<Vec<u8>>>> {
        Box::pin(async move {
            if keys.is_empty() {
                return Ok(Vec::new());
            }
            let mut get = cmd("MGET");
            for key in keys {
                get.arg(key.as_str());
            }
            self.link.ask(&get).await
        })
    }

    fn set_many<'a>(&'a self, entries: &'a [(StoreKey, Vec<u8>, Duration)]) -> Pending<'a, ()> {
        Box::pin(async move {
            if entries.is_empty() {
                return Ok(());
            }
            let mut all = pipe();
            for (key, entry, ttl) in entries {
                fits(entry)?;
                match millis(*ttl) {
                    0 => all.cmd("DEL").arg(key.as_str()).ignore(),
                    millis => all.cmd("SET").arg(key.as_str()).arg(entry).arg("PX").arg(millis).ignore(),
                };
            }
            self.link.ask_all(&all).await
        })
    }

    fn replace<'a>(&'a self, key: &'a StoreKey, old: &'a [u8], new: &'a [u8], ttl: Duration) -> Pending<'a, bool> {
        Box::pin(async move {
            fits(new)?;
            let mut call = REPLACE.key(key.as_str());
            call.arg(millis(ttl)).arg(old).arg(new).arg(self.link.waiters().sender());
            self.link.call(&call).await
        })
    }

    fn remove<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, bool> {
        Box::pin(async move { self.link.call(about(&REMOVE, key).arg(self.link.waiters().sender())).await })
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
        Box::pin(async { self.link.ask(&cmd("PING")).await })
    }

    fn leases(&self) -> Option<&dyn Leases> {
        Some(self)
    }

    fn tokens(&self) -> Option<&dyn Tokens> {
        Some(self)
    }

    fn news(&self) -> Option<&News> {
        Some(self.link.waiters().news())
    }
}

/// A way through all keys with one beginning. What is there all the time is seen.
struct Walk {
    pattern: String,
    /// `None`: the way has ended.
    cursor: Option<u64>,
}

impl Walk {
    fn new(pattern: &str) -> Walk {
        Walk { pattern: pattern.to_owned(), cursor: Some(0) }
    }

    async fn next(&mut self, link: &Link) -> Result<Option<Vec<String>>, BackendError> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&self.pattern).arg("COUNT").arg(CLEARED_AT_ONCE);
        let (next, keys): (u64, Vec<String>) = link.ask(&scan).await?;
        self.cursor = Some(next).filter(|next| *next != 0);
        Ok(Some(keys))
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
        let mut walk = Walk::new(&all);
        while let Some(keys) = walk.next(&self.link).await? {
            for lease in keys.into_iter().filter(|key| key.ends_with(LEASE) && is_meant(key)) {
                let () = self.link.call(&RELEASE.key(lease)).await?;
            }
        }
        let (mut walk, mut cleared) = (Walk::new(&all), 0);
        while let Some(keys) = walk.next(&self.link).await? {
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
        let text = change.to_text(self.link.waiters().sender());
        match self.link.ask(cmd("PUBLISH").arg(NEWS).arg(text)).await {
            Err(error) if error.kind() == BackendErrorKind::Refused => Ok(()),
            told => told,
        }
    }

    async fn unlink(&self, keys: &[String]) -> Result<u64, BackendError> {
        if keys.is_empty() {
            return Ok(0);
        }
        self.link.ask(cmd("UNLINK").arg(keys)).await
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
        let [connect_timeout, response_timeout] = self.link.timeouts();
        f.debug_struct("RedisBackend")
            .field("is_connected", &self.link.is_up())
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
