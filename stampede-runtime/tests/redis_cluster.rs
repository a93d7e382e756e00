//! A real cluster, whole and broken: what every backend promises, on three nodes; slots that move while calls run; nodes that
//! hang and die, which concerns their own keys and no others; replicas that take over.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use stampede_runtime::store::lease::{Acquired, Asked, End, Leases, Token, Wish};
use stampede_runtime::store::tokens::Tokens;
use stampede_runtime::store::{
    Backend, BackendErrorKind, Id, Place, RedisBackend, RedisBuilder, StoreKey, conformance,
};
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{BackendState, Cache, Config, Settings, clear_all, invalidate_tags, shutdown};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

#[path = "support/redis_cluster.rs"]
mod redis_cluster;
#[path = "support/redis_server.rs"]
mod redis_server;

use redis_cluster::{REPLICA, RedisCluster};
use redis_server::PATIENCE;

const HOUR: Duration = Duration::from_secs(3600);

#[expect(clippy::needless_pass_by_value, reason = "for numbers and texts alike")]
fn key(id: impl ToString) -> StoreKey {
    StoreKey::new(&Place::new("cluster", "f", 1), Id::Text(&id.to_string()))
}

fn builder(cluster: &RedisCluster) -> RedisBuilder {
    // A machine that builds something else meanwhile is slow.
    let slow = Duration::from_secs(5);
    RedisBackend::cluster(cluster.urls()).connect_timeout(slow).response_timeout(slow)
}

fn backend(cluster: &RedisCluster) -> RedisBackend {
    builder(cluster).build().expect("the urls are right")
}

/// Fails where something would never end.
async fn soon<T>(what: impl IntoFuture<Output = T>) -> T {
    timeout(PATIENCE, what.into_future()).await.expect("it ends")
}

fn asked(owner: &str) -> Asked<'_> {
    Asked { owner, lease: HOUR, value: Wish::Any, joined: None, waiter: None }
}

async fn acquire(at: &RedisBackend, key: &StoreKey, asked: Asked<'_>) -> Acquired {
    soon(at.acquire(key, asked)).await.expect("the cluster answers")
}

#[track_caller]
fn lead(acquired: Acquired) -> Token {
    match acquired {
        Acquired::Lead(token) => token,
        other => panic!("{other:?} instead of the lead"),
    }
}

/// A key of each node.
fn one_of_each(cluster: &RedisCluster) -> Vec<StoreKey> {
    let all: Vec<StoreKey> = (0..200).map(key).collect();
    let owners: Vec<usize> = all.iter().map(|key| cluster.owner(cluster.slot(key.as_str()))).collect();
    (0..3)
        .map(|node| all[owners.iter().position(|owner| *owner == node).expect("200 keys are everywhere")].clone())
        .collect()
}

#[tokio::test]
async fn keeps_what_every_backend_promises() {
    let Some(cluster) = RedisCluster::start("keeps_what_every_backend_promises") else { return };
    conformance::check(async || backend(&cluster)).await;
    for node in &cluster.nodes {
        assert_eq!(node.ask(&["DBSIZE"]), "0", "the checks leave nothing");
    }
}

#[tokio::test]
async fn keeps_it_with_the_older_protocol_and_from_one_node_too() {
    let Some(cluster) = RedisCluster::start("keeps_it_with_the_older_protocol_and_from_one_node_too") else { return };
    let url = format!("redis-cluster://127.0.0.1:{}?protocol=resp2", cluster.nodes[1].port());
    let slow = Duration::from_secs(5);
    conformance::check(async || {
        RedisBackend::builder(&url).connect_timeout(slow).response_timeout(slow).build().unwrap()
    })
    .await;
}

#[tokio::test]
async fn leases_are_kept_on_every_node_and_their_ends_wake_others() {
    let Some(cluster) = RedisCluster::start("leases_are_kept_on_every_node_and_their_ends_wake_others") else { return };
    let (one, other) = (backend(&cluster), backend(&cluster));
    for key in &one_of_each(&cluster) {
        let token = lead(acquire(&one, key, asked("one")).await);
        let waiter = other.waiter(key);
        let wait = acquire(&other, key, Asked { waiter: Some(&*waiter), ..asked("other") }).await;
        let Acquired::Wait { fence, .. } = wait else { panic!("{wait:?}") };
        assert_eq!(fence, token.fence);
        assert!(waiter.is_heard());
        assert!(soon(one.renew(key, &token, HOUR)).await.unwrap());
        let end = End::Value { entry: b"entry", ttl: HOUR, told: None };
        assert!(soon(one.end(key, &token, end)).await.unwrap());
        soon(waiter.woken()).await;
        assert_eq!(soon(other.look(key)).await.unwrap().unwrap().0, b"entry");
        assert!(!soon(one.end(key, &token, end)).await.unwrap());
    }
}

#[tokio::test]
async fn scripts_that_nodes_forgot_are_given_to_them_again() {
    let Some(cluster) = RedisCluster::start("scripts_that_nodes_forgot_are_given_to_them_again") else { return };
    let backend = backend(&cluster);
    for round in 0..3 {
        let all: Vec<_> = (0..100).map(|id| (key(id), format!("{round}").into_bytes(), HOUR)).collect();
        soon(backend.overwrite_many(&all)).await.unwrap();
        let keys: Vec<StoreKey> = all.iter().map(|(key, ..)| key.clone()).collect();
        let entries = soon(backend.get_many(&keys)).await.unwrap();
        assert!(entries.iter().all(|entry| entry.as_deref() == Some(format!("{round}").as_bytes())));
        for node in &cluster.nodes {
            node.ask(&["SCRIPT", "FLUSH"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_while_calls_run_and_nobody_notices() {
    let Some(cluster) = RedisCluster::start("slots_move_while_calls_run_and_nobody_notices") else { return };
    let backend = backend(&cluster);
    let keys: Vec<StoreKey> = (0..8).map(key).collect();
    let mut rounds = Rounds::begin(&backend, &keys);
    for key in &keys {
        let slot = cluster.slot(key.as_str());
        for step in 1..3 {
            cluster.move_slot(slot, (cluster.owner(slot) + step) % 3);
            rounds.go_on(16).await;
        }
    }
    rounds.end().await;
}

/// Every kind of call, about each key by itself, again and again. None fails, and each finds what was put last.
struct Rounds {
    calls: JoinSet<()>,
    count: Arc<AtomicU32>,
    /// The most milliseconds that one of them took.
    longest: Arc<AtomicU32>,
    is_over: Arc<AtomicBool>,
}

impl Rounds {
    fn begin(backend: &RedisBackend, keys: &[StoreKey]) -> Rounds {
        let mut rounds =
            Rounds { calls: JoinSet::new(), count: Arc::default(), longest: Arc::default(), is_over: Arc::default() };
        for key in keys {
            let (backend, key) = (backend.clone(), key.clone());
            let (is_over, count) = (Arc::clone(&rounds.is_over), Arc::clone(&rounds.count));
            let longest = Arc::clone(&rounds.longest);
            rounds.calls.spawn(async move {
                let mut number = 0_u32;
                while !is_over.load(SeqCst) {
                    let begun = Instant::now();
                    number += 1;
                    // What was put is what is there, whichever node it is on.
                    let bytes = number.to_string().into_bytes();
                    backend.overwrite(&key, &bytes, HOUR).await.unwrap();
                    assert_eq!(backend.look(&key).await.unwrap().unwrap().0, bytes);
                    assert_eq!(backend.get_many(std::slice::from_ref(&key)).await.unwrap(), [Some(bytes.clone())]);
                    let owner = number.to_string();
                    let asked = Asked { value: Wish::Newest, ..asked(&owner) };
                    let Acquired::Lead(token) = backend.acquire(&key, asked).await.unwrap() else { panic!("alone") };
                    assert!(backend.renew(&key, &token, HOUR).await.unwrap());
                    let end = End::Value { entry: b"made", ttl: HOUR, told: None };
                    assert!(backend.end(&key, &token, end).await.unwrap());
                    assert_eq!(backend.get(&key).await.unwrap().unwrap(), b"made");
                    longest.fetch_max(begun.elapsed().as_millis().try_into().unwrap_or(u32::MAX), SeqCst);
                    count.fetch_add(1, SeqCst);
                }
            });
        }
        rounds
    }

    /// Waits for so many more of them.
    async fn go_on(&mut self, more: u32) {
        let before = self.count.load(SeqCst);
        soon(async {
            while self.count.load(SeqCst) < before + more {
                if let Some(ended) = self.calls.try_join_next() {
                    ended.unwrap();
                }
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    async fn end(self) {
        self.is_over.store(true, SeqCst);
        soon(self.calls.join_all()).await;
    }
}

#[tokio::test]
async fn a_slot_that_is_moving_is_asked_for_at_both_nodes() {
    let Some(cluster) = RedisCluster::start("a_slot_that_is_moving_is_asked_for_at_both_nodes") else { return };
    let backend = builder(&cluster).response_timeout(Duration::from_millis(500)).build().unwrap();
    let key = key("a");
    soon(backend.set(&key, b"entry", HOUR)).await.unwrap();
    let slot = cluster.slot(key.as_str());
    let to = (cluster.owner(slot) + 1) % 3;
    let from = cluster.begin_moving(slot, to);
    assert_eq!(soon(backend.get(&key)).await.unwrap().as_deref(), Some(&b"entry"[..]), "it is at the old one still");
    cluster.move_keys(slot, from, to);
    assert_eq!(soon(backend.get(&key)).await.unwrap().as_deref(), Some(&b"entry"[..]), "it is at the new one already");
    assert_eq!(soon(backend.look(&key)).await.unwrap().unwrap().0, b"entry");
    soon(backend.set(&key, b"another", HOUR)).await.unwrap();
    // A lease would be there and the value here, or the other way round: that is for when the slot has moved.
    let waiting = soon(backend.acquire(&key, Asked { value: Wish::Newest, ..asked("me") })).await;
    assert_eq!(waiting.unwrap_err().kind(), BackendErrorKind::Refused);
    let acquire = backend.acquire(&key, Asked { value: Wish::Newest, ..asked("me") });
    let (acquired, ()) = tokio::join!(acquire, async {
        sleep(Duration::from_millis(20)).await;
        cluster.end_moving(slot, from, to);
    });
    lead(acquired.unwrap());
    assert_eq!(soon(backend.get(&key)).await.unwrap().as_deref(), Some(&b"another"[..]));
}

#[tokio::test]
async fn who_waits_for_a_lease_whose_slot_moves_is_woken() {
    let Some(cluster) = RedisCluster::start("who_waits_for_a_lease_whose_slot_moves_is_woken") else { return };
    let (one, other) = (backend(&cluster), backend(&cluster));
    let key = key("a");
    let token = lead(acquire(&one, &key, asked("one")).await);
    let waiter = other.waiter(&key);
    let wait = acquire(&other, &key, Asked { waiter: Some(&*waiter), ..asked("other") }).await;
    assert!(matches!(wait, Acquired::Wait { .. }));
    let slot = cluster.slot(key.as_str());
    cluster.move_slot(slot, (cluster.owner(slot) + 1) % 3);
    let end = End::Value { entry: b"entry", ttl: HOUR, told: None };
    assert!(soon(one.end(&key, &token, end)).await.unwrap(), "the lease has moved, too");
    soon(waiter.woken()).await;
    assert!(matches!(acquire(&other, &key, asked("other")).await, Acquired::Value { .. }));
}

#[tokio::test]
async fn clear_takes_out_what_is_on_every_node_also_where_slots_are_moving() {
    let Some(cluster) = RedisCluster::start("clear_takes_out_what_is_on_every_node_also_where_slots_are_moving") else {
        return;
    };
    let backend = backend(&cluster);
    let place = Place::new("cluster", "f", 1);
    let all: Vec<_> = (0..300).map(|id| (key(id), b"entry".to_vec(), HOUR)).collect();
    soon(backend.set_many(&all)).await.unwrap();
    soon(backend.acquire(&key("leased"), asked("me"))).await.unwrap();
    assert_eq!(soon(backend.clear(&place.prefix())).await.unwrap(), 300);
    for node in &cluster.nodes {
        assert_eq!(node.ask(&["DBSIZE"]), "0");
    }
    // Half of its keys are at one node and half at the other.
    let slot = cluster.slot(key(0).as_str());
    let to = (cluster.owner(slot) + 1) % 3;
    soon(backend.set_many(&all)).await.unwrap();
    let from = cluster.begin_moving(slot, to);
    cluster.move_keys(slot, from, to);
    assert_eq!(soon(backend.clear(&place.prefix())).await.unwrap(), 300);
    cluster.end_moving(slot, from, to);
    for node in &cluster.nodes {
        assert_eq!(node.ask(&["DBSIZE"]), "0");
    }
}

#[tokio::test]
async fn clear_leaves_nothing_though_slots_move_meanwhile() {
    let Some(cluster) = RedisCluster::start("clear_leaves_nothing_though_slots_move_meanwhile") else { return };
    let backend = backend(&cluster);
    let place = Place::new("cluster", "f", 1);
    let all: Vec<_> = (0..9_000).map(|id| (key(id), b"entry".to_vec(), HOUR)).collect();
    let slots: Vec<u16> = all[..20].iter().map(|(key, ..)| cluster.slot(key.as_str())).collect();
    for round in 0..3 {
        for some in all.chunks(1_000) {
            soon(backend.set_many(some)).await.unwrap();
        }
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for slot in slots.iter().skip(round).step_by(3) {
                    if is_over.load(SeqCst) {
                        break;
                    }
                    cluster.move_slot(*slot, (cluster.owner(*slot) + 1) % 3);
                }
            });
            let clear = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async { soon(backend.clear(&place.prefix())).await })
            };
            let cleared = scope.spawn(clear).join().unwrap();
            is_over.store(true, SeqCst);
            assert_eq!(cleared.unwrap(), 9_000);
        });
        for node in &cluster.nodes {
            assert_eq!(node.ask(&["DBSIZE"]), "0");
        }
    }
}

#[tokio::test]
async fn what_is_no_entry_is_missing_among_many_and_takes_no_others_with_it() {
    let name = "what_is_no_entry_is_missing_among_many_and_takes_no_others_with_it";
    let Some(cluster) = RedisCluster::start(name) else { return };
    let backend = backend(&cluster);
    let keys: Vec<StoreKey> = (0..9).map(key).collect();
    for key in &keys {
        soon(backend.set(key, b"7", HOUR)).await.unwrap();
    }
    let owner = &cluster.nodes[cluster.owner(cluster.slot(keys[4].as_str()))];
    owner.ask(&["DEL", keys[4].as_str()]);
    owner.ask(&["LPUSH", keys[4].as_str(), "x"]);
    let expected: Vec<_> = (0..9).map(|at| (at != 4).then(|| b"7".to_vec())).collect();
    assert_eq!(soon(backend.get_many(&keys)).await.unwrap(), expected);
    let tokens: Vec<_> = (0..9).map(|at| (at != 4).then_some(7)).collect();
    assert_eq!(soon(Tokens::read(&backend, &keys)).await.unwrap(), tokens);
}

#[tokio::test]
async fn tags_of_other_nodes_are_agreed_on_and_changed() {
    let Some(cluster) = RedisCluster::start("tags_of_other_nodes_are_agreed_on_and_changed") else { return };
    let backend = backend(&cluster);
    let tags = one_of_each(&cluster);
    let (tokens, _) = soon(backend.agree(&tags, HOUR)).await.unwrap();
    let known = |tokens: &[u64]| tokens.iter().map(|token| Some(*token)).collect::<Vec<_>>();
    assert_eq!(soon(Tokens::read(&backend, &tags)).await.unwrap(), known(&tokens));
    soon(backend.change(&tags[1], "tag", false)).await.unwrap();
    let now = soon(Tokens::read(&backend, &tags)).await.unwrap();
    assert_eq!((now[0], now[2]), (Some(tokens[0]), Some(tokens[2])));
    assert!(now[1] > Some(tokens[1]));
}

fn configured(redis: &RedisBackend) -> Config {
    let settings = Settings::new().backend_timeout(PATIENCE);
    Config::builder().backend("main", redis.clone()).defaults(settings).build().unwrap()
}

/// So many texts whose entries are on each node.
fn texts_of_each(cluster: &RedisCluster, function: &str, count: usize) -> Vec<Vec<String>> {
    let place = Place::new("cache", function, 0);
    let mut all = vec![Vec::new(); 3];
    for number in 0.. {
        let text = format!("user:{number}");
        let slot = cluster.slot(StoreKey::new(&place, Id::Text(&text)).as_str());
        let of_node = &mut all[cluster.owner(slot)];
        if of_node.len() < count {
            of_node.push(text);
        }
        if all.iter().all(|texts| texts.len() == count) {
            break;
        }
    }
    all
}

#[tokio::test]
async fn a_node_that_hangs_costs_its_own_keys_a_few_timeouts_and_others_nothing() {
    let Some(cluster) = RedisCluster::start("a_node_that_hangs_costs_its_own_keys_a_few_timeouts_and_others_nothing")
    else {
        return;
    };
    let redis = builder(&cluster).response_timeout(Duration::from_secs(1)).build().unwrap();
    let texts = texts_of_each(&cluster, "hangs", 4);
    let _isolated = isolate_with(configured(&redis));
    let users: Cache<u32> = Cache::builder("hangs").ttl(HOUR).backend("main").build();
    for text in texts.iter().flatten() {
        users.set(text, 7).await.unwrap();
    }
    cluster.nodes[1].stop();
    let faults = || users.stats().backend_faults;
    // Of the sick one each call fails within its time, and soon at once.
    for _ in 0..5 {
        clear_all();
        assert_eq!(soon(users.get(&texts[1][0])).await, None);
    }
    assert_eq!((faults().timed_out, faults().resting), (3, 2));
    assert_eq!(users.stats().backend_state, BackendState::Open);
    // Of the others none does: neither does the breaker stand before them, nor the node.
    let failures = users.stats().backend_failures;
    for _ in 0..50 {
        clear_all();
        for text in texts[0].iter().chain(&texts[2]) {
            assert_eq!(soon(users.get(text)).await, Some(7));
        }
    }
    assert_eq!(users.stats().backend_failures, failures);
    // Together too: those of the sick one are missing.
    clear_all();
    let found = soon(users.get_many(texts.iter().flatten())).await;
    assert_eq!(found.len(), 8);
    cluster.nodes[1].go_on();
    soon(async {
        while users.get(&texts[1][0]).await != Some(7) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(users.stats().backend_state, BackendState::Closed);
    assert_eq!(shutdown(PATIENCE).await, 0);
}

#[tokio::test]
async fn a_node_that_dies_costs_its_own_keys_and_comes_back() {
    let Some(mut cluster) = RedisCluster::start("a_node_that_dies_costs_its_own_keys_and_comes_back") else { return };
    let backend = backend(&cluster);
    let keys = one_of_each(&cluster);
    for key in &keys {
        soon(backend.set(key, b"entry", HOUR)).await.unwrap();
    }
    for dead in [1, 0, 2] {
        cluster.nodes[dead].kill();
        soon(async {
            // The call that finds out may have been on its way.
            while backend.get(&keys[dead]).await.is_ok() {}
        })
        .await;
        for _ in 0..200 {
            let failed = soon(backend.get(&keys[dead])).await.unwrap_err();
            assert_eq!(failed.kind(), BackendErrorKind::Unreachable);
            for (node, key) in keys.iter().enumerate().filter(|(node, _)| *node != dead) {
                assert!(soon(backend.get(key)).await.is_ok(), "{node} lives");
            }
        }
        cluster.nodes[dead].restart();
        soon(async {
            while backend.set(&keys[dead], b"again", HOUR).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        assert_eq!(soon(backend.get(&keys[dead])).await.unwrap().as_deref(), Some(&b"again"[..]));
        cluster.is_whole();
    }
}

#[tokio::test]
async fn all_nodes_die_and_come_back() {
    let Some(mut cluster) = RedisCluster::start("all_nodes_die_and_come_back") else { return };
    let backend = backend(&cluster);
    let keys = one_of_each(&cluster);
    for key in &keys {
        soon(backend.set(key, b"entry", HOUR)).await.unwrap();
    }
    let waiter = backend.waiter(&keys[0]);
    assert!(waiter.is_heard());
    for node in &mut cluster.nodes {
        node.kill();
    }
    soon(async {
        while waiter.is_heard() {
            waiter.woken().await;
        }
    })
    .await;
    for key in &keys {
        soon(async { while backend.get(key).await.is_ok() {} }).await;
    }
    for node in &mut cluster.nodes {
        node.restart();
    }
    for key in &keys {
        soon(async {
            while backend.set(key, b"again", HOUR).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
    soon(async {
        while !waiter.is_heard() {
            waiter.woken().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_cluster_that_never_was_there_costs_nothing_but_the_first_attempt() {
    let backend = RedisBackend::cluster(["redis://127.0.0.1:1", "redis://127.0.0.1:2"]).build().unwrap();
    assert_eq!(soon(backend.get(&key("a"))).await.unwrap_err().kind(), BackendErrorKind::Unreachable);
    let begun = Instant::now();
    for number in 0..1_000 {
        assert_eq!(backend.get(&key(number)).await.unwrap_err().kind(), BackendErrorKind::Unreachable);
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_that_is_in_no_cluster_says_so() {
    let name = "a_server_that_is_in_no_cluster_says_so";
    let Some(server) = redis_server::RedisServer::start(name) else { return };
    let slow = Duration::from_secs(5);
    let backend = RedisBackend::cluster([server.url()]).connect_timeout(slow).response_timeout(slow).build().unwrap();
    let error = soon(backend.get(&key("a"))).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Other);
    let Some(cluster) = RedisCluster::start(name) else { return };
    let one =
        RedisBackend::builder(cluster.nodes[0].url()).connect_timeout(slow).response_timeout(slow).build().unwrap();
    let of_another = &one_of_each(&cluster)[1];
    let error = soon(one.get(of_another)).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("redis-cluster://"), "{cause}");
}

/// Asks for entries again and again. Says of each since when it was always found, and how often nobody answered.
struct Watch {
    is_over: Arc<AtomicBool>,
    calls: JoinSet<(Option<Instant>, u32)>,
}

impl Watch {
    /// `is_well`: nothing ever fails.
    fn over(backend: &RedisBackend, keys: &[StoreKey], is_well: bool) -> Watch {
        let mut watch = Watch { is_over: Arc::default(), calls: JoinSet::new() };
        for key in keys {
            let (backend, key, is_over) = (backend.clone(), key.clone(), Arc::clone(&watch.is_over));
            watch.calls.spawn(async move {
                // Since when every answer was one, and how many were none.
                let (mut since, mut failed) = (None, 0);
                while !is_over.load(SeqCst) {
                    match soon(backend.get(&key)).await {
                        Ok(found) => {
                            assert_eq!(found.as_deref(), Some(&b"entry"[..]));
                            since.get_or_insert_with(Instant::now);
                        }
                        Err(error) => {
                            assert!(!is_well, "{error:?}");
                            (since, failed) = (None, failed + 1);
                        }
                    }
                    sleep(Duration::from_millis(1)).await;
                }
                (since, failed)
            });
        }
        watch
    }

    async fn end(self) -> Vec<(Option<Instant>, u32)> {
        self.is_over.store(true, SeqCst);
        soon(self.calls.join_all()).await
    }
}

/// Waits until all keys are found.
async fn found(backend: &RedisBackend, keys: &[StoreKey]) {
    for key in keys {
        soon(async {
            while backend.get(key).await.is_err() {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

/// Which of these commands a node was asked by clients. What it hears from its master is none of them.
fn asked_of(node: &redis_server::RedisServer) -> Vec<String> {
    let stats = node.ask(&["INFO", "commandstats"]);
    let is_ours =
        |line: &&str| ["cmdstat_get:", "cmdstat_evalsha:", "cmdstat_pttl:"].iter().any(|it| line.starts_with(it));
    stats.lines().filter(is_ours).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_gives_way_to_its_replica_and_is_not_written_to() {
    let name = "a_master_that_dies_gives_way_to_its_replica_and_is_not_written_to";
    let Some(mut cluster) = RedisCluster::start_replicated(name) else { return };
    let (one, other) = (backend(&cluster), backend(&cluster));
    let keys = one_of_each(&cluster);
    let leased = of_first(&cluster, 2);
    for key in &keys {
        soon(one.set(key, b"entry", HOUR)).await.unwrap();
        assert!(soon(other.get(key)).await.unwrap().is_some());
    }
    let token = lead(acquire(&one, &leased[0], asked("one")).await);
    let waiter = other.waiter(&leased[0]);
    let wait = acquire(&other, &leased[0], Asked { waiter: Some(&*waiter), ..asked("other") }).await;
    assert!(matches!(wait, Acquired::Wait { .. }));
    cluster.is_replicated(0, REPLICA);
    assert_eq!(asked_of(&cluster.nodes[REPLICA]), [""; 0], "replicas are not read from");

    let (sick, well) = (Watch::over(&one, &keys[..1], false), Watch::over(&one, &keys[1..], true));
    let killed = Instant::now();
    cluster.nodes[0].kill();
    RedisCluster::until("the replica takes over", || cluster.is_master(REPLICA));
    let promoted = Instant::now();
    found(&one, &keys).await;
    found(&other, &keys).await;
    well.end().await;
    for (since, failed) in sick.end().await {
        let found = since.expect("it is found").saturating_duration_since(promoted);
        println!("{failed} calls failed; promoted after {:?}, found {found:?} later", promoted - killed);
        assert!(failed > 0, "nobody answers for a while");
    }

    // What the lease was, the replica knows, also who waits for it.
    assert!(soon(one.renew(&leased[0], &token, HOUR)).await.unwrap());
    let end = End::Value { entry: b"made", ttl: HOUR, told: None };
    assert!(soon(one.end(&leased[0], &token, end)).await.unwrap());
    soon(waiter.woken()).await;
    assert!(matches!(acquire(&other, &leased[0], asked("other")).await, Acquired::Value { .. }));

    cluster.nodes[0].restart();
    cluster.is_whole();
    cluster.is_replicated(REPLICA, 0);
    cluster.nodes[0].ask(&["CONFIG", "RESETSTAT"]);
    // Also one that begins with the urls of before.
    for backend in [&one, &other, &self::backend(&cluster)] {
        for key in keys.iter().chain(&leased) {
            soon(backend.overwrite(key, b"new", HOUR)).await.unwrap();
            assert_eq!(soon(other.get(key)).await.unwrap().unwrap(), b"new");
        }
    }
    cluster.is_replicated(REPLICA, 0);
    let asked = asked_of(&cluster.nodes[0]);
    // One that does not know yet is told where to ask instead.
    assert!(asked.iter().all(|line| line.contains(":calls=0,")), "{asked:?}");
}

/// Keys of the first node.
fn of_first(cluster: &RedisCluster, count: usize) -> Vec<StoreKey> {
    let all = (0..).map(|number| key(format!("of the first {number}")));
    all.filter(|key| cluster.owner(cluster.slot(key.as_str())) == 0).take(count).collect()
}

#[tokio::test]
async fn a_master_that_hangs_gives_way_to_its_replica() {
    let Some(cluster) = RedisCluster::start_replicated("a_master_that_hangs_gives_way_to_its_replica") else { return };
    let redis = builder(&cluster).response_timeout(Duration::from_millis(300)).build().unwrap();
    let texts = texts_of_each(&cluster, "gives way", 1).concat();
    let _isolated = isolate_with(configured(&redis));
    let users: Cache<u32> = Cache::builder("gives way").ttl(HOUR).backend("main").build();
    for text in &texts {
        users.set(text, 7).await.unwrap();
    }
    cluster.is_replicated(0, REPLICA);
    cluster.nodes[0].stop();
    let mut promoted = None;
    soon(async {
        // The breaker stands before it soon, so that no call finds out.
        loop {
            clear_all();
            match users.get(&texts[0]).await {
                Some(value) => break assert_eq!(value, 7),
                None if promoted.is_none() => promoted = cluster.is_master(REPLICA).then(Instant::now),
                None => {}
            }
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    println!("found {:?} after the promotion", promoted.map(|promoted| promoted.elapsed()));
    soon(users.set(&texts[0], 8)).await.unwrap();
    cluster.nodes[0].go_on();
    cluster.is_replicated(REPLICA, 0);
    for _ in 0..20 {
        clear_all();
        assert_eq!(soon(users.get(&texts[0])).await, Some(8));
    }
    assert_eq!(shutdown(PATIENCE).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_on_request_is_noticed_by_nobody() {
    let Some(cluster) = RedisCluster::start_replicated("a_failover_on_request_is_noticed_by_nobody") else { return };
    // The master holds up writes until the replica has taken over, or for 5 s when that fails.
    let backend = builder(&cluster).response_timeout(PATIENCE).build().unwrap();
    let mut rounds = Rounds::begin(&backend, &of_first(&cluster, 6));
    // No third one: masters vote about one of them once in two seconds.
    for (from, to) in [(0, REPLICA), (REPLICA, 0)] {
        rounds.go_on(32).await;
        rounds.longest.store(0, SeqCst);
        cluster.fail_over(from, to);
        rounds.go_on(32).await;
        println!("the longest round of calls took {} ms", rounds.longest.load(SeqCst));
    }
    rounds.end().await;
}

#[tokio::test]
async fn what_a_master_had_not_told_its_replica_is_lost_and_a_late_leader_refused() {
    let name = "what_a_master_had_not_told_its_replica_is_lost_and_a_late_leader_refused";
    let Some(mut cluster) = RedisCluster::start_replicated(name) else { return };
    let (one, other) = (backend(&cluster), backend(&cluster));
    let [value, taken, untaken, ended, removed] = &of_first(&cluster, 5)[..] else { unreachable!() };
    let end = |entry: &'static [u8]| End::Value { entry, ttl: HOUR, told: None };
    // Of this the replica has heard.
    let short = Asked { lease: Duration::from_secs(6), ..asked("one") };
    let ended_by_one = lead(acquire(&one, ended, short).await);
    soon(one.set(removed, b"back", HOUR)).await.unwrap();
    cluster.deafen_replica();
    // Of this it has not.
    soon(one.set(value, b"lost", HOUR)).await.unwrap();
    let of_taken = lead(acquire(&one, taken, asked("one")).await);
    let of_untaken = lead(acquire(&one, untaken, asked("one")).await);
    assert!(soon(one.end(ended, &ended_by_one, end(b"lost"))).await.unwrap());
    assert!(soon(one.remove(removed)).await.unwrap());
    cluster.nodes[0].kill();
    cluster.nodes[REPLICA].go_on();
    RedisCluster::until("the replica takes over", || cluster.is_master(REPLICA));
    found(&one, std::slice::from_ref(value)).await;
    found(&other, std::slice::from_ref(value)).await;

    assert_eq!(soon(other.get(value)).await.unwrap(), None, "it is made once more");
    // Who led is not known any more. Another one may, and then only that one writes.
    let of_other = lead(acquire(&other, taken, asked("other")).await);
    assert!(of_other.fence > of_taken.fence);
    assert!(!soon(one.renew(taken, &of_taken, HOUR)).await.unwrap());
    assert!(!soon(one.end(taken, &of_taken, end(b"old"))).await.unwrap());
    assert!(soon(other.end(taken, &of_other, end(b"new"))).await.unwrap());
    assert!(!soon(one.end(taken, &of_taken, end(b"old"))).await.unwrap());
    assert_eq!(soon(one.get(taken)).await.unwrap().unwrap(), b"new");
    assert!(!soon(one.end(untaken, &of_untaken, end(b"old"))).await.unwrap());
    assert_eq!(soon(one.get(untaken)).await.unwrap(), None);
    // A lease that was ended is there again, and runs out.
    soon(async {
        loop {
            match acquire(&other, ended, asked("other")).await {
                Acquired::Wait { fence, .. } => assert_eq!(fence, ended_by_one.fence),
                acquired => break lead(acquired),
            }
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // What was taken out is there again, as the documentation says; taken out again it is gone.
    assert_eq!(soon(one.get(removed)).await.unwrap().unwrap(), b"back");
    assert!(soon(one.remove(removed)).await.unwrap());
    assert_eq!(soon(other.get(removed)).await.unwrap(), None);
}

#[tokio::test]
async fn what_a_dead_master_did_not_tell_stays_in_no_memory() {
    let Some(mut cluster) = RedisCluster::start_replicated("what_a_dead_master_did_not_tell_stays_in_no_memory") else {
        return;
    };
    let texts = texts_of_each(&cluster, "untold", 1).concat();
    let (_isolated, here) = cache(&cluster, "untold");
    let put = async || {
        for text in &texts {
            here.set(text, 7).await.unwrap();
        }
    };
    put().await;
    // Not the node that messages come through: what is lost with that is made up for anyway.
    let hears = |node: &redis_server::RedisServer| !node.ask(&["CLIENT", "LIST", "TYPE", "pubsub"]).is_empty();
    RedisCluster::until("another brings the messages", || {
        cluster.nodes[0].ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        cluster.nodes[1..REPLICA].iter().any(hears) && !hears(&cluster.nodes[0])
    });
    put().await;
    // Nobody is told of this, as when a master dies before it has told.
    let gone = StoreKey::new(&Place::new("cache", "untold", 0), Id::Text(&texts[0]));
    cluster.nodes[0].ask(&["DEL", gone.as_str()]);
    cluster.is_replicated(0, REPLICA);
    assert_eq!(here.get(&texts[0]).await, Some(7), "from memory");
    cluster.nodes[0].kill();
    soon(async {
        // Memory has it for an hour, so no call asks for anything.
        while here.get(&texts[0]).await.is_some() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(cluster.is_master(REPLICA));
    assert_eq!(soon(here.get(&texts[1])).await, Some(7));
}

/// A cache over a cluster, in a process of its own as far as the cluster can tell.
fn cache(cluster: &RedisCluster, name: &'static str) -> (stampede_runtime::testing::Isolated, Cache<u32>) {
    let isolated = isolate_with(configured(&backend(cluster)));
    (isolated, Cache::builder(name).ttl(HOUR).backend("main").build())
}

/// Does something as another process.
fn elsewhere(cluster: &RedisCluster, name: &'static str, does: impl AsyncFnOnce(Cache<u32>) + Send) {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (_isolated, there) = cache(cluster, name);
                soon(does(there)).await;
                assert_eq!(shutdown(PATIENCE).await, 0);
            });
        });
        other.join().unwrap();
    });
}

#[tokio::test]
async fn what_one_process_changes_leaves_the_memory_of_others_whichever_node_dies() {
    let name = "what_one_process_changes_leaves_the_memory_of_others_whichever_node_dies";
    let Some(mut cluster) = RedisCluster::start(name) else { return };
    let texts = texts_of_each(&cluster, "told", 1).concat();
    let (_isolated, here) = cache(&cluster, "told");
    let mut number = 0;
    for dies in [None, Some(0), Some(1), Some(2)] {
        if let Some(dies) = dies {
            cluster.nodes[dies].kill();
            cluster.nodes[dies].restart();
            cluster.is_whole();
        }
        number += 1;
        // A node that was restarted takes writes when it has heard of the others.
        for text in &texts {
            soon(async {
                while here.set(text, number).await.is_err() {
                    sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
            assert_eq!(soon(here.get(text)).await, Some(number));
        }
        elsewhere(&cluster, "told", async |there| {
            for text in &texts {
                there.set(text, number + 100).await.unwrap();
            }
        });
        for text in &texts {
            soon(async {
                while here.get(text).await != Some(number + 100) {
                    sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
        }
    }
}

#[tokio::test]
async fn what_is_told_comes_also_while_a_node_hangs() {
    let Some(cluster) = RedisCluster::start("what_is_told_comes_also_while_a_node_hangs") else { return };
    let texts = texts_of_each(&cluster, "hung", 1).concat();
    let redis = builder(&cluster).response_timeout(Duration::from_secs(1)).build().unwrap();
    let _isolated = isolate_with(configured(&redis));
    let here: Cache<u32> = Cache::builder("hung").ttl(HOUR).backend("main").build();
    for hangs in 0..3 {
        for text in &texts {
            here.set(text, 1).await.unwrap();
            assert_eq!(here.get(text).await, Some(1));
        }
        cluster.nodes[hangs].stop();
        let well = &texts[(hangs + 1) % 3];
        elsewhere(&cluster, "hung", async |there| there.set(well, 2).await.unwrap());
        // Through the ear, or because that was found to be dead.
        soon(async {
            while here.get(well).await != Some(2) {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        cluster.nodes[hangs].go_on();
        soon(async {
            while here.set(&texts[hangs], 1).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        cluster.is_whole();
    }
}

#[tokio::test]
async fn tags_are_everywhere_and_those_of_a_sick_node_hold_up_no_others() {
    let Some(cluster) = RedisCluster::start("tags_are_everywhere_and_those_of_a_sick_node_hold_up_no_others") else {
        return;
    };
    let texts = texts_of_each(&cluster, "tagged", 1).concat();
    // The names of tags by the node that has their tokens.
    let mut tags = vec![String::new(); 3];
    for number in 0.. {
        let tag = format!("tag:{number}");
        tags[cluster.owner(cluster.slot(&format!("stampede:{{#{tag}}}")))].clone_from(&tag);
        if tags.iter().all(|tag| !tag.is_empty()) {
            break;
        }
    }
    let redis = builder(&cluster).response_timeout(Duration::from_secs(1)).build().unwrap();
    let settings = Settings::new().backend_timeout(Duration::from_secs(2));
    let _isolated = isolate_with(Config::builder().backend("main", redis).defaults(settings).build().unwrap());
    let here: Cache<u32> = Cache::builder("tagged").ttl(HOUR).backend("main").build();
    let put = async || {
        for (text, at) in texts.iter().zip(0..) {
            // Each entry is on one node and its tag on the next.
            let entry = stampede_runtime::Entry::new().tags([&tags[(at + 1) % 3]]);
            here.set_with(text, 7, entry).await.unwrap();
        }
        clear_all();
    };
    put().await;
    assert_eq!(here.get_many(&texts).await.len(), 3);
    soon(invalidate_tags([&tags[1]])).await.unwrap();
    clear_all();
    assert_eq!(soon(here.get_many(&texts)).await.len(), 2);
    assert_eq!(soon(here.get(&texts[0])).await, None);

    put().await;
    cluster.nodes[1].stop();
    // One of the two arrives, the other is said again until it does.
    assert!(soon(invalidate_tags([&tags[0], &tags[1]])).await.is_err());
    clear_all();
    assert_eq!(soon(here.get(&texts[2])).await, None, "its tag was heard of");
    put_one(&here, &texts[2], &tags[0]).await;
    clear_all();
    assert_eq!(soon(here.get(&texts[2])).await, Some(8), "and is known again");
    assert_eq!(soon(here.get(&texts[0])).await, None, "nobody knows whether it is old");
    cluster.nodes[1].go_on();
    assert_eq!(soon(shutdown(PATIENCE)).await, 0);
    elsewhere(&cluster, "tagged", async |there| {
        while there.get(&texts[0]).await.is_some() {
            sleep(Duration::from_millis(10)).await;
        }
    });
}

async fn put_one(at: &Cache<u32>, text: &str, tag: &str) {
    at.set_with(text, 8, stampede_runtime::Entry::new().tags([tag])).await.unwrap();
}

#[tokio::test]
async fn changes_by_hand_show_where_they_are_tracked_on_every_node() {
    let Some(cluster) = RedisCluster::start("changes_by_hand_show_where_they_are_tracked_on_every_node") else {
        return;
    };
    let texts = texts_of_each(&cluster, "tracked", 1).concat();
    let _isolated = isolate_with(configured(&builder(&cluster).tracking(true).build().unwrap()));
    let here: Cache<u32> = Cache::builder("tracked").ttl(HOUR).backend("main").build();
    for text in &texts {
        here.set(text, 7).await.unwrap();
        assert_eq!(here.get(text).await, Some(7));
    }
    for (node, text) in texts.iter().enumerate() {
        let key = StoreKey::new(&Place::new("cache", "tracked", 0), Id::Text(text));
        cluster.nodes[node].ask(&["DEL", key.as_str()]);
        soon(async {
            while here.get(text).await.is_some() {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_user_needs_these_rights_and_no_others() {
    let Some(cluster) = RedisCluster::start("a_user_needs_these_rights_and_no_others") else { return };
    let docs = include_str!("../../docs/backends.md");
    let between = |from: &str, to: &str| docs.split_once(from).unwrap().1.split_once(to).unwrap().0.to_owned();
    let rights = between("ACL SETUSER stampede on >PASSWORD ", "```");
    let more = between("In a cluster also `", "`");
    let more: Vec<&str> = more.split_whitespace().collect();
    let key = key("a");
    let slot = cluster.slot(key.as_str());
    let place = Place::new("cluster", "f", 1);
    let ask_everything = async |without: &[&str]| {
        for node in &cluster.nodes {
            let rights = rights.split_whitespace().filter(|word| *word != "\\" && *word != "+select");
            let user = ["ACL", "SETUSER", "ann", "reset", "on", ">hunter2"].into_iter();
            let user: Vec<&str> =
                user.chain(rights).chain(more.iter().copied()).chain(without.iter().copied()).collect();
            node.ask(&user);
            node.ask(&["ACL", "LOG", "RESET"]);
        }
        let backend = builder(&cluster).username("ann").password("hunter2").build().unwrap();
        let _ = soon(backend.set(&key, b"entry", HOUR)).await;
        let to = (cluster.owner(slot) + 1) % 3;
        let from = cluster.begin_moving(slot, to);
        cluster.move_keys(slot, from, to);
        let _ = soon(backend.get(&key)).await;
        cluster.end_moving(slot, from, to);
        let _ = soon(backend.get(&key)).await;
        let _ = soon(backend.acquire(&key, asked("me"))).await;
        let _ = soon(backend.clear(&place.prefix())).await;
        cluster.nodes.iter().map(|node| node.ask(&["ACL", "LOG"])).collect::<String>()
    };
    assert_eq!(ask_everything(&[]).await, "", "nothing was denied");
    for right in &more {
        let without = right.replace('+', "-");
        assert_ne!(ask_everything(&[&without]).await, "", "nobody needs {right}");
    }
}
