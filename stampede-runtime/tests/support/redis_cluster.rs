//! A real cluster of a test's own: three masters, each with a third of the slots, and a replica where a test wants one.

// Each test uses a part of it.
#![allow(dead_code)]

use std::time::{Duration, Instant};

use super::redis_server::{PATIENCE, RedisServer, free_port};

pub(crate) struct RedisCluster {
    /// The masters, and after them the replica.
    pub(crate) nodes: Vec<RedisServer>,
    ids: Vec<String>,
}

const MASTERS: u16 = 3;
/// Of the first node, where there is one.
pub(crate) const REPLICA: usize = 3;
const SLOTS: u16 = 16_384;

impl RedisCluster {
    /// A cluster, or a line that says what is skipped for want of a server.
    pub(crate) fn start(test: &str) -> Option<RedisCluster> {
        RedisCluster::start_with(test, |_| Vec::new())
    }

    /// The same with more arguments for each node.
    pub(crate) fn start_with(test: &str, arguments: impl Fn(usize) -> Vec<String>) -> Option<RedisCluster> {
        RedisCluster::of(test, MASTERS.into(), arguments)
    }

    /// One whose first node has a replica, which takes over when that is dead, whatever it has not heard of.
    pub(crate) fn start_replicated(test: &str) -> Option<RedisCluster> {
        let settings = ["--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"];
        let cluster = RedisCluster::of(test, REPLICA + 1, |_| settings.map(str::to_owned).to_vec())?;
        cluster.nodes[REPLICA].ask(&["CLUSTER", "REPLICATE", &cluster.ids[0]]);
        Self::until("all know of the replica", || {
            let is_known = |node: &RedisServer| {
                let told = node.ask(&["CLUSTER", "NODES"]);
                told.lines().any(|line| line.contains("slave ") && line.contains(&cluster.ids[0]))
            };
            cluster.nodes.iter().all(is_known)
        });
        cluster.is_replicated(0, REPLICA);
        Some(cluster)
    }

    fn of(test: &str, nodes: usize, arguments: impl Fn(usize) -> Vec<String>) -> Option<RedisCluster> {
        let mut cluster = RedisCluster { nodes: Vec::new(), ids: Vec::new() };
        for node in 0..nodes {
            let bus = free_port().to_string();
            let own = [
                ["--cluster-enabled", "yes"],
                ["--cluster-port", &bus],
                ["--cluster-node-timeout", "1000"],
                // One that is down is nothing to the others.
                ["--cluster-require-full-coverage", "no"],
            ];
            let own = own.iter().flatten().map(ToString::to_string);
            let all = own.chain(arguments(node)).collect();
            cluster.nodes.push(RedisServer::start_with(test, |_| all)?);
        }
        cluster.join();
        Some(cluster)
    }

    fn join(&mut self) {
        self.ids = self.nodes.iter().map(|node| node.ask(&["CLUSTER", "MYID"])).collect();
        let mut first = 0;
        for (node, number) in self.nodes.iter().zip(1..=MASTERS) {
            let last = if number == MASTERS { SLOTS - 1 } else { SLOTS / MASTERS * number - 1 };
            node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &number.to_string()]);
            node.ask(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            first = last + 1;
        }
        for one in &self.nodes {
            for other in &self.nodes {
                let bus = setting(other, "cluster-port");
                if one.port() != other.port() {
                    one.ask(&["CLUSTER", "MEET", "127.0.0.1", &port_for_nodes(other), &bus]);
                }
            }
        }
        self.is_whole();
    }

    /// Waits until every node knows where every slot is.
    pub(crate) fn is_whole(&self) {
        for node in &self.nodes {
            Self::until("all know each other", || {
                let info = node.ask(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok")
                    && info.contains("cluster_slots_ok:16384")
                    && node.ask(&["CLUSTER", "NODES"]).lines().filter(|line| is_connected(line)).count()
                        == self.nodes.len()
            });
        }
    }

    /// Whether a node says that it is a master and has slots. One that is dead says nothing.
    pub(crate) fn is_master(&self, node: usize) -> bool {
        let told = self.nodes[node].answer(&["CLUSTER", "NODES"]).unwrap_or_default();
        told.lines().any(|line| line.contains("myself,master") && line.split(' ').nth(8).is_some())
    }

    /// Waits until a node is the replica of another and has all that the other has.
    pub(crate) fn is_replicated(&self, from: usize, to: usize) {
        let said = |node: usize, what: &str| {
            let told = self.nodes[node].answer(&["INFO", "replication"]).unwrap_or_default();
            told.lines().find_map(|line| Some(line.trim().strip_prefix(what)?.to_owned()))
        };
        Self::until("the replica has everything", || {
            said(to, "master_port:") == Some(port_for_nodes(&self.nodes[from]))
                && said(to, "master_link_status:").is_some_and(|status| status == "up")
                && said(from, "master_repl_offset:") == said(to, "slave_repl_offset:")
        });
    }

    /// From now on the replica hears nothing: it stands still, and its line to the master is cut.
    pub(crate) fn deafen_replica(&self) {
        self.is_replicated(0, REPLICA);
        self.nodes[REPLICA].stop();
        self.nodes[0].ask(&["CLIENT", "KILL", "TYPE", "replica"]);
    }

    /// Has a replica take over from its master, which lives.
    pub(crate) fn fail_over(&self, from: usize, to: usize) {
        self.is_replicated(from, to);
        let mut asked = None::<Instant>;
        Self::until("it takes over", || {
            // On a busy machine it is given up after 5 s.
            if asked.is_none_or(|asked| asked.elapsed() > Duration::from_secs(6)) {
                asked = Some(Instant::now());
                self.nodes[to].ask(&["CLUSTER", "FAILOVER"]);
            }
            self.is_master(to) && !self.is_master(from)
        });
    }

    /// Waits until something has happened.
    pub(crate) fn until(what: &str, mut has_happened: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !has_happened() {
            assert!(begun.elapsed() < PATIENCE, "it never comes that {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// All of it as one url.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    pub(crate) fn slot(&self, key: &str) -> u16 {
        let living = self.nodes.iter().find(|node| node.is_running()).expect("one lives");
        living.ask(&["CLUSTER", "KEYSLOT", key]).parse().expect("a slot")
    }

    /// Which node has a slot, as a node says that lives.
    pub(crate) fn owner(&self, slot: u16) -> usize {
        let is_owner = |node: &RedisServer| {
            node.ask(&["CLUSTER", "NODES"]).lines().any(|line| line.contains("myself") && has(line, slot))
        };
        self.nodes.iter().position(|node| node.is_running() && is_owner(node)).expect("somebody has it")
    }

    /// Begins to move a slot.
    pub(crate) fn begin_moving(&self, slot: u16, to: usize) -> usize {
        let (from, slot) = (self.owner(slot), slot.to_string());
        assert_ne!(from, to, "it is there");
        self.nodes[to].ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.ids[from]]);
        self.nodes[from].ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.ids[to]]);
        from
    }

    /// Moves the keys of a slot.
    pub(crate) fn move_keys(&self, slot: u16, from: usize, to: usize) {
        let (port, slot) = (port_for_nodes(&self.nodes[to]), slot.to_string());
        loop {
            let keys = self.nodes[from].ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
            let keys: Vec<&str> = keys.lines().collect();
            if keys.is_empty() {
                return;
            }
            let command = [&["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"], &keys[..]].concat();
            self.nodes[from].ask(&command);
        }
    }

    /// Says where a slot is now.
    pub(crate) fn end_moving(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let others = (0..self.nodes.len()).filter(|node| ![from, to].contains(node));
        for node in [to, from].into_iter().chain(others) {
            if self.nodes[node].is_running() {
                self.nodes[node].ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &self.ids[to]]);
            }
        }
        // Until all have heard of it, the next move could be taken for an older one.
        Self::until("all agree", || {
            let mut said = self.nodes.iter().filter(|node| node.is_running()).map(epochs);
            let first = said.next();
            said.all(|said| Some(said) == first)
        });
    }

    /// All of that.
    pub(crate) fn move_slot(&self, slot: u16, to: usize) {
        let from = self.begin_moving(slot, to);
        self.move_keys(slot, from, to);
        self.end_moving(slot, from, to);
    }
}

/// What a server says of one of its settings; nothing where it has none of that name.
fn setting(node: &RedisServer, name: &str) -> String {
    node.ask(&["CONFIG", "GET", name]).lines().nth(1).unwrap_or_default().to_owned()
}

/// The port that other nodes know it by.
fn port_for_nodes(node: &RedisServer) -> String {
    if setting(node, "tls-cluster") == "yes" { setting(node, "tls-port") } else { node.port().to_string() }
}

/// Whether a line of `CLUSTER NODES` is about a node that is there.
fn is_connected(line: &str) -> bool {
    line.contains(" connected") && !line.contains("handshake")
}

/// What a node knows of each: its epoch and its slots.
fn epochs(node: &RedisServer) -> Vec<String> {
    let told = node.ask(&["CLUSTER", "NODES"]);
    let known = |line: &str| {
        let parts: Vec<&str> = line.split(' ').collect();
        format!("{} {} {}", parts[0], parts[6], parts[8..].join(" "))
    };
    let mut all: Vec<String> = told.lines().map(known).collect();
    all.sort();
    all
}

/// Whether a line of `CLUSTER NODES` has a slot.
fn has(line: &str, slot: u16) -> bool {
    line.split(' ').skip(8).filter(|range| !range.starts_with('[')).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<u16>().expect("a slot");
        (number(first)..=number(last)).contains(&slot)
    })
}
