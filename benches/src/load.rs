//! A fleet of 50 processes before one server: 1,000 namespaces in each, 10,000 waiters, and then the server dies and comes back.
//! Answered: what that takes in memory, connections and commands, and how they come back.
//!
//! Everything is on this machine, the server too, and goes through one proxy, which counts attempts to connect. Commands are those
//! that the server counts; the most in one second is of spans of 100 ms.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::measure::{Effort, quantile};
use crate::redis::redis_server::RedisServer;
use crate::report::{Row, Section};
use crate::workers::{Ask, Said, Worker, start};

#[path = "../../stampede-runtime/tests/support/tcp_proxy.rs"]
mod tcp_proxy;

use tcp_proxy::TcpProxy;

const NAMESPACES: usize = 1_000;
const KEYS: u64 = 50;
const CALLERS: usize = 4;
const DOWN: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(100);

/// The fleet and its server.
struct Scene {
    server: RedisServer,
    proxy: TcpProxy,
    workers: Vec<Worker>,
    said: Receiver<(usize, Said)>,
    rows: Vec<Row>,
}

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    // Says so where there is none.
    let Some(server) = RedisServer::start("load") else { return Vec::new() };
    let count = effort.of(50, 10);
    let proxy = TcpProxy::before(server.port());
    let lease = Duration::from_secs(5);
    // The last one leads.
    let (workers, said) = start(count + 1, &proxy.url(), lease);
    let mut scene = Scene { server, proxy, workers, said, rows: Vec::new() };
    scene.namespaces();
    scene.waiters(1);
    scene.outage(10_000);
    vec![Section {
        name: "load",
        title: format!("{count} processes, {NAMESPACES} namespaces, {} waiters", count as u64 * KEYS * CALLERS as u64),
        columns: vec!["figure", "most"],
        rows: scene.rows,
    }]
}

impl Scene {
    fn row(&mut self, what: &'static str, figures: impl IntoIterator<Item = f64>) -> &mut Row {
        self.rows.push(Row::new(what, figures));
        self.rows.last_mut().expect("it was just put there")
    }

    /// A number that the server tells of itself.
    fn info(&self, field: &str) -> f64 {
        let info = self.server.ask(&["INFO", "everything"]);
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')?.trim().parse().ok());
        value.unwrap_or(f64::NAN)
    }

    fn connections(&self) -> usize {
        self.server.ask(&["CLIENT", "LIST"]).lines().filter(|line| line.contains("resp=3")).count()
    }

    fn resident(&self) -> [f64; 2] {
        let all: Vec<f64> = self.workers.iter().map(Worker::resident).collect();
        [0.5, 1.0].map(|share| quantile(&all, |mib| *mib, share))
    }

    /// The workers that do not lead.
    fn others(&self) -> usize {
        self.workers.len() - 1
    }

    fn heard(&self, count: usize, is_it: impl Fn(&Said) -> bool) {
        let mut seen = 0;
        while seen < count {
            seen += usize::from(is_it(&self.said.recv().expect("workers speak").1));
        }
    }

    fn namespaces(&mut self) {
        let [mib, most] = self.resident();
        self.row("RSS of a process that has done nothing, MiB", [mib, most]);
        let (begun, before) = (Instant::now(), self.info("total_commands_processed"));
        for worker in &mut self.workers {
            worker.tell(&Ask::Caches { count: NAMESPACES });
        }
        self.heard(self.workers.len(), |said| matches!(said, Said::Cached));
        let seconds = begun.elapsed().as_secs_f64();
        let commands = self.info("total_commands_processed") - before;
        self.row("values kept and found, a second", [2.0 * (self.workers.len() * NAMESPACES) as f64 / seconds]);
        self.row("commands a second meanwhile", [commands / seconds]);
        let [mib, most] = self.resident();
        self.row("RSS with a value in each namespace, MiB", [mib, most]);
        let connections = self.connections();
        let is_one_each = connections == self.workers.len();
        self.row("connections", [connections as f64]).goal("one for each process", is_one_each);
    }

    /// All wait for what the last one leads. Returns how many flights waited before.
    fn all_wait(&mut self, first: u64) {
        let leader = self.workers.last_mut().expect("there are some");
        leader.tell(&Ask::Lead { first, keys: KEYS });
        self.heard(usize::try_from(KEYS).expect("a few"), |said| matches!(said, Said::Leads(_)));
        let others = self.others();
        let mut waiting = vec![(0, 0); others];
        for worker in &mut self.workers[..others] {
            worker.tell(&Ask::Call { first, keys: KEYS, callers: CALLERS });
        }
        // Counted since they began: what is new is what counts.
        while waiting.iter().any(|(_, new)| *new < KEYS) {
            if let (number, Said::Waiting(flights)) = self.said.recv().expect("workers speak") {
                let before = waited_before(first);
                waiting[number] = (flights, flights - before);
            }
        }
    }

    fn waiters(&mut self, first: u64) {
        self.all_wait(first);
        let before = self.info("total_commands_processed");
        let begun = Instant::now();
        std::thread::sleep(Duration::from_secs(3));
        let commands = (self.info("total_commands_processed") - before) / begun.elapsed().as_secs_f64();
        self.row("commands a second while all wait", [commands]);
        let [mib, most] = self.resident();
        self.row("RSS while all wait, MiB", [mib, most]);
        let used = self.info("used_memory") / f64::from(1 << 20);
        self.row("memory of the server, MiB", [used]);
        let before = self.info("total_commands_processed");
        let begun = Instant::now();
        self.workers.last_mut().expect("there are some").tell(&Ask::Release { upto: first + KEYS });
        self.heard(self.others(), |said| matches!(said, Said::Answered { .. }));
        let seconds = begun.elapsed().as_secs_f64();
        let commands = self.info("total_commands_processed") - before;
        self.row("from the end of the bodies to the last of them, s", [seconds]);
        self.row("commands for that", [commands]);
    }

    fn outage(&mut self, first: u64) {
        self.all_wait(first);
        let attempts = self.proxy.attempts();
        let begun = Instant::now();
        self.server.kill();
        let (mut executions, mut answered) = (0, 0);
        while answered < self.others() {
            if let (_, Said::Answered { executions: here, .. }) = self.said.recv().expect("workers speak") {
                (executions, answered) = (executions + here, answered + 1);
            }
        }
        self.row("server killed: until all are served, s", [begun.elapsed().as_secs_f64()]);
        let bound = KEYS * self.others() as u64;
        self.row("executions for that", [executions as f64])
            .goal(format!("at most {bound}, one in each process"), executions <= bound);
        std::thread::sleep(DOWN.saturating_sub(begun.elapsed()));
        let meanwhile = (self.proxy.attempts() - attempts) as f64 / self.workers.len() as f64;
        let down = begun.elapsed().as_secs_f64();
        self.row("attempts per process and second while it is down", [meanwhile / down]);
        let attempts = self.proxy.attempts();
        self.server.restart();
        let begun = Instant::now();
        // Everybody calls, of keys that nobody has.
        let first = first + 1_000;
        let others = self.others();
        for worker in &mut self.workers[..others] {
            worker.tell(&Ask::Call { first, keys: KEYS, callers: CALLERS });
        }
        let is_over = AtomicBool::new(false);
        let (all_served, back, most) = std::thread::scope(|scope| {
            let (server, is_over) = (&self.server, &is_over);
            let watch = scope.spawn(move || peak(server, is_over));
            self.heard(others, |said| matches!(said, Said::Answered { first: of, .. } if *of == first));
            let all_served = begun.elapsed().as_secs_f64();
            while self.connections() < self.workers.len() {
                std::thread::sleep(Duration::from_millis(20));
            }
            let back = begun.elapsed().as_secs_f64();
            is_over.store(true, SeqCst);
            (all_served, back, watch.join().expect("no panic"))
        });
        self.row("restarted: until all of another 10,000 are served, s", [all_served]);
        self.row("until all processes are connected, s", [back]);
        self.row(
            "attempts per process until then",
            [(self.proxy.attempts() - attempts) as f64 / self.workers.len() as f64],
        );
        self.row("the most commands in one second", [most]);
    }
}

/// The most commands a second, of the spans between looks.
fn peak(server: &RedisServer, is_over: &AtomicBool) -> f64 {
    let commands = || {
        let info = server.ask(&["INFO", "stats"]);
        let count = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:")?.trim().parse().ok());
        count.unwrap_or(0.0)
    };
    let (mut most, mut last, mut at) = (0.0_f64, commands(), Instant::now());
    while !is_over.load(SeqCst) {
        std::thread::sleep(LOOK);
        let now = commands();
        most = most.max((now - last) / at.elapsed().as_secs_f64());
        (last, at) = (now, Instant::now());
    }
    most
}

/// How many flights of a worker had waited before these keys.
fn waited_before(first: u64) -> u64 {
    if first == 1 { 0 } else { KEYS }
}
