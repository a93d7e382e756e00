//! Redis through TLS, one server and a cluster, with certificates made for the test.

use std::future::IntoFuture;
use std::sync::Mutex;
use std::time::Duration;

use stampede_runtime::store::lease::{Acquired, Asked, End, Leases, Wish};
use stampede_runtime::store::{
    Backend, BackendError, BackendErrorKind, Id, Place, RedisBackend, RedisBuilder, StoreKey, conformance,
};
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Cache, Config, Settings, shutdown};
use tokio::time::{sleep, timeout};

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/redis_cluster.rs"]
mod redis_cluster;
#[path = "support/redis_server.rs"]
mod redis_server;

use certificates::Certificates;
use redis_cluster::RedisCluster;
use redis_server::{PATIENCE, RedisServer, free_port};

const HOUR: Duration = Duration::from_secs(3600);

async fn soon<T>(what: impl IntoFuture<Output = T>) -> T {
    timeout(PATIENCE, what.into_future()).await.expect("it ends")
}

/// A server with a TLS port besides its own, and that port.
fn start(test: &str, certificates: &Certificates, is_wanted: bool) -> Option<(RedisServer, u16)> {
    let port = free_port();
    let server = RedisServer::start_with(test, |_| certificates.arguments("server", port, is_wanted))?;
    Some((server, port))
}

fn builder(url: &str) -> RedisBuilder {
    RedisBackend::builder(url).connect_timeout(Duration::from_secs(5)).response_timeout(Duration::from_secs(5))
}

fn assert_is_not_trusted(error: &BackendError) {
    assert_eq!(error.kind(), BackendErrorKind::Unreachable);
    let cause = std::error::Error::source(error).unwrap().to_string();
    assert_eq!(cause, "the server's certificate is not trusted");
}

#[tokio::test]
async fn a_trusted_certificate_will_do_and_no_other() {
    let test = "a_trusted_certificate_will_do_and_no_other";
    let Some(certificates) = Certificates::make(test) else { return };
    let Some((_server, port)) = start(test, &certificates, false) else { return };
    let pem = |name: &str| certificates.pem(name);
    let url = format!("rediss://127.0.0.1:{port}");
    let trusting = || builder(&url).root_certificates(pem("ours.pem")).build().unwrap();
    conformance::check(async || {
        let backend = trusting();
        soon(backend.ping()).await.unwrap();
        backend
    })
    .await;

    let unknown = builder(&url).build().unwrap();
    let theirs = builder(&url).root_certificates(pem("theirs.pem")).build().unwrap();
    for backend in [unknown, theirs] {
        assert_is_not_trusted(&soon(backend.ping()).await.unwrap_err());
    }
    // The certificate is of `localhost` and of this address, and of no other.
    let elsewhere = builder(&format!("rediss://127.0.0.2:{port}")).root_certificates(pem("ours.pem")).build().unwrap();
    assert!(soon(elsewhere.ping()).await.is_err());
    let by_name = builder(&format!("valkeys://localhost:{port}")).root_certificates(pem("ours.pem")).build().unwrap();
    soon(by_name.ping()).await.unwrap();
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let test = "a_client_shows_its_certificate";
    let Some(certificates) = Certificates::make(test) else { return };
    let Some((_server, port)) = start(test, &certificates, true) else { return };
    let pem = |name: &str| certificates.pem(name);
    let url = format!("rediss://127.0.0.1:{port}");
    let nobody = builder(&url).root_certificates(pem("ours.pem")).build().unwrap();
    assert_eq!(soon(nobody.ping()).await.unwrap_err().kind(), BackendErrorKind::Unreachable);
    let known = builder(&url).root_certificates(pem("ours.pem"));
    let known = known.client_certificate(pem("client.pem"), pem("client.key")).build().unwrap();
    soon(known.ping()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_encrypt_is_an_error() {
    let Some(server) = RedisServer::start("a_server_that_does_not_encrypt_is_an_error") else { return };
    let backend = builder(&format!("rediss://127.0.0.1:{}", server.port())).build().unwrap();
    assert_eq!(soon(backend.ping()).await.unwrap_err().kind(), BackendErrorKind::Unreachable);
}

/// A cluster whose nodes encrypt, also what they tell each other.
struct Encrypted {
    cluster: RedisCluster,
    ports: Vec<u16>,
}

impl Encrypted {
    /// `of`: whose certificate each node shows.
    fn start(test: &str, certificates: &Certificates, of: [&str; 3], is_wanted: bool) -> Option<Encrypted> {
        let ports = Mutex::new(Vec::new());
        let cluster = RedisCluster::start_with(test, |node| {
            let port = free_port();
            ports.lock().unwrap().push(port);
            let mut arguments = certificates.arguments(of[node], port, is_wanted);
            arguments.extend(["--tls-cluster", "yes"].map(str::to_owned));
            arguments
        })?;
        Some(Encrypted { cluster, ports: ports.into_inner().unwrap() })
    }

    fn url(&self) -> String {
        let hosts: Vec<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("rediss-cluster://{}", hosts.join(","))
    }

    /// A key of each node.
    fn keys(&self) -> Vec<StoreKey> {
        let all: Vec<StoreKey> = (0..200).map(|id| key(&id.to_string())).collect();
        let owner = |key: &StoreKey| self.cluster.owner(self.cluster.slot(key.as_str()));
        (0..3).map(|node| all.iter().find(|key| owner(key) == node).expect("200 keys are everywhere").clone()).collect()
    }

    /// Nobody but who asks has come to a port that does not encrypt.
    fn assert_all_is_encrypted(&self) {
        for (node, port) in self.cluster.nodes.iter().zip(&self.ports) {
            let clients =
                node.ask(&["CLIENT", "LIST", "TYPE", "normal"]) + &node.ask(&["CLIENT", "LIST", "TYPE", "pubsub"]);
            let at =
                |port: u16| clients.lines().filter(|line| line.contains(&format!("laddr=127.0.0.1:{port} "))).count();
            assert_eq!(at(node.port()), 1, "{clients}");
            assert!(at(*port) > 0, "{clients}");
        }
    }
}

fn key(id: &str) -> StoreKey {
    StoreKey::new(&Place::new("tls", "f", 1), Id::Text(id))
}

fn asked(owner: &str) -> Asked<'_> {
    Asked { owner, lease: HOUR, value: Wish::Any, joined: None, waiter: None }
}

#[tokio::test]
async fn a_cluster_that_encrypts_keeps_what_every_backend_promises() {
    let test = "a_cluster_that_encrypts_keeps_what_every_backend_promises";
    let Some(certificates) = Certificates::make(test) else { return };
    let Some(encrypted) = Encrypted::start(test, &certificates, ["server"; 3], false) else { return };
    let trusting = || builder(&encrypted.url()).root_certificates(certificates.pem("ours.pem")).build().unwrap();
    let keys = encrypted.keys();
    // With all connections: what is judged is how long entries stay, and not how long handshakes take.
    conformance::check(async || {
        let backend = trusting();
        for key in &keys {
            soon(backend.get(key)).await.unwrap();
        }
        backend
    })
    .await;
    // One that is known of, and the others as it names them.
    let of_one = || {
        let url = format!("rediss://127.0.0.1:{}", encrypted.ports[1]);
        let slow = Duration::from_secs(5);
        let one = RedisBackend::cluster([url]).connect_timeout(slow).response_timeout(slow);
        one.root_certificates(certificates.pem("ours.pem")).build().unwrap()
    };
    let (one, other) = (of_one(), trusting());
    for key in &keys {
        soon(one.set(key, b"entry", HOUR)).await.unwrap();
        assert_eq!(soon(other.get(key)).await.unwrap().as_deref(), Some(&b"entry"[..]));
    }
    encrypted.assert_all_is_encrypted();

    for roots in [None, Some("theirs.pem")] {
        let stranger = builder(&encrypted.url());
        let stranger = match roots {
            Some(roots) => stranger.root_certificates(certificates.pem(roots)),
            None => stranger,
        };
        assert_is_not_trusted(&soon(stranger.build().unwrap().get(&key("a"))).await.unwrap_err());
    }
}

#[tokio::test]
async fn a_slot_that_moves_is_followed_through_tls_with_the_same_certificates() {
    let test = "a_slot_that_moves_is_followed_through_tls_with_the_same_certificates";
    let Some(certificates) = Certificates::make(test) else { return };
    let Some(encrypted) = Encrypted::start(test, &certificates, ["server"; 3], true) else { return };
    let cluster = &encrypted.cluster;
    let pem = |name: &str| certificates.pem(name);
    let nobody = builder(&encrypted.url()).root_certificates(pem("ours.pem")).build().unwrap();
    assert_eq!(soon(nobody.get(&key("a"))).await.unwrap_err().kind(), BackendErrorKind::Unreachable);
    let known = || {
        let known = builder(&encrypted.url()).root_certificates(pem("ours.pem"));
        known.client_certificate(pem("client.pem"), pem("client.key")).build().unwrap()
    };
    let key = &encrypted.keys()[0];
    let (one, other) = (known(), known());
    let Acquired::Lead(token) = soon(one.acquire(key, asked("one"))).await.unwrap() else { panic!("alone") };
    let waiter = other.waiter(key);
    let wait = soon(other.acquire(key, Asked { waiter: Some(&*waiter), ..asked("other") })).await.unwrap();
    assert!(matches!(wait, Acquired::Wait { .. }));
    let slot = cluster.slot(key.as_str());
    // To nodes that have not been asked for anything.
    for (to, is_there) in [(1, false), (2, true)] {
        let from = cluster.begin_moving(slot, to);
        cluster.move_keys(slot, from, to);
        // `ASK`, and then `MOVED`.
        assert_eq!(soon(one.get(key)).await.unwrap().is_some(), is_there);
        cluster.end_moving(slot, from, to);
        if !is_there {
            let end = End::Value { entry: b"entry", ttl: HOUR, told: None };
            assert!(soon(one.end(key, &token, end)).await.unwrap(), "the lease has moved, too");
            soon(waiter.woken()).await;
        }
        assert_eq!(soon(other.get(key)).await.unwrap().as_deref(), Some(&b"entry"[..]));
    }
    encrypted.assert_all_is_encrypted();
}

#[tokio::test]
async fn what_others_change_in_a_cluster_is_heard_of_through_tls() {
    let test = "what_others_change_in_a_cluster_is_heard_of_through_tls";
    let Some(certificates) = Certificates::make(test) else { return };
    let Some(encrypted) = Encrypted::start(test, &certificates, ["server"; 3], true) else { return };
    let isolated = |tracking: bool| {
        let redis = builder(&encrypted.url()).root_certificates(certificates.pem("ours.pem")).tracking(tracking);
        let redis = redis.client_certificate(certificates.pem("client.pem"), certificates.pem("client.key"));
        let settings = Settings::new().backend_timeout(PATIENCE);
        isolate_with(Config::builder().backend("main", redis.build().unwrap()).defaults(settings).build().unwrap())
    };
    let cache = || -> Cache<u32> { Cache::builder("heard").ttl(HOUR).backend("main").build() };
    let texts: Vec<String> = (0..20).map(|number| format!("user:{number}")).collect();
    let _isolated = isolated(false);
    let here = cache();
    for text in &texts {
        here.set(text, 1).await.unwrap();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                // As another process.
                let _isolated = isolated(true);
                let there = cache();
                for text in &texts {
                    soon(there.set(text, 2)).await.unwrap();
                }
                // What is changed by hand, only the node itself can tell.
                let name = StoreKey::new(&Place::new("cache", "heard", 0), Id::Text(&texts[0]));
                let node = encrypted.cluster.owner(encrypted.cluster.slot(name.as_str()));
                encrypted.cluster.nodes[node].ask(&["DEL", name.as_str()]);
                heard(&there, &texts[0], None).await;
                assert_eq!(shutdown(PATIENCE).await, 0);
            });
        });
    });
    for text in &texts[1..] {
        heard(&here, text, Some(2)).await;
    }
    encrypted.assert_all_is_encrypted();
}

/// Waits until that is what a cache has.
async fn heard(cache: &Cache<u32>, text: &str, value: Option<u32>) {
    soon(async {
        while cache.get(text).await != value {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_node_whose_certificate_is_not_trusted_is_refused_and_the_others_are_not() {
    let test = "a_node_whose_certificate_is_not_trusted_is_refused_and_the_others_are_not";
    let Some(certificates) = Certificates::make(test) else { return };
    let of = ["server", "server", "stranger"];
    let Some(encrypted) = Encrypted::start(test, &certificates, of, false) else { return };
    let backend = builder(&encrypted.url()).root_certificates(certificates.pem("ours.pem")).build().unwrap();
    let keys = encrypted.keys();
    for _ in 0..20 {
        assert_is_not_trusted(&soon(backend.set(&keys[2], b"entry", HOUR)).await.unwrap_err());
        for key in &keys[..2] {
            soon(backend.set(key, b"entry", HOUR)).await.unwrap();
        }
    }
    // Neither is it because a node that is trusted says so.
    let slot = encrypted.cluster.slot(keys[0].as_str());
    encrypted.cluster.move_slot(slot, 2);
    assert_is_not_trusted(&soon(backend.get(&keys[0])).await.unwrap_err());
    assert_eq!(soon(backend.get(&keys[1])).await.unwrap().as_deref(), Some(&b"entry"[..]));
    let gets = encrypted.cluster.nodes[2].ask(&["INFO", "commandstats"]);
    assert!(!gets.contains("cmdstat_get:"), "{gets}");
}

#[tokio::test]
async fn certificates_may_be_for_the_names_that_nodes_announce() {
    let test = "certificates_may_be_for_the_names_that_nodes_announce";
    let Some(certificates) = Certificates::make(test) else { return };
    let Some(encrypted) = Encrypted::start(test, &certificates, ["named"; 3], false) else { return };
    let url = format!("rediss-cluster://localhost:{}", encrypted.ports[0]);
    let trusting = || builder(&url).root_certificates(certificates.pem("ours.pem")).build().unwrap();
    let keys = encrypted.keys();
    // An address that is in no certificate.
    assert_is_not_trusted(&soon(trusting().get(&keys[1])).await.unwrap_err());
    for node in &encrypted.cluster.nodes {
        node.ask(&["CONFIG", "SET", "cluster-announce-hostname", "localhost"]);
        node.ask(&["CONFIG", "SET", "cluster-preferred-endpoint-type", "hostname"]);
    }
    RedisCluster::until("all know the names", || {
        encrypted.cluster.nodes.iter().all(|node| !node.ask(&["CLUSTER", "SLOTS"]).contains('?'))
    });
    let backend = trusting();
    for key in &keys {
        soon(backend.set(key, b"entry", HOUR)).await.unwrap();
    }
    encrypted.assert_all_is_encrypted();
}
