//! A Redis backend in the making: its urls, and what they may say.

use std::fmt;
use std::time::Duration;

use ::redis::io::tcp::socket2::TcpKeepalive;
use ::redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, parse_redis_url,
};

use super::RedisBackend;
use super::link::Timeouts;
use super::sentinel::Sentinels;
use crate::config::ConfigError;

/// A [`RedisBackend`] in the making, from [`RedisBackend::builder`].
#[derive(Clone)]
#[must_use = "a backend is made by `build`"]
pub struct RedisBuilder {
    servers: Named,
    sentinel_username: Option<String>,
    sentinel_password: Option<String>,
    username: Option<String>,
    password: Option<String>,
    connect_timeout: Duration,
    response_timeout: Duration,
    tracking: bool,
    #[cfg(feature = "redis-tls")]
    root_certificates: Option<Vec<u8>>,
    #[cfg(feature = "redis-tls")]
    client_certificate: Option<::redis::ClientTlsConfig>,
}

/// Together they are the half second that a call gives a backend unless one says otherwise: the first call connects and
/// still has time for an answer.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_millis(300);

/// What is wrong, and with which of the things that were said.
pub(crate) type Problem = (&'static str, String);

/// What urls name.
#[derive(Clone)]
enum Named {
    /// Whatever its scheme says.
    Any(String),
    Cluster(Vec<String>),
    /// The master's name, and the sentinels.
    Master(String, Vec<String>),
}

impl RedisBuilder {
    pub(super) fn new(url: String) -> RedisBuilder {
        RedisBuilder::of(Named::Any(url))
    }

    pub(super) fn cluster(urls: Vec<String>) -> RedisBuilder {
        RedisBuilder::of(Named::Cluster(urls))
    }

    pub(super) fn master(name: String, urls: Vec<String>) -> RedisBuilder {
        RedisBuilder::of(Named::Master(name, urls))
    }

    fn of(servers: Named) -> RedisBuilder {
        RedisBuilder {
            servers,
            sentinel_username: None,
            sentinel_password: None,
            username: None,
            password: None,
            connect_timeout: CONNECT_TIMEOUT,
            response_timeout: RESPONSE_TIMEOUT,
            tracking: false,
            #[cfg(feature = "redis-tls")]
            root_certificates: None,
            #[cfg(feature = "redis-tls")]
            client_certificate: None,
        }
    }

    /// How long a connection may take: name, TCP, TLS, password, subscription. 200 ms unless one says otherwise.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long an answer may take. 300 ms unless one says otherwise.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// Has the server tell of every change of an entry, whoever makes it: a `DEL` or `FLUSHALL` by hand, a key that the server
    /// evicts. Then that shows in this process's memory at once. Off unless one says otherwise: what stampede itself changes is
    /// told anyway, and this costs a message to every process for every entry that is written (`CLIENT TRACKING ON BCAST`).
    /// It takes the right to `client|tracking` and RESP3; without them it is as though it were off, and that is logged. In a
    /// cluster it takes a connection to every node, also to those of which nothing is asked.
    pub fn tracking(mut self, tracking: bool) -> Self {
        self.tracking = tracking;
        self
    }

    /// The user, in the place of the url's.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password, in the place of the url's: one from a vault need not be escaped into an address.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The user of the sentinels, who is none unless one says so: that of the url is the master's.
    pub fn sentinel_username(mut self, username: impl Into<String>) -> Self {
        self.sentinel_username = Some(username.into());
        self
    }

    /// The password of the sentinels.
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_password = Some(password.into());
        self
    }

    /// Whom to trust about certificates, as PEM, in the place of those whom the system trusts.
    #[cfg(feature = "redis-tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// What to show to a server that asks, as PEM: a chain of certificates, and the key.
    #[cfg(feature = "redis-tls")]
    pub fn client_certificate(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.client_certificate = Some(::redis::ClientTlsConfig { client_cert: chain.into(), client_key: key.into() });
        self
    }

    /// Makes the backend. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with everything that is wrong. It shows no part of the url.
    pub fn build(self) -> Result<RedisBackend, ConfigError> {
        let told = |(what, problem)| format!("`{what}`: {problem}");
        self.make().map_err(|problems| ConfigError::Invalid(problems.into_iter().map(told).collect()))
    }

    pub(crate) fn make(self) -> Result<RedisBackend, Vec<Problem>> {
        let mut problems = Vec::new();
        for (name, timeout) in [("connect_timeout", self.connect_timeout), ("response_timeout", self.response_timeout)]
        {
            if timeout.is_zero() {
                problems.push((name, "it must be longer than zero".to_owned()));
            }
        }
        let (kind, urls) = match self.servers.clone() {
            Named::Any(url) => match Kind::split(&url) {
                Ok(split) => split,
                Err(wrong) => {
                    problems.extend(wrong.into_iter().map(|problem| ("url", problem)));
                    return Err(problems);
                }
            },
            Named::Cluster(urls) => (Kind::Cluster, urls),
            Named::Master(name, urls) => (Kind::Master(name), urls),
        };
        let is_of_sentinels = self.sentinel_username.is_some() || self.sentinel_password.is_some();
        if is_of_sentinels && !matches!(kind, Kind::Master(_)) {
            let what = if self.sentinel_username.is_some() { "sentinel_username" } else { "sentinel_password" };
            problems.push((what, "there are no sentinels".to_owned()));
        }
        let (infos, wrong) = kind.read(&urls);
        problems.extend(wrong.into_iter().map(|problem| ("url", problem)));
        let mut clients = Vec::with_capacity(infos.len());
        for info in infos {
            match self.client(info) {
                Ok(client) => clients.push(client),
                Err(problem) if problems.contains(&problem) => {}
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let timeouts = Timeouts { connect: self.connect_timeout, response: self.response_timeout };
        let backend = match kind {
            Kind::One => RedisBackend::of(clients.remove(0), timeouts, self.tracking),
            Kind::Cluster => RedisBackend::of_cluster(clients, timeouts, self.tracking),
            Kind::Master(name) => {
                let sentinels = self.sentinels(name, &clients);
                RedisBackend::of_sentinels(sentinels, timeouts, self.tracking)
            }
        };
        Ok(backend)
    }

    /// The urls name the sentinels, and say all else of the master.
    fn sentinels(&self, master: String, clients: &[Client]) -> Sentinels {
        let template = settled(clients[0].get_connection_info().clone());
        let of_sentinel = |client: &Client| {
            let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
            if let Some(username) = &self.sentinel_username {
                settings = settings.set_username(username);
            }
            if let Some(password) = &self.sentinel_password {
                settings = settings.set_password(password);
            }
            let info = settled(client.get_connection_info().clone().set_redis_settings(settings));
            Client::open(info).unwrap_or_else(|_| client.clone())
        };
        Sentinels { clients: clients.iter().map(of_sentinel).collect(), master, template }
    }

    fn client(&self, info: ConnectionInfo) -> Result<Client, Problem> {
        let mut settings = info.redis_settings().clone();
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        let info = info.set_redis_settings(settings);
        #[cfg(feature = "redis-tls")]
        if self.root_certificates.is_some() || self.client_certificate.is_some() {
            if !matches!(info.addr(), ::redis::ConnectionAddr::TcpTls { .. }) {
                let problem = "certificates need a url that begins with `rediss` or `valkeys`";
                return Err(("url", problem.to_owned()));
            }
            let certificates = ::redis::TlsCertificates {
                root_cert: self.root_certificates.clone(),
                client_tls: self.client_certificate.clone(),
            };
            let client = Client::build_with_tls(info, certificates);
            return client.map_err(|_| ("certificates", "they are no PEM that can be read".to_owned()));
        }
        Client::open(info).map_err(|_| ("url", UNREADABLE.to_owned()))
    }
}

/// What is behind urls.
enum Kind {
    One,
    Cluster,
    Master(String),
}

impl Kind {
    /// Takes a url apart that names several hosts, `redis-cluster://host,host` or `redis-sentinel://host,host/master`: the
    /// others stand for one.
    fn split(url: &str) -> Result<(Kind, Vec<String>), Vec<String>> {
        let Some((scheme, rest)) = url.split_once("://") else { return Ok((Kind::One, vec![url.to_owned()])) };
        let scheme = scheme.to_ascii_lowercase();
        let (base, is_cluster) = match scheme.rsplit_once('-') {
            Some((base @ ("redis" | "rediss" | "valkey" | "valkeys"), "cluster")) => (base, true),
            Some((base @ ("redis" | "rediss" | "valkey" | "valkeys"), "sentinel")) => (base, false),
            _ => return Ok((Kind::One, vec![url.to_owned()])),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, mut after) = rest.split_at(end);
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let user = if user.is_empty() { String::new() } else { format!("{user}@") };
        let kind = if is_cluster {
            Kind::Cluster
        } else {
            let path = after.strip_prefix('/').unwrap_or_default();
            let end = path.find(['/', '?', '#']).unwrap_or(path.len());
            let (name, rest) = path.split_at(end);
            if name.is_empty() {
                return Err(vec!["it names no master, as `redis-sentinel://host:26379/master` does".to_owned()]);
            }
            after = rest;
            Kind::Master(name.to_owned())
        };
        Ok((kind, hosts.split(',').map(|host| format!("{base}://{user}{host}{after}")).collect()))
    }

    /// What the urls mean, and everything that is wrong with them. They say the same but for their hosts.
    fn read(&self, urls: &[String]) -> (Vec<ConnectionInfo>, Vec<String>) {
        let (mut infos, mut problems) = (Vec::<ConnectionInfo>::new(), Vec::<String>::new());
        let mut problem = |problem: String| {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        };
        if urls.is_empty() {
            problem("there has to be one at least".to_owned());
        }
        if let Kind::Master(name) = self
            && name.is_empty()
        {
            problem("the master has a name".to_owned());
        }
        for url in urls {
            match read(url) {
                Ok(mut info) => {
                    let is_socket = matches!(info.addr(), ConnectionAddr::Unix(_));
                    if is_socket && !matches!(self, Kind::One) {
                        problem("a socket in the file system is no node, and no sentinel".to_owned());
                    }
                    if matches!(self, Kind::Cluster) && info.redis_settings().db() != 0 {
                        problem("a cluster has no databases".to_owned());
                    }
                    if matches!(self, Kind::Master(_)) && !has_port(url) {
                        info = with_port(info, SENTINEL_PORT);
                    }
                    infos.push(info);
                }
                Err(wrong) => wrong.into_iter().for_each(&mut problem),
            }
        }
        let is_alike = |one: &ConnectionInfo, other: &ConnectionInfo| {
            let of = |info: &ConnectionInfo| {
                let (settings, addr) = (info.redis_settings(), matches!(info.addr(), ConnectionAddr::TcpTls { .. }));
                let user = (settings.username().map(str::to_owned), settings.password().map(str::to_owned));
                (user, settings.db(), settings.protocol() == ProtocolVersion::RESP2, addr)
            };
            of(one) == of(other)
        };
        if infos.iter().any(|info| !is_alike(info, &infos[0])) {
            problem("several say the same but for their hosts and ports".to_owned());
        }
        (infos, problems)
    }
}

const SENTINEL_PORT: u16 = 26_379;

fn has_port(url: &str) -> bool {
    parse_redis_url(url).is_some_and(|url| url.port().is_some())
}

fn with_port(info: ConnectionInfo, port: u16) -> ConnectionInfo {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => {
            let host = host.clone();
            super::sentinel::at(&info, host, port)
        }
        _ => info,
    }
}

/// The same connection, for small commands that do not wait for each other, and with a look at the other end now and then.
pub(super) fn settled(info: ConnectionInfo) -> ConnectionInfo {
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(30));
    let tcp = info.tcp_settings().clone().set_nodelay(true).set_keepalive(keepalive);
    // What it would say of the library needs a right, and a server that knows it.
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    info.set_tcp_settings(tcp).set_redis_settings(settings)
}

const UNREADABLE: &str = "it cannot be read as a url";

/// What a url means, or everything that is wrong with it.
fn read(text: &str) -> Result<ConnectionInfo, Vec<String>> {
    let scheme = text.split_once("://").map_or_else(String::new, |(scheme, _)| scheme.to_ascii_lowercase());
    let (is_encrypted, is_path) = match scheme.as_str() {
        "redis" | "valkey" => (false, false),
        "rediss" | "valkeys" => (true, false),
        "redis+unix" | "valkey+unix" | "unix" => (false, true),
        _ => {
            return Err(vec![
                "it begins with `redis://`, `rediss://` (encrypted), `valkey://`, `valkeys://`, `unix://`, or \
                 `redis-cluster://`, `redis-sentinel://` and the like"
                    .to_owned(),
            ]);
        }
    };
    let Some(url) = parse_redis_url(text) else {
        return Err(vec![UNREADABLE.to_owned()]);
    };
    let mut problems = Vec::new();
    if is_encrypted && !cfg!(feature = "redis-tls") {
        problems.push(format!("`{scheme}` needs the cargo feature `redis-tls` of `stampede-runtime`"));
    }
    match url.fragment() {
        None => {}
        Some("insecure") => problems.push("`#insecure` is not taken: certificates are always verified".to_owned()),
        Some(_) => problems.push("it ends before a `#`; in a password that is `%23`".to_owned()),
    }
    let options: &[&str] = if is_path { &["db", "user", "pass", "protocol"] } else { &["protocol"] };
    let mut database = if is_path { String::new() } else { url.path().trim_matches('/').to_owned() };
    let mut has_protocol = false;
    for (name, value) in url.query_pairs() {
        match &*name {
            name if !options.contains(&name) => {
                let list: Vec<_> = options.iter().map(|name| format!("`{name}`")).collect();
                problems.push(format!("unknown option after the `?`; there is {}", list.join(", ")));
            }
            "protocol" => {
                has_protocol = true;
                if !["2", "3", "resp2", "resp3"].contains(&&*value) {
                    problems.push("`protocol` is `resp2` or `resp3`".to_owned());
                }
            }
            "db" => database = value.into_owned(),
            _ => {}
        }
    }
    if !database.is_empty() && database.parse::<u32>().is_err() {
        problems.push("the database is a number".to_owned());
    }
    if !is_path && url.host_str().is_none_or(str::is_empty) {
        problems.push("it names no host".to_owned());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let info = url.into_connection_info().map_err(|_| vec![UNREADABLE.to_owned()])?;
    if has_protocol {
        return Ok(info);
    }
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

/// No address and no password.
impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
