//! Fleets in virtual time, under random faults: the client as it is, and the state machine for a server. Each seed is a fleet of
//! three processes and a minute or so of its life; what it does is judged by what is promised of every history.
//!
//! `STAMPEDE_FLEETS=10000 cargo test -p stampede-runtime --features backends,test-util --test fleet_in_virtual_time` tries more
//! seeds, and `STAMPEDE_FLEET=7` one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use stampede_runtime::store::{self, Id, PAYLOAD_BYTES_MAX, Place, StoreKey, UnixMillis};
use stampede_runtime::testing::{Host, MemoryClient, MemoryServer, Network};
use stampede_runtime::{Config, distributed_coalesce};
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

const PANIC: &str = "the body panics";
const LEASE: Duration = Duration::from_secs(2);
const KEYS: u32 = 2;
const HOSTS: usize = 3;
/// How many things each process does.
const ACTS: usize = 14;
/// No call takes longer: bodies take six seconds at most, and wait for others that do.
const PATIENCE: Duration = Duration::from_secs(300);

/// Numbers of executions and of values that are given, in the order in which they begin.
static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { next: 1, ended: BTreeMap::new() });

struct Numbers {
    next: u64,
    ended: BTreeMap<u64, Instant>,
}

fn numbers() -> MutexGuard<'static, Numbers> {
    NUMBERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next_number() -> u64 {
    let mut numbers = numbers();
    numbers.next += 1;
    numbers.next - 1
}

/// What is given is a multiple of this, and what is executed is not: the one is put in when that arrives, and not when it began.
const GIVEN: u64 = 1 << 40;

#[distributed_coalesce(namespace = "virtual", ttl = "15s", lease = "2s", version = 1, key = "{key}")]
async fn numbered(key: u32) -> Result<u64, String> {
    let _ = key;
    let number = next_number();
    let ending = fastrand::u8(..20);
    sleep(Duration::from_secs(6).mul_f64(fastrand::f64().powi(2))).await;
    numbers().ended.insert(number, Instant::now());
    match ending {
        0..4 => Err(number.to_string()),
        4 => resume_unwind(Box::new(PANIC)),
        _ => Ok(number),
    }
}

fn stored_under(key: u32) -> StoreKey {
    StoreKey::new(&Place::new("virtual", "numbered", 1), Id::Text(&key.to_string()))
}

struct Fleet {
    server: MemoryServer,
    hosts: Vec<(Host, MemoryClient)>,
    /// Of each key: what began before this number may not be stored any more.
    floors: RefCell<BTreeMap<u32, u64>>,
    /// The same of each process, for what it answers.
    own_floors: RefCell<BTreeMap<(usize, u32), u64>>,
    is_over: RefCell<bool>,
}

fn wait_up_to(most: Duration) -> impl Future<Output = ()> {
    sleep(most.mul_f64(fastrand::f64()))
}

impl Fleet {
    fn new() -> Fleet {
        let server = MemoryServer::new();
        let some = |most: f64| if fastrand::bool() { 0.0 } else { fastrand::f64() * most };
        server.network(Network {
            latency: Duration::from_millis(fastrand::u64(..40)),
            lost_commands: some(0.1),
            lost_answers: some(0.1),
            lost_messages: some(0.8),
            reconnects_within: Duration::from_millis(fastrand::u64(..2_000)),
        });
        let host = || {
            let client = server.client();
            let config = Config::builder().backend("redis", client.clone()).build().expect("nothing is wrong with it");
            (Host::new(config), client)
        };
        let hosts = (0..HOSTS).map(|_| host()).collect();
        Fleet {
            server,
            hosts,
            floors: RefCell::default(),
            own_floors: RefCell::default(),
            is_over: RefCell::new(false),
        }
    }

    /// One caller of a process, who does one thing after the other.
    async fn act(&self, of: usize) {
        let host = &self.hosts[of].0;
        for _ in 0..ACTS {
            wait_up_to(Duration::from_secs(4)).await;
            let key = fastrand::u32(..KEYS);
            match fastrand::u8(..20) {
                0..12 => self.call(of, key, false).await,
                12..14 => self.call(of, key, true).await,
                14 => {
                    // Somebody who does not wait for the end.
                    let most = Duration::from_secs(3).mul_f64(fastrand::f64());
                    let _ = catch(timeout(most, host.run(numbered(key)))).await;
                }
                15 => host.within(|| numbered::insert(key, GIVEN * next_number())),
                _ => {
                    let floor = numbers().next;
                    let invalidation = host.within(|| numbered::invalidate(key));
                    self.own_floors.borrow_mut().insert((of, key), floor);
                    let told =
                        timeout(PATIENCE, host.run(invalidation.into_future())).await.expect("it is told, or is not");
                    if told.is_ok() {
                        let mut floors = self.floors.borrow_mut();
                        let known = floors.entry(key).or_default();
                        *known = floor.max(*known);
                    }
                }
            }
        }
    }

    async fn call(&self, of: usize, key: u32, is_refresh: bool) {
        let host = &self.hosts[of].0;
        let floor = self.own_floors.borrow().get(&(of, key)).copied().unwrap_or(0);
        let (first, begun) = (numbers().next, Instant::now());
        let call = async { if is_refresh { numbered::refresh(key).await } else { numbered(key).await } };
        let Some(answer) = catch(timeout(PATIENCE, host.run(call))).await else { return };
        let answer = answer.expect("every call ends");
        let number = match &answer {
            Ok(number) => *number,
            Err(number) => number.parse().unwrap_or(u64::MAX),
        };
        assert!(number >= floor, "a call of process {of} is answered with {answer:?}, from before {floor}");
        if answer.is_err() && number < first {
            let ended = numbers().ended[&number];
            // It is told for two seconds to who had waited by then.
            assert!(ended + Duration::from_secs(3) > begun, "an error of {number} is told long after its end");
        }
    }

    /// What goes wrong.
    async fn chaos(&self) {
        while !*self.is_over.borrow() {
            wait_up_to(Duration::from_secs(10)).await;
            let (_, client) = &self.hosts[fastrand::usize(..HOSTS)];
            match fastrand::u8(..6) {
                0 => {
                    client.cut();
                    wait_up_to(3 * LEASE).await;
                    client.mend();
                }
                1 => {
                    self.server.stop();
                    wait_up_to(2 * LEASE).await;
                    if fastrand::bool() {
                        self.server.forget();
                    }
                    self.server.start();
                }
                2 => self.server.forget(),
                3 => {
                    self.server.set_full(true);
                    wait_up_to(LEASE).await;
                    self.server.set_full(false);
                }
                // It is stopped for a while, as far as anybody can tell.
                4 => {
                    client.cut();
                    sleep(LEASE + Duration::from_millis(100)).await;
                    client.mend();
                }
                _ => {}
            }
        }
    }

    /// Watches what the server has.
    async fn watch(&self) {
        let mut stored: BTreeMap<u32, u64> = BTreeMap::new();
        while !*self.is_over.borrow() {
            for key in 0..KEYS {
                let Some(entry) = self.server.stored(&stored_under(key)) else { continue };
                // A function's whole `Result` is kept.
                let read = store::decode::<u64>(&entry, PAYLOAD_BYTES_MAX, UnixMillis::default());
                let (number, _) = read.expect("it is an entry");
                if number.is_multiple_of(GIVEN) {
                    continue;
                }
                let last = stored.entry(key).or_default();
                assert!(number >= *last, "{number} takes the place of {last} of key {key}");
                *last = number;
                let floor = self.floors.borrow().get(&key).copied().unwrap_or(0);
                assert!(number >= floor, "{number} of key {key} is stored after all before {floor} was taken out");
            }
            sleep(Duration::from_millis(7)).await;
        }
    }
}

/// The output, or nothing where its body panics, which takes its callers along.
async fn catch<F: Future>(work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(panic) if panic.downcast_ref::<&str>() == Some(&PANIC) => Poll::Ready(None),
        Err(panic) => resume_unwind(panic),
    })
    .await
}

async fn live() -> u64 {
    let fleet = Rc::new(Fleet::new());
    let mut acting = Vec::new();
    for of in 0..HOSTS {
        for _ in 0..2 {
            let fleet = Rc::clone(&fleet);
            acting.push(tokio::task::spawn_local(async move { fleet.act(of).await }));
        }
    }
    let (chaotic, watching) = (Rc::clone(&fleet), Rc::clone(&fleet));
    let chaos = tokio::task::spawn_local(async move { chaotic.chaos().await });
    let watch = tokio::task::spawn_local(async move { watching.watch().await });
    for act in acting {
        act.await.expect("a promise is broken");
    }
    *fleet.is_over.borrow_mut() = true;
    chaos.await.expect("chaos does not panic");
    watch.await.expect("a promise is broken");
    fleet.server.commands()
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn whatever_goes_wrong_every_history_is_as_promised() {
    let one = setting("STAMPEDE_FLEET");
    let seeds = one.map_or(0..setting("STAMPEDE_FLEETS").unwrap_or(40), |seed| seed..seed + 1);
    let mut broken = BTreeSet::new();
    let mut commands = 0;
    for seed in seeds.clone() {
        fastrand::seed(seed);
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let lived = catch_unwind(|| LocalSet::new().block_on(&runtime, live()));
        match lived {
            Ok(done) => commands += done,
            Err(_) => _ = broken.insert(seed),
        }
    }
    println!("{} fleets, {} executions and values given, {commands} commands", seeds.count(), numbers().next);
    assert!(broken.is_empty(), "a promise is broken with these seeds: {broken:?}");
}
