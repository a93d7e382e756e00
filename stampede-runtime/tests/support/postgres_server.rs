//! A real PostgreSQL with pgvector of a test's own: on a free port, in a folder of its own, killed by its own process number.
//! One server for all tests of a program that do it no harm, with a database for each; and others, to be killed and stopped.
//!
//! `STAMPEDE_POSTGRES` names the folder of the programs, with `bin` in it; else that is `.servers/postgres`, which
//! `scripts/test` fetches, or one of the system's that has pgvector. Where there is none, a test says so in one line and is
//! over, unless `STAMPEDE_TEST_SERVERS=required`.

// Each test uses a part of it.
#![allow(dead_code)]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take to start, and anything else that happens quickly or not at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The server refuses to run as root; then it runs as whoever this is: nobody, on most systems.
const NOBODY: u32 = 65_534;

/// Where programs that were put into a folder find their libraries.
const LIBRARIES: &str = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };

pub(crate) struct PostgresServer {
    /// Where its programs are.
    programs: PathBuf,
    folder: PathBuf,
    settings: Vec<String>,
    port: u16,
    keeper: Option<Child>,
}

/// Runs the server, and ends it when this process is gone, however that came. Then its folder goes, too, unless it is told
/// that the server is to start again.
const KEEPER: &str = r#"folder=$1; shift
"$@" </dev/null >>"$folder/log" 2>&1 &
server=$!
if read -r _; then :; else forget=1; fi
kill -QUIT "$server"; wait "$server"
if [ "$forget" ]; then rm -rf "$folder"; fi"#;

impl PostgresServer {
    /// A server, or a line that says what is skipped for want of one.
    pub(crate) fn start(test: &str) -> Option<PostgresServer> {
        PostgresServer::start_with(test, &[])
    }

    /// The same with settings such as `max_connections=5`.
    pub(crate) fn start_with(test: &str, settings: &[&str]) -> Option<PostgresServer> {
        let server = PostgresServer::begin(settings);
        if server.is_none() {
            skipped(test, "there is no PostgreSQL with pgvector: `scripts/test` fetches one");
        }
        server
    }

    fn begin(settings: &[&str]) -> Option<PostgresServer> {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let folder = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("stampede-postgres-{}-{folder}", std::process::id()));
        let programs = programs()?;
        std::fs::create_dir_all(&folder).expect("a folder for a server");
        let is_root = std::fs::metadata(&folder).expect("it has been made").uid() == 0;
        if is_root {
            chown(&folder, Some(NOBODY), Some(NOBODY)).expect("root may do this");
        }
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let mut server = PostgresServer { programs, folder, settings, port: 0, keeper: None };
        if is_root && !server.can_be_run() {
            server.take_programs_along();
        }
        let data = server.data();
        let mut made = server.command("initdb");
        made.arg("-D").arg(data).args(["-U", "postgres", "-A", "trust"]);
        let made = made.args(["-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"]).output();
        let made = made.expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", text(&made));
        // Somebody else may take the port in between.
        for _ in 0..5 {
            server.port = free_port();
            if server.run() {
                return Some(server);
            }
        }
        panic!("PostgreSQL does not start: {}", server.log());
    }

    /// Whether it may run what is there as nobody.
    fn can_be_run(&self) -> bool {
        self.command("postgres").arg("--version").output().is_ok_and(|output| output.status.success())
    }

    /// Below a folder that is root's alone nobody finds them.
    fn take_programs_along(&mut self) {
        let own = self.folder.join("programs");
        let copied = Command::new("cp").arg("-R").arg(&self.programs).arg(&own).status().expect("cp runs");
        assert!(copied.success());
        self.programs = own;
    }

    /// One of its programs, as the one who may run it, with its own settings and none of the user's.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join("bin").join(program));
        self.of_its_own(&mut command);
        command
    }

    fn of_its_own(&self, command: &mut Command) {
        command.stdin(Stdio::null()).current_dir(&self.folder).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C").env("HOME", &self.folder);
        command.env(LIBRARIES, self.programs.join("lib"));
        if std::fs::metadata(&self.folder).is_ok_and(|folder| folder.uid() == NOBODY) {
            command.uid(NOBODY).gid(NOBODY);
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn run(&mut self) -> bool {
        let mut command = Command::new("sh");
        self.of_its_own(&mut command);
        command.args(["-c", KEEPER, "keeper"]).arg(&self.folder);
        command.arg(self.programs.join("bin/postgres")).arg("-D").arg(self.data());
        let port = format!("port={}", self.port);
        let fixed = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=200"];
        for setting in fixed.into_iter().chain([port.as_str()]).chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        let seen = self.log().len();
        let keeper = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.keeper = Some(keeper.expect("sh runs"));
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.status().is_some_and(|(_, is_ready)| is_ready) {
                return true;
            }
            // The port is somebody else's, or one that worked for a server that was killed has not ended yet.
            if self.log()[seen..].contains("LOG:  database system is shut down") {
                self.end("end\n");
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("PostgreSQL does not answer: {}", self.log());
    }

    /// Its process, and whether it takes connections, as it writes it down itself.
    fn status(&self) -> Option<(u32, bool)> {
        let lines = std::fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        let lines: Vec<_> = lines.lines().map(str::trim).collect();
        let is_ours = lines.get(3) == Some(&self.port.to_string().as_str());
        Some((lines.first()?.parse().ok()?, is_ours && lines.get(7) == Some(&"ready")))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        self.url_of("postgres", "postgres")
    }

    pub(crate) fn url_of(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// `kill -9`, of the server and of all that works for it. What it had written is there when it starts again.
    pub(crate) fn kill(&mut self) {
        self.signal("-KILL");
        self.end("again\n");
        let _ = std::fs::remove_file(self.data().join("postmaster.pid"));
    }

    fn end(&mut self, told: &str) {
        if let Some(mut keeper) = self.keeper.take() {
            let mut told_to = keeper.stdin.take().expect("it is piped");
            let _ = told_to.write_all(told.as_bytes());
            drop(told_to);
            let _ = keeper.wait();
        }
    }

    /// Starts it again, on the same port, with what it had written.
    pub(crate) fn restart(&mut self) {
        let begun = Instant::now();
        // What worked for the one before may still be about to end.
        while !self.run() {
            assert!(begun.elapsed() < PATIENCE, "the port is taken: {}", self.log());
        }
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
        let (server, _) = self.status().expect("the server runs");
        let mut all = vec![server.to_string()];
        all.extend(children(server).iter().map(u32::to_string));
        // One that has just ended by itself does not matter.
        let _ = Command::new("kill").arg(signal).args(&all).stderr(Stdio::null()).status().expect("kill runs");
    }

    /// Runs SQL past what is tested, and gives its rows as lines.
    ///
    /// # Panics
    /// When it fails.
    pub(crate) fn ask(&self, database: &str, sql: &str) -> String {
        let output = self.psql("postgres", database, sql);
        assert!(output.status.success(), "{sql}: {}", text(&output));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Runs SQL as a user.
    pub(crate) fn psql(&self, user: &str, database: &str, sql: &str) -> Output {
        let mut command = self.command("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", "-d", &self.url_of(user, database)]);
        let mut psql =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql runs");
        psql.stdin.take().expect("it is piped").write_all(sql.as_bytes()).expect("psql reads");
        psql.wait_with_output().expect("psql ends")
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            // It may have been stopped.
            if let Some((server, _)) = self.status() {
                let _ = Command::new("kill").args(["-CONT", &server.to_string()]).stderr(Stdio::null()).status();
            }
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A database of a test's own, on the server of all tests of a program.
pub(crate) struct Database {
    server: &'static PostgresServer,
    name: String,
}

impl Database {
    /// An empty one, or a line that says what is skipped for want of a server.
    pub(crate) fn new(test: &str) -> Option<Database> {
        static SERVER: LazyLock<Option<PostgresServer>> = LazyLock::new(|| PostgresServer::begin(&[]));
        static DATABASES: AtomicU32 = AtomicU32::new(0);
        let Some(server) = &*SERVER else {
            skipped(test, "there is no PostgreSQL with pgvector: `scripts/test` fetches one");
            return None;
        };
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        server.ask("postgres", &format!("CREATE DATABASE {name}"));
        Some(Database { server, name })
    }

    pub(crate) fn server(&self) -> &'static PostgresServer {
        self.server
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn url(&self) -> String {
        self.server.url_of("postgres", &self.name)
    }

    /// The url of another user.
    pub(crate) fn url_of(&self, user: &str) -> String {
        self.server.url_of(user, &self.name)
    }

    /// Runs SQL in it, as [`PostgresServer::ask`].
    pub(crate) fn ask(&self, sql: &str) -> String {
        self.server.ask(&self.name, sql)
    }
}

/// The processes that another has begun.
fn children(of: u32) -> Vec<u32> {
    let listed = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
    let pairs: Vec<(u32, u32)> = match listed {
        Ok(listed) if listed.status.success() => {
            listed.stdout.lines().map_while(Result::ok).filter_map(|line| pair(&line)).collect()
        }
        // A small system has no `ps`.
        _ => processes(),
    };
    pairs.into_iter().filter(|(_, parent)| *parent == of).map(|(process, _)| process).collect()
}

fn pair(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn processes() -> Vec<(u32, u32)> {
    let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let told = folders.filter_map(|folder| std::fs::read_to_string(folder.path().join("stat")).ok());
    // `12 (a name) S 1 …`
    let read = |stat: String| {
        let (start, rest) = (stat.split_once(' ')?.0.to_owned(), stat.rsplit_once(')')?.1.to_owned());
        pair(&format!("{start} {}", rest.split_whitespace().nth(1)?))
    };
    told.filter_map(read).collect()
}

/// The folder of the programs.
fn programs() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("STAMPEDE_POSTGRES") {
        return Some(named.into());
    }
    // Of the package of the tests, which is in the repository or is all of it.
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().take(2);
    let mut folders: Vec<_> = repository.map(|folder| folder.join(".servers/postgres")).collect();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(versions.map(|version| version.path()));
    folders.into_iter().find(|folder| has_pgvector(folder))
}

fn has_pgvector(folder: &Path) -> bool {
    let is_program = |file: PathBuf| file.metadata().is_ok_and(|file| file.permissions().mode() & 0o111 != 0);
    let mut shared = Command::new(folder.join("bin/pg_config"));
    let shared = shared.env(LIBRARIES, folder.join("lib")).arg("--sharedir").output();
    is_program(folder.join("bin/postgres"))
        && shared.is_ok_and(|shared| {
            let shared = String::from_utf8_lossy(&shared.stdout).trim().to_owned();
            Path::new(&shared).join("extension/vector.control").is_file()
        })
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

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
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
