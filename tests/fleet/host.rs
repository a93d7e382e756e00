//! A fleet as its test sees it: a server, workers, and the history of what happens in them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tempfile::NamedTempFile;

use super::checker;
use super::events::{Command, Event, Got, Setup, What};
use super::worker;
use crate::postgres_server::Database;
use crate::redis_server::RedisServer;
use crate::tcp_proxy::TcpProxy;

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
    /// Where its meanings are, if that is a server of all tests.
    pub(super) database: Option<Database>,
    workers: Vec<Worker>,
    history: Arc<History>,
    counter: NamedTempFile,
    pub(super) numbers: AtomicU64,
    begun: Instant,
}

struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    proxy: Option<TcpProxy>,
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
            database: None,
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
        self.counter.path().clone_into(&mut setup.counter);
        let proxy = setup.has_proxy.then(|| TcpProxy::before(self.server().port()));
        let url = || proxy.as_ref().map(TcpProxy::url).or_else(|| self.server.as_ref().map(RedisServer::url));
        setup.url = setup.url.or_else(url);
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
        self.workers.push(Worker { child, stdin, proxy, is_killed: false });
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

    /// What stands between a worker and the server.
    pub(super) fn proxy(&self, process: usize) -> &TcpProxy {
        self.workers[process].proxy.as_ref().expect("this worker has a proxy")
    }

    /// The workers that were not killed.
    pub(super) fn living(&self) -> Vec<usize> {
        (0..self.workers.len()).filter(|process| !self.workers[*process].is_killed).collect()
    }

    pub(super) fn tell(&self, process: usize, command: &Command) {
        let mut line = serde_json::to_string(command).expect("a command is JSON");
        line.push('\n');
        let mut stdin = self.workers[process].stdin.as_ref().expect("nobody tells the dead");
        stdin.write_all(line.as_bytes()).expect("the worker reads");
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

    pub(super) fn find<T>(&self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
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
        (worker.stdin, worker.proxy) = (None, None);
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

    /// Waits until all calls of a worker have ended.
    pub(super) fn all_end(&self, process: usize) {
        self.until(&format!("all calls of worker {process} end"), |events| {
            checker::pending(events, process).is_empty()
        });
    }

    /// Ends the fleet, waiting for all calls, and judges what has happened.
    pub(super) fn dismiss(self) {
        for process in self.living() {
            self.all_end(process);
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
