//! A fleet as its test sees it: a server, workers, and the history of what happens in them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::Deref;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tempfile::NamedTempFile;

use super::checker;
use super::events::{Command, Event, Got, Setup, Task, What};
use super::worker;
use crate::redis_server::RedisServer;

/// Far more than anything takes here. Whatever takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(40);

/// What has happened so far, in the order in which the host heard of it.
#[derive(Default)]
pub(super) struct History {
    events: Mutex<Vec<Event>>,
    grown: Condvar,
}

impl History {
    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: Event) {
        self.events().push(event);
        self.grown.notify_all();
    }
}

pub(super) struct Fleet {
    name: String,
    pub(super) server: Option<RedisServer>,
    workers: Vec<Worker>,
    history: Arc<History>,
    counter: NamedTempFile,
    numbers: AtomicU64,
    begun: Instant,
}

struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    is_killed: bool,
}

impl Fleet {
    /// A server and so many workers, or a line that says why there are none.
    pub(super) fn start(name: &str, workers: usize, setup: &Setup) -> Option<Fleet> {
        let server = RedisServer::start(name)?;
        Some(Fleet::of(name, Some(server), workers, setup))
    }

    /// The same around a server that is there, or none.
    pub(super) fn of(name: &str, server: Option<RedisServer>, workers: usize, setup: &Setup) -> Fleet {
        let counter = NamedTempFile::new().expect("the temporary folder can be written to");
        let (history, numbers) = (Arc::default(), AtomicU64::new(1));
        let mut fleet = Fleet {
            name: name.to_owned(),
            server,
            workers: Vec::new(),
            history,
            counter,
            numbers,
            begun: Instant::now(),
        };
        for _ in 0..workers {
            fleet.spawn(setup);
        }
        fleet.ready();
        fleet
    }

    /// One more worker, which need not be ready. Returns its number.
    pub(super) fn spawn(&mut self, setup: &Setup) -> usize {
        let process = self.workers.len();
        let mut setup = setup.clone();
        setup.process = process;
        setup.counter = self.counter.path().to_owned();
        setup.url = setup.url.or_else(|| self.server.as_ref().map(RedisServer::url));
        let mut command = std::process::Command::new(std::env::current_exe().expect("this test has an executable"));
        command.args(["--exact", worker::TEST, "--ignored", "--nocapture", "--test-threads=1"]);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"STAMPEDE_")) {
            command.env_remove(name);
        }
        command.env(worker::VARIABLE, serde_json::to_string(&setup).expect("a setup is JSON"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this executable can be run");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let history = Arc::clone(&self.history);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Ok(event) = serde_json::from_str(&line) {
                    history.push(event);
                }
            }
            history.push(Event { process, at: now(), what: What::Gone });
        });
        let stdin = child.stdin.take();
        self.workers.push(Worker { child, stdin, is_killed: false });
        process
    }

    /// Waits until every worker that lives is ready.
    pub(super) fn ready(&self) {
        self.until("all are ready", |events| {
            let is_ready =
                |process| events.iter().any(|event| event.process == process && matches!(event.what, What::Ready));
            self.workers.iter().enumerate().all(|(process, worker)| worker.is_killed || is_ready(process))
        });
    }

    pub(super) fn server(&self) -> &RedisServer {
        self.server.as_ref().expect("this fleet has a server")
    }

    pub(super) fn server_mut(&mut self) -> &mut RedisServer {
        self.server.as_mut().expect("this fleet has a server")
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, SeqCst)
    }

    fn tell(&self, process: usize, command: &Command) {
        let mut line = serde_json::to_string(command).expect("a command is JSON");
        line.push('\n');
        let mut stdin = self.workers[process].stdin.as_ref().expect("nobody tells the dead");
        stdin.write_all(line.as_bytes()).expect("the worker reads");
    }

    /// Has a worker call so often at once.
    pub(super) fn call(&self, process: usize, function: &str, key: &str, count: usize, task: &Task) -> Vec<u64> {
        let calls: Vec<_> = (0..count).map(|_| self.number()).collect();
        let (function, key) = (function.to_owned(), key.to_owned());
        self.tell(process, &Command::Call { calls: calls.clone(), function, key, task: task.clone() });
        calls
    }

    /// Has all workers call.
    pub(super) fn call_all(&self, function: &str, key: &str, count: usize, task: &Task) -> Vec<u64> {
        (0..self.workers.len())
            .filter(|process| !self.workers[*process].is_killed)
            .flat_map(|process| self.call(process, function, key, count, task))
            .collect()
    }

    /// Has a worker call where nothing is in memory, and waits for the result.
    pub(super) fn fresh(&self, process: usize, function: &str, key: &str, task: &Task) -> Got {
        let call = self.begin_fresh(process, function, key, task);
        self.got(call)
    }

    /// The same without waiting.
    pub(super) fn begin_fresh(&self, process: usize, function: &str, key: &str, task: &Task) -> u64 {
        let call = self.number();
        let (function, key) = (function.to_owned(), key.to_owned());
        self.tell(process, &Command::Fresh { call, function, key, task: task.clone() });
        call
    }

    /// Has a worker call in a runtime that ends after so long.
    pub(super) fn doomed(&self, process: usize, key: &str, task: &Task, after: u64) -> u64 {
        let call = self.number();
        let (function, key) = ("whole".to_owned(), key.to_owned());
        self.tell(process, &Command::Doomed { call, function, key, task: task.clone(), after });
        call
    }

    /// Lets the bodies of a worker go on that wait for it.
    pub(super) fn open(&self, process: usize) {
        self.tell(process, &Command::Gate { is_open: true });
    }

    pub(super) fn cancel(&self, process: usize) {
        self.tell(process, &Command::Cancel);
    }

    /// Begins an invalidation.
    pub(super) fn begin_invalidating(&self, process: usize, key: &str) -> u64 {
        let done = self.number();
        self.tell(process, &Command::Invalidate { done, key: key.to_owned(), then: None });
        done
    }

    /// Invalidates; whether the server was told.
    pub(super) fn invalidate(&self, process: usize, key: &str) -> bool {
        let done = self.begin_invalidating(process, key);
        self.done(done)
    }

    /// Invalidates, and calls at once. Returns the call.
    pub(super) fn invalidate_then(&self, process: usize, key: &str, task: &Task) -> u64 {
        let (done, call) = (self.number(), self.number());
        self.tell(process, &Command::Invalidate { done, key: key.to_owned(), then: Some((call, task.clone())) });
        call
    }

    /// Begins to take everything out.
    pub(super) fn begin_clearing(&self, process: usize) -> u64 {
        let done = self.number();
        self.tell(process, &Command::Clear { done });
        done
    }

    pub(super) fn clear(&self, process: usize) -> bool {
        let done = self.begin_clearing(process);
        self.done(done)
    }

    pub(super) fn refresh(&self, process: usize, key: &str, task: &Task) -> u64 {
        let call = self.number();
        self.tell(process, &Command::Refresh { call, key: key.to_owned(), task: task.clone() });
        call
    }

    /// Begins to put a value in.
    pub(super) fn begin_inserting(&self, process: usize, key: &str) -> u64 {
        let done = self.number();
        self.tell(process, &Command::Insert { done, key: key.to_owned() });
        done
    }

    /// Puts a value in. Returns its number when it is there.
    pub(super) fn insert(&self, process: usize, key: &str) -> u64 {
        let inserting = self.begin_inserting(process, key);
        self.find("the insertion is reported", |event| match event.what {
            What::Inserts { done, number, .. } if done == inserting => Some(number),
            _ => None,
        })
    }

    /// Waits until an invalidation is over; whether the server was told.
    pub(super) fn done(&self, done: u64) -> bool {
        self.find(&format!("{done} is done"), |event| match event.what {
            What::Done { done: of, has_arrived } if of == done => Some(has_arrived),
            _ => None,
        })
    }

    /// What a worker counted for a function, once nothing is under way there.
    pub(super) fn stats(&self, process: usize, function: &str) -> Counted {
        self.stats_when(process, function, true)
    }

    /// What it has counted so far.
    pub(super) fn stats_now(&self, process: usize, function: &str) -> Counted {
        self.stats_when(process, function, false)
    }

    fn stats_when(&self, process: usize, function: &str, is_idle: bool) -> Counted {
        let done = self.number();
        self.tell(process, &Command::Stats { done, function: function.to_owned(), is_idle });
        let stats = self.find("stats are told", |event| match &event.what {
            What::Stats { done: of, stats } if *of == done => Some(stats.clone()),
            _ => None,
        });
        Counted(stats)
    }

    /// What all living workers counted, one field, together.
    pub(super) fn total(&self, function: &str, field: &str) -> u64 {
        let living = (0..self.workers.len()).filter(|process| !self.workers[*process].is_killed);
        living.map(|process| self.stats(process, function).of(field)).sum()
    }

    /// Waits for the end of a call.
    pub(super) fn got(&self, call: u64) -> Got {
        self.find(&format!("call {call} ends"), |event| match &event.what {
            What::Got { call: of, got, .. } if *of == call => Some(got.clone()),
            _ => None,
        })
    }

    pub(super) fn got_all(&self, calls: impl IntoIterator<Item = u64>) -> Vec<Got> {
        calls.into_iter().map(|call| self.got(call)).collect()
    }

    /// Whether a call has ended.
    pub(super) fn has_ended(&self, call: u64) -> bool {
        self.events().iter().any(|event| matches!(event.what, What::Got { call: of, .. } if of == call))
    }

    /// Waits until so many executions of a key have begun. Returns the process of the last of these.
    pub(super) fn started(&self, key: &str, count: usize) -> usize {
        let mut process = None;
        self.until(&format!("execution {count} of {key} begins"), |events| {
            process = events.iter().filter(|event| is_start(event, key)).nth(count - 1).map(|event| event.process);
            process.is_some()
        });
        process.expect("it was waited for")
    }

    /// How many executions of a key have begun.
    pub(super) fn executions(&self, key: &str) -> usize {
        self.events().iter().filter(|event| is_start(event, key)).count()
    }

    /// The numbers of the executions of a key.
    pub(super) fn numbers(&self, key: &str) -> Vec<u64> {
        let number = |event: &Event| match &event.what {
            What::Start { key: of, number } if of == key => Some(*number),
            _ => None,
        };
        self.events().iter().filter_map(number).collect()
    }

    /// What a worker said in its log.
    pub(super) fn logged(&self, process: usize) -> Vec<String> {
        let text = |event: &Event| match &event.what {
            What::Log { text } if event.process == process => Some(text.clone()),
            _ => None,
        };
        self.events().iter().filter_map(text).collect()
    }

    pub(super) fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.history.events()
    }

    fn find<T>(&self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        let (mut found, mut seen) = (None, 0);
        self.until(what, |events| {
            found = events[seen..].iter().find_map(&pick);
            seen = events.len();
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// Waits until something has happened.
    pub(super) fn until(&self, what: &str, mut has_happened: impl FnMut(&[Event]) -> bool) {
        let begun = Instant::now();
        let mut events = self.history.events();
        while !has_happened(&events) {
            let gone =
                events.iter().find(|event| matches!(event.what, What::Gone) && !self.workers[event.process].is_killed);
            let why = gone.map(|event| format!("worker {} has died by itself", event.process));
            if let Some(why) = why.or_else(|| (begun.elapsed() > PATIENCE).then(|| "it hangs".to_owned())) {
                let story = checker::story(&events);
                drop(events);
                panic!("{}: waiting until {what}: {why}\n{story}", self.name);
            }
            let wait = self.history.grown.wait_timeout(events, Duration::from_millis(500));
            events = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The same for something that is asked for again and again.
    pub(super) fn again_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{}: it never comes that {what}\n{}", self.name, self.story());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn story(&self) -> String {
        checker::story(&self.events())
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self, process: usize) {
        self.workers[process].child.kill().expect("a worker can be killed");
        self.is_gone(process);
    }

    /// Has a worker shut down within so long and end.
    pub(super) fn leave(&mut self, process: usize, within: u64) {
        self.tell(process, &Command::Leave { within });
        self.is_gone(process);
    }

    fn is_gone(&mut self, process: usize) {
        let worker = &mut self.workers[process];
        worker.is_killed = true;
        worker.child.wait().expect("a worker is ours");
        worker.stdin = None;
        // All that it said has been heard.
        self.until("its end is heard of", |events| {
            events.iter().any(|event| event.process == process && matches!(event.what, What::Gone))
        });
    }

    pub(super) fn stop(&self, process: usize) {
        self.signal(process, "-STOP");
    }

    pub(super) fn go_on(&self, process: usize) {
        self.signal(process, "-CONT");
    }

    fn signal(&self, process: usize, signal: &str) {
        let id = self.workers[process].child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    }

    /// Prints something measured.
    pub(super) fn note(&self, text: impl std::fmt::Display) {
        println!("{}, after {:.2?}: {text}", self.name, self.begun.elapsed());
    }

    /// The leases that the server knows of, by their keys.
    pub(super) fn leases(&self) -> Vec<String> {
        let keys = self.server().ask(&["KEYS", "*"]);
        keys.lines().filter(|key| key.ends_with(":lease")).map(ToOwned::to_owned).collect()
    }

    /// How many flights wait for other processes.
    pub(super) fn waiters(&self) -> usize {
        let of = |lease: &String| self.server().ask(&["HKEYS", lease]).matches("w:").count();
        self.leases().iter().map(of).sum()
    }

    /// Waits until so many flights wait for other processes.
    pub(super) fn waiting(&self, count: usize) {
        // The first look says that somebody leads, the second leaves the waiter's name.
        self.again_until(&format!("{count} flights wait"), || self.waiters() >= count);
    }

    /// Ends the fleet, waiting for all calls, and judges what has happened.
    pub(super) fn dismiss(self) {
        for (process, worker) in self.workers.iter().enumerate() {
            if !worker.is_killed {
                self.until(&format!("all calls of worker {process} end"), |events| {
                    checker::pending(events, process).is_empty()
                });
            }
        }
        let events = self.events();
        if let Err(complaint) = checker::check(&events) {
            panic!("{}: {complaint}\n{}", self.name, checker::story(&events));
        }
        println!("{}: {:.2?}", self.name, self.begun.elapsed());
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}

fn is_start(event: &Event, key: &str) -> bool {
    matches!(&event.what, What::Start { key: of, .. } if of == key)
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970");
    now.as_micros().try_into().expect("it is not yet the year 586000")
}

/// The stats of a worker.
pub(super) struct Counted(serde_json::Value);

impl Counted {
    pub(super) fn of(&self, field: &str) -> u64 {
        let mut value = &self.0;
        for part in field.split('.') {
            value = &value[part];
        }
        value.as_u64().unwrap_or_else(|| panic!("`{field}` is no number in {}", self.0))
    }

    /// That the sums are right, and what is saved has not been executed.
    pub(super) fn add_up(&self) {
        let sum = |fields: &[&str]| fields.iter().map(|field| self.of(field)).sum::<u64>();
        let saved = sum(&["cache_hits", "stale_hits", "coalesce_hits"]);
        assert_eq!(self.of("requests"), saved + sum(&["led", "bypassed", "refused"]), "{}", self.0);
        assert_eq!(self.of("executions"), sum(&["led", "refreshes", "retries"]), "{}", self.0);
        assert!(saved + self.of("led") <= self.of("requests"), "{}", self.0);
    }
}

impl Deref for Counted {
    type Target = serde_json::Value;

    fn deref(&self) -> &serde_json::Value {
        &self.0
    }
}
