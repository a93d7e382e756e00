//! A real server of a test's own: on a free port, in a folder of its own, killed by its own process number.
//!
//! `STAMPEDE_REDIS_SERVER` names the program; else `redis-server` or `valkey-server` is taken from the `PATH`. Where there
//! is none, a test says so in one line and is over, unless `STAMPEDE_TEST_SERVERS=required`.

// Each test uses a part of it.
#![allow(dead_code)]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take to start, and anything else that happens quickly or not at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct RedisServer {
    program: PathBuf,
    arguments: Vec<String>,
    /// What it watches over, as a sentinel's configuration says, where it is one.
    watches: Option<String>,
    port: u16,
    folder: PathBuf,
    child: Option<Child>,
}

impl RedisServer {
    /// A server, or a line that says what is skipped for want of one.
    pub(crate) fn start(test: &str) -> Option<RedisServer> {
        RedisServer::start_with(test, |_| Vec::new())
    }

    /// The same with more arguments, which may name files in the server's folder, and ask for no password.
    pub(crate) fn start_with(test: &str, arguments: impl FnOnce(&Path) -> Vec<String>) -> Option<RedisServer> {
        RedisServer::of(test, None, arguments)
    }

    /// A sentinel with these lines of configuration.
    pub(crate) fn start_sentinel(test: &str, watches: &str) -> Option<RedisServer> {
        RedisServer::of(test, Some(watches.to_owned()), |_| Vec::new())
    }

    fn of(test: &str, watches: Option<String>, arguments: impl FnOnce(&Path) -> Vec<String>) -> Option<RedisServer> {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let Some(program) = program() else {
            skipped(test, "there is no redis-server and no valkey-server");
            return None;
        };
        let folder = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("stampede-redis-{}-{folder}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for a server");
        let arguments = arguments(&folder);
        let mut server = RedisServer { program, arguments, watches, port: 0, folder, child: None };
        // Somebody else may take the port in between.
        for _ in 0..5 {
            server.port = free_port();
            if server.run() {
                return Some(server);
            }
        }
        panic!("{} does not start: {}", server.program.display(), server.log());
    }

    fn run(&mut self) -> bool {
        let port = self.port.to_string();
        let folder = self.folder.display().to_string();
        let log = self.folder.join("log").display().to_string();
        let mut command = Command::new(&self.program);
        if let Some(watches) = &self.watches {
            let file = self.folder.join("sentinel.conf");
            // It notes there what it learns.
            if !file.exists() {
                std::fs::write(&file, watches).expect("the folder can be written to");
            }
            command.arg(file).arg("--sentinel");
        }
        command.args(["--port", &port, "--bind", "127.0.0.1", "--dir", &folder, "--logfile", &log]);
        if self.watches.is_none() {
            command.args(["--save", "", "--appendonly", "no", "--enable-debug-command", "yes"]);
        }
        command.args(&self.arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.expect("the server's program runs"));
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|end| end.is_some())) {
                self.child = None;
                return false;
            }
            // It has to be this one that answers: where the port is another's, ours is about to end.
            let itself = self.child.as_ref().map(|child| format!("process_id:{}", child.id()));
            let info = self.answer(&["INFO", "server"]).unwrap_or_default();
            if info.lines().any(|line| Some(line) == itself.as_deref()) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} does not answer: {}", self.program.display(), self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The url of a user.
    pub(crate) fn url_of(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// `kill -9`, and what it held is lost.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again, empty, on the same port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.run(), "the port is taken: {}", self.log());
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Stops it as it stands: connections stay and nothing answers.
    pub(crate) fn stop(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("the server runs").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    }

    /// Asks the server, past what is tested. Arrays come as lines.
    ///
    /// # Panics
    /// When it answers with an error.
    pub(crate) fn ask(&self, command: &[&str]) -> String {
        let answer = self.try_asking(command);
        assert!(!answer.starts_with('-'), "{command:?}: {answer}");
        answer
    }

    /// The same; an error is an answer that begins with `-`.
    pub(crate) fn try_asking(&self, command: &[&str]) -> String {
        self.answer(command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// The same where the server may hang up.
    pub(crate) fn answer(&self, command: &[&str]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for part in command {
            bytes.extend_from_slice(format!("${}\r\n{part}\r\n", part.len()).as_bytes());
        }
        stream.write_all(&bytes)?;
        read(&mut BufReader::new(stream))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn read(from: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end();
    let count = line[1..].parse::<usize>();
    match (line.as_bytes()[0], count) {
        (b'$', Ok(length)) => {
            let mut bytes = vec![0; length + 2];
            from.read_exact(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
        }
        (b'*', Ok(count)) => {
            let parts: std::io::Result<Vec<_>> = (0..count).map(|_| read(from)).collect();
            Ok(parts?.join("\n"))
        }
        // Nothing.
        (b'$' | b'*', Err(_)) => Ok(String::new()),
        (b'-', _) => Ok(line.to_owned()),
        _ => Ok(line[1..].to_owned()),
    }
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("STAMPEDE_REDIS_SERVER") {
        return Some(named.into());
    }
    ["redis-server", "valkey-server"].into_iter().find_map(in_path)
}

/// A port that nobody listens on. Not one that the system hands out by itself: a client that tries again and again while
/// its server is down would some day be given that, and talk to itself.
pub(crate) fn free_port() -> u16 {
    loop {
        let random = RandomState::new().build_hasher().finish();
        let port = 10_000 + u16::try_from(random % 20_000).expect("it is small");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Where a program is.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Says that a test is skipped, and why.
///
/// # Panics
/// When none may be.
pub(crate) fn skipped(test: &str, why: &str) {
    let is_required = std::env::var("STAMPEDE_TEST_SERVERS").is_ok_and(|value| value == "required");
    assert!(!is_required, "`{test}` cannot run: {why}");
    // Past the harness, which shows nothing of a test that passes.
    let _ = writeln!(std::io::stderr(), "skipped `{test}`: {why}");
}
