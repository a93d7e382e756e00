//! The nodes of a cluster: a connection to each, and a map that says which of them has which slots.
//!
//! ```text
//!            first use                told                    moved, down, now and then
//!  Quiet ──────────────▶ Asking ────────────▶ Known ◀────────────────────────────────── asked again
//!    ▲                    │  ▲
//!    │ nobody asked       ▼  │ tries again and again, ever less often
//!    └─────────────────  Failed
//! ```
//!
//! A map stays until there is a newer one: while no node answers, calls fail at those nodes, and so at once. One task asks for
//! maps, on the [`helper`], one at a time and with pauses, whatever the calls do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ::redis::{Client, ConnectionInfo, Value, cmd};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::PARTS;
use super::slots::{self, Address, Range, SLOTS};
use crate::blocking::helper;
use crate::store::BackendErrorKind;
use crate::store::redis::error::Failure;
use crate::store::redis::link::{Hears, Link, Pauses, Place, QUIET_AFTER, Timeouts};
use crate::store::redis::sentinel::at;
use crate::store::redis::waiters::Waiters;

/// So often the nodes are asked for a map though nothing seems to have changed.
const ASKED_EVERY: Duration = Duration::from_secs(30);
/// The pause between two maps that are asked for because something has changed: at first, and while nothing new comes of it.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];
/// So many are asked for a map at once. The first answer will do.
const ASKED_AT_ONCE: usize = 3;

/// A master.
pub(super) struct Node {
    pub(super) address: Address,
    /// Its number among all, which stays its own.
    pub(super) number: usize,
    pub(super) link: Link,
    /// A redirection has named it since the last map.
    is_wanted: AtomicBool,
}

/// Which node has which slot.
#[derive(Clone)]
pub(super) struct Map {
    /// By slot: the place in `nodes`, or [`NOBODY`].
    owners: Box<[u16]>,
    pub(super) nodes: Vec<Arc<Node>>,
}

const NOBODY: u16 = u16::MAX;

impl Map {
    pub(super) fn owner(&self, slot: u16) -> Option<&Arc<Node>> {
        self.nodes.get(usize::from(self.owners[usize::from(slot)]))
    }

    /// Whether a slot of a node that does not answer is another's in a later map.
    fn loses_to(&self, later: &Map) -> bool {
        let lost: Vec<bool> = self.nodes.iter().map(|node| node.link.is_lost()).collect();
        let is_taken =
            |slot| self.owner(slot).zip(later.owner(slot)).is_some_and(|(one, other)| !Arc::ptr_eq(one, other));
        let is_of_lost = |slot: u16| lost.get(usize::from(self.owners[usize::from(slot)])).is_some_and(|lost| *lost);
        (0..SLOTS).any(|slot| is_of_lost(slot) && is_taken(slot))
    }

    fn is_like(&self, other: &Map) -> bool {
        (0..SLOTS).all(|slot| match (self.owner(slot), other.owner(slot)) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        })
    }
}

#[derive(Clone)]
enum State {
    Quiet,
    Asking,
    Known(Arc<Map>),
    Failed(Failure),
}

/// Ends everything that it began when it is dropped.
pub(super) struct Nodes {
    core: Arc<Core>,
    /// Of the maps.
    keeper: Mutex<Option<AbortHandle>>,
}

struct Core {
    /// Those that one begins with.
    seeds: Vec<Client>,
    /// All of a connection but the address.
    template: ConnectionInfo,
    timeouts: Timeouts,
    tracking: bool,
    hears: bool,
    waiters: Arc<Waiters>,
    /// Messages come through one connection, to any node: each tells all others.
    ear: Link,
    state: watch::Sender<State>,
    /// Those of the map, and those that redirections have named since.
    nodes: Mutex<Vec<Arc<Node>>>,
    /// The map is not right any more.
    is_stale: Arc<Notify>,
    /// Somebody has asked since the last map.
    is_wanted: AtomicBool,
}

impl Nodes {
    /// `hears`: the protocol has messages.
    pub(super) fn new(seeds: Vec<Client>, timeouts: Timeouts, tracking: bool, hears: bool) -> Nodes {
        let waiters = Waiters::new();
        let template = seeds[0].get_connection_info().clone();
        let core = Arc::new_cyclic(|core: &Weak<Core>| {
            let core = Weak::clone(core);
            let pick = move || {
                let core = core.upgrade()?;
                core.client(&core.candidates().first()?.address)
            };
            let all = Hears { messages: true, changes: false };
            let ear = Link::new(Place::Somewhere(Box::new(pick)), timeouts, all, Arc::clone(&waiters));
            Core {
                seeds,
                template,
                timeouts,
                tracking,
                hears,
                waiters,
                ear,
                state: watch::Sender::new(State::Quiet),
                nodes: Mutex::default(),
                is_stale: Arc::default(),
                is_wanted: AtomicBool::new(false),
            }
        });
        Nodes { core, keeper: Mutex::default() }
    }

    pub(super) fn waiters(&self) -> &Arc<Waiters> {
        &self.core.waiters
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        self.core.timeouts
    }

    /// The connection that messages come through.
    pub(super) fn ear(&self) -> Option<&Link> {
        self.core.hears.then_some(&self.core.ear)
    }

    /// The map, if there is one, without waiting.
    pub(super) fn known(&self) -> Option<Arc<Map>> {
        self.core.known()
    }

    /// The map, if there is one or is soon.
    pub(super) async fn map(&self) -> Result<Arc<Map>, Failure> {
        if !self.core.is_wanted.load(Ordering::Relaxed) {
            self.core.is_wanted.store(true, Ordering::Relaxed);
        }
        if let Some(map) = self.core.known() {
            return Ok(map);
        }
        let mut states = self.core.state.subscribe();
        loop {
            match &*states.borrow_and_update() {
                State::Known(map) => return Ok(Arc::clone(map)),
                State::Failed(failure) => return Err(failure.clone()),
                State::Quiet | State::Asking => {}
            }
            self.begin();
            states.changed().await.expect("the nodes own the sender, and are borrowed here");
        }
    }

    fn begin(&self) {
        let is_first = self.core.state.send_if_modified(|state| {
            let is_quiet = matches!(state, State::Quiet);
            if is_quiet {
                *state = State::Asking;
            }
            is_quiet
        });
        if is_first {
            let task = helper().spawn(keep(Arc::clone(&self.core)));
            *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
        }
    }

    /// Something is not as the map says, or a node does not answer.
    pub(super) fn doubt(&self) {
        self.core.is_stale.notify_one();
    }

    /// A slot is elsewhere now, as its owner of before says.
    pub(super) fn moved(&self, slot: u16, to: &Address) -> Option<Arc<Node>> {
        let node = self.core.node(to)?;
        self.core.state.send_if_modified(|state| {
            let State::Known(map) = state else { return false };
            if map.owner(slot).is_some_and(|owner| Arc::ptr_eq(owner, &node)) {
                return false;
            }
            let mut changed = Map::clone(map);
            let place = changed.nodes.iter().position(|other| Arc::ptr_eq(other, &node)).unwrap_or_else(|| {
                changed.nodes.push(Arc::clone(&node));
                changed.nodes.len() - 1
            });
            changed.owners[usize::from(slot)] = u16::try_from(place).unwrap_or(NOBODY);
            *map = Arc::new(changed);
            true
        });
        self.doubt();
        Some(node)
    }

    /// A node that is asked besides the owner of a slot.
    pub(super) fn named(&self, to: &Address) -> Option<Arc<Node>> {
        self.core.node(to)
    }

    /// The masters, those first that have answered last.
    pub(super) fn candidates(&self) -> Vec<Arc<Node>> {
        self.core.candidates()
    }

    /// Asks for a map anew.
    pub(super) async fn look_again(&self) -> Option<Arc<Map>> {
        let map = self.core.ask().await.ok()?;
        Some(self.core.adopt(&map))
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
    }
}

impl Core {
    fn nodes(&self) -> MutexGuard<'_, Vec<Arc<Node>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Option<Arc<Map>> {
        match &*self.state.borrow() {
            State::Known(map) => Some(Arc::clone(map)),
            _ => None,
        }
    }

    fn client(&self, address: &Address) -> Option<Client> {
        Client::open(at(&self.template, address.host.clone(), address.port)).ok()
    }

    /// The node at an address, one that is new if need be.
    fn node(&self, address: &Address) -> Option<Arc<Node>> {
        let is_late = self.tracking && self.known().is_some();
        let mut nodes = self.nodes();
        if let Some(node) = nodes.iter().find(|node| node.address == *address) {
            node.is_wanted.store(true, Ordering::Relaxed);
            return Some(Arc::clone(node));
        }
        let client = self.client(address)?;
        // The smallest that is free; with more nodes than there are numbers, some share one.
        let taken: Vec<usize> = nodes.iter().map(|node| node.number).collect();
        let number = (1..PARTS).find(|number| !taken.contains(number)).unwrap_or(1 + taken.len() % (PARTS - 1));
        let hears = Hears { messages: false, changes: self.tracking };
        let (is_stale, is_first) = (Arc::clone(&self.is_stale), AtomicBool::new(true));
        let pick = move || {
            // Another may have its slots by now. A process that has everything in memory asks nothing and would not find out.
            if !is_first.swap(false, Ordering::Relaxed) {
                is_stale.notify_one();
            }
            Some(client.clone())
        };
        let mut link = Link::new(Place::Somewhere(Box::new(pick)), self.timeouts, hears, Arc::clone(&self.waiters));
        if is_late {
            link = link.late();
        }
        let is_wanted = AtomicBool::new(true);
        let node = Arc::new(Node { address: address.clone(), number, link, is_wanted });
        nodes.push(Arc::clone(&node));
        Some(node)
    }

    /// At random, those first that have answered last.
    fn candidates(&self) -> Vec<Arc<Node>> {
        let mut nodes = match self.known() {
            Some(map) => map.nodes.clone(),
            None => self.nodes().clone(),
        };
        fastrand::shuffle(&mut nodes);
        nodes.sort_by_key(|node| !node.link.is_well());
        nodes
    }

    /// Asks for a map: those who answer first, then the seeds, then the others.
    async fn ask(&self) -> Result<Vec<Range>, Failure> {
        let (well, others): (Vec<_>, Vec<_>) = self.candidates().into_iter().partition(|node| node.link.is_well());
        let timeouts = self.timeouts;
        let of_nodes = |nodes: Vec<Arc<Node>>| {
            nodes.into_iter().map(|node| {
                let host = node.address.host.clone();
                (host, Asked::Node(node))
            })
        };
        let seeds = self.seeds.iter().map(|seed| {
            let host = match seed.get_connection_info().addr() {
                ::redis::ConnectionAddr::Tcp(host, _) | ::redis::ConnectionAddr::TcpTls { host, .. } => host.clone(),
                _ => String::new(),
            };
            let hears = Hears { messages: false, changes: false };
            let waiters = Arc::clone(&self.waiters);
            (host, Asked::Seed(Box::new(Link::new(Place::Here(seed.clone()), timeouts, hears, waiters))))
        });
        let mut all = of_nodes(well).chain(seeds).chain(of_nodes(others));
        let mut asked = JoinSet::new();
        let mut failure = None;
        loop {
            while asked.len() < ASKED_AT_ONCE {
                let Some((host, node)) = all.next() else { break };
                asked.spawn(async move {
                    let mut slots = cmd("CLUSTER");
                    slots.arg("SLOTS");
                    let answer = node.link().ask::<Value>(&slots).await;
                    let answer = answer.map_err(|error| Failure::of(&error))?;
                    let no_map = || Failure::new(BackendErrorKind::Other, "a node knows of no cluster");
                    slots::read(&answer, &host).ok_or_else(no_map)
                });
            }
            match asked.join_next().await {
                None => return Err(failure.unwrap_or_else(|| Failure::new(BackendErrorKind::Other, "no node"))),
                Some(Ok(Ok(map))) => return Ok(map),
                Some(Ok(Err(why))) => failure = Some(why),
                Some(Err(_)) => {}
            }
        }
    }

    /// Takes a map over. Nodes that are none any more are let go of.
    fn adopt(&self, ranges: &[Range]) -> Arc<Map> {
        let mut map = Map { owners: vec![NOBODY; usize::from(SLOTS)].into(), nodes: Vec::new() };
        for (first, last, address) in ranges {
            let place = map.nodes.iter().position(|node| node.address == *address).or_else(|| {
                map.nodes.push(self.node(address)?);
                Some(map.nodes.len() - 1)
            });
            let place = place.and_then(|place| u16::try_from(place).ok()).unwrap_or(NOBODY);
            map.owners[usize::from(*first)..=usize::from(*last)].fill(place);
        }
        self.nodes().retain(|node| {
            let is_named = node.is_wanted.swap(false, Ordering::Relaxed);
            is_named || map.nodes.iter().any(|other| Arc::ptr_eq(node, other))
        });
        if self.tracking {
            // Each tells of its own keys.
            map.nodes.iter().for_each(|node| node.link.begin());
        }
        let map = Arc::new(map);
        let mut may_be_untold = false;
        self.state.send_if_modified(|state| match state {
            State::Known(before) if before.is_like(&map) => false,
            // Before the first, whatever waits for it waits for more than that.
            State::Known(before) => {
                // Who had told of a key before does not any more, or was perhaps about to when it died.
                may_be_untold = self.tracking || self.hears && before.loses_to(&map);
                *before = Arc::clone(&map);
                true
            }
            _ => false,
        });
        if may_be_untold {
            self.waiters.news().lose();
        }
        map
    }
}

enum Asked {
    Node(Arc<Node>),
    /// A connection for one question.
    Seed(Box<Link>),
}

impl Asked {
    fn link(&self) -> &Link {
        match self {
            Asked::Node(node) => &node.link,
            Asked::Seed(link) => link,
        }
    }
}

/// Keeps the map right for as long as somebody wants it.
async fn keep(core: Arc<Core>) {
    let mut pauses = Pauses::default();
    let mut pause = PAUSES[0];
    let mut wanted = Instant::now();
    loop {
        let asked = core.ask().await;
        if core.is_wanted.swap(false, Ordering::Relaxed) {
            wanted = Instant::now();
        }
        match (asked, core.known()) {
            (Ok(ranges), Some(before)) => {
                let is_news = !core.adopt(&ranges).is_like(&before);
                pause = if is_news { PAUSES[0] } else { PAUSES[1].min(pause * 2) };
                if core.hears {
                    // It rests, perhaps, since nobody wanted it.
                    core.ear.begin();
                }
            }
            (Ok(ranges), None) => {
                let map = core.adopt(&ranges);
                // What is read before anybody listens could have changed unheard.
                let all = map.nodes.iter().map(|node| &node.link).filter(|_| core.tracking);
                for link in all.chain(core.hears.then_some(&core.ear)) {
                    link.begin();
                }
                if core.hears {
                    let _ = timeout(core.timeouts.connect, core.ear.line()).await;
                }
                tracing::debug!(target: "stampede", nodes = map.nodes.len(), "a Redis cluster is known");
                core.state.send_replace(State::Known(map));
            }
            (Err(failure), Some(_)) => {
                tracing::debug!(target: "stampede", cause = failure.cause(), "no node tells of the cluster");
                pause = PAUSES[1].min(pause * 2);
            }
            (Err(failure), None) => {
                tracing::debug!(target: "stampede", cause = failure.cause(), "no Redis cluster");
                core.state.send_replace(State::Failed(failure));
                sleep(pauses.next()).await;
                if wanted.elapsed() > QUIET_AFTER && !core.waiters.news().has_listeners() {
                    core.state.send_replace(State::Quiet);
                    return;
                }
                continue;
            }
        }
        // At random between half of it and all.
        sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        loop {
            let is_stale = timeout(ASKED_EVERY, core.is_stale.notified()).await.is_ok();
            if is_stale || core.is_wanted.load(Ordering::Relaxed) {
                break;
            }
            pause = PAUSES[0];
        }
    }
}
