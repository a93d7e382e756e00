//! One question is one execution, however many processes ask it, and what tests of meanings share.

use std::thread::{self, JoinHandle};

use stampede_runtime::semantic::PgvectorIndex;
use tokio::runtime::Builder;

use super::directions::DIMENSIONS;
use super::events::{Got, Setup, Task, What};
use super::host::Fleet;
use crate::postgres_server::{Database, PostgresServer};
use crate::redis_server::RedisServer;

/// What is outside of the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Servers {
    Both,
    Redis,
    Postgres,
}

impl Servers {
    pub(super) const ALL: [Servers; 3] = [Servers::Both, Servers::Redis, Servers::Postgres];

    pub(super) fn has_redis(self) -> bool {
        self != Servers::Postgres
    }

    pub(super) fn has_postgres(self) -> bool {
        self != Servers::Redis
    }
}

/// A fleet with these servers, or a line that says why there is none.
pub(super) fn start(name: &str, servers: Servers, workers: usize, setup: &Setup) -> Option<Fleet> {
    let redis = if servers.has_redis() { Some(RedisServer::start(name)?) } else { None };
    let database = if servers.has_postgres() { Some(Database::new(name)?) } else { None };
    let postgres = database.as_ref().map(Database::url);
    if let Some(url) = &postgres {
        make_schema(url);
    }
    let setup = Setup { postgres, ..setup.clone() };
    let mut fleet = Fleet::of(&format!("{name}, {servers:?}"), redis, workers, &setup);
    fleet.database = database;
    Some(fleet)
}

/// Makes the table.
pub(super) fn make_schema(url: &str) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let index = PgvectorIndex::builder(url).dimensions(DIMENSIONS).build().expect("the url is right");
    runtime.block_on(index.ensure_schema()).expect("the table can be made");
}

/// The entries that a query for them gives, as question and number of the execution.
pub(super) const KEPT: &str = "SELECT query_normalized || ' = ' || (response::json->>'number') FROM semantic_cache \
     WHERE response IS NOT NULL AND kept_until > now() ORDER BY 1";

impl Fleet {
    pub(super) fn database(&self) -> &Database {
        self.database.as_ref().expect("this fleet has a database")
    }

    /// What PostgreSQL keeps, if there is one: question and number.
    pub(super) fn kept(&self) -> Vec<String> {
        let kept = self.database.as_ref().map(|database| database.ask(KEPT)).unwrap_or_default();
        kept.lines().map(ToOwned::to_owned).collect()
    }

    /// Whether PostgreSQL keeps this value.
    pub(super) fn keeps(&self, got: &Got) -> bool {
        let Some(number) = got.number() else { return false };
        self.kept().iter().any(|kept| kept.ends_with(&format!("= {number}")))
    }

    /// One call of a process whose value then is where it belongs.
    pub(super) fn ask(&self, process: usize, question: &str) -> Got {
        let call = self.call(process, "meaning", question, 1, &Task::value(0));
        let got = self.got(call[0]);
        let _ = self.stats(process, "meaning");
        got
    }

    /// How often an embedder was asked for each question.
    pub(super) fn embedded(&self) -> Vec<String> {
        let of = |event: &super::events::Event| match &event.what {
            What::Embeds { questions } => questions.clone(),
            _ => Vec::new(),
        };
        self.events().iter().flat_map(of).collect()
    }

    /// What a worker counted of meanings, once nothing is under way there.
    pub(super) fn counted<const N: usize>(&self, process: usize, fields: [&str; N]) -> [u64; N] {
        let stats = self.stats(process, "meaning");
        stats.add_up();
        fields.map(|field| stats.of(&format!("semantic.{field}")))
    }
}

/// While it lives, PostgreSQL is read and nobody can write.
pub(super) struct Held {
    server: &'static PostgresServer,
    database: String,
    holder: Option<JoinHandle<()>>,
}

impl Held {
    pub(super) fn hold(fleet: &Fleet) -> Held {
        let (server, database) = (fleet.database().server(), fleet.database().name().to_owned());
        server.ask(&database, "CREATE TABLE IF NOT EXISTS go_on (); TRUNCATE go_on");
        let name = database.clone();
        let holder = thread::spawn(move || {
            server.ask(
                &name,
                "BEGIN; LOCK TABLE semantic_cache IN SHARE MODE; \
                 DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM go_on) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$; COMMIT",
            );
        });
        let held = Held { server, database, holder: Some(holder) };
        fleet.again_until("the table is held", || held.locks("granted AND mode = 'ShareLock'") == "1");
        held
    }

    fn locks(&self, which: &str) -> String {
        let of_table = "SELECT count(*) FROM pg_locks WHERE relation = 'semantic_cache'::regclass AND ";
        self.server.ask(&self.database, &format!("{of_table}{which}"))
    }

    /// Whether somebody wants to write.
    pub(super) fn is_wanted(&self) -> bool {
        self.locks("NOT granted") != "0"
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(holder) = self.holder.take() {
            self.server.ask(&self.database, "INSERT INTO go_on DEFAULT VALUES");
            let _ = holder.join();
        }
    }
}

#[test]
fn one_question_is_one_execution_and_one_embedding() {
    for servers in Servers::ALL {
        let Some(fleet) = start("one question", servers, 4, &Setup::default()) else { return };
        let calls = fleet.call_all("meaning", "@0 one", 100, &Task::value(400));
        let got = fleet.got_all(calls);
        // Nothing but a lease tells the processes of one another.
        let most = if servers.has_redis() { 1 } else { 4 };
        let numbers = fleet.numbers("@0 one");
        assert!((1..=most).contains(&numbers.len()), "{}", fleet.story());
        assert!(got.iter().all(|got| matches!(got, Got::Value(made) if numbers.contains(&made.number))), "{got:?}");
        let embedded = fleet.embedded();
        assert!(embedded.len() <= most && embedded.len() >= numbers.len(), "{embedded:?}");
        for process in 0..4 {
            let stats = fleet.stats(process, "meaning");
            stats.add_up();
            assert_eq!(stats.of("requests"), 100);
            let failures = ["bypassed", "refused", "errors", "backend_failures", "semantic.index_failures"];
            assert_eq!(failures.map(|field| stats.of(field)), [0; 5], "{}", *stats);
        }
        assert_eq!(fleet.total("meaning", "executions"), numbers.len() as u64);
        assert_eq!(fleet.total("meaning", "embeddings_generated"), embedded.len() as u64);
        let writes = fleet.total("meaning", "semantic.index_writes");
        assert!((1..=numbers.len() as u64).contains(&writes), "{writes}");
        // Of several that began at about the same moment one is kept.
        let kept = fleet.fresh(0, "meaning", "@0 one", &Task::value(0)).number().expect("it is a value");
        assert!(numbers.contains(&kept), "{}", fleet.story());
        if servers.has_postgres() {
            assert_eq!(fleet.kept(), [format!("@0 one = {kept}")]);
        }
        fleet.dismiss();
    }
}

#[test]
fn so_are_many_questions_at_once() {
    for servers in Servers::ALL {
        let Some(fleet) = start("many questions", servers, 3, &Setup::default()) else { return };
        // None is near to another, and neither are those of other tenants.
        let questions: Vec<_> = (0..60).map(|number| format!("t{}/@{} q", number / 12, (number % 12) * 30)).collect();
        let calls: Vec<_> =
            questions.iter().flat_map(|question| fleet.call_all("meaning", question, 3, &Task::value(100))).collect();
        let got = fleet.got_all(calls);
        assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
        let most = if servers.has_redis() { 1 } else { 3 };
        for question in &questions {
            assert!((1..=most).contains(&fleet.executions(question)), "{question}\n{}", fleet.story());
        }
        for process in 0..3 {
            let stats = fleet.stats(process, "meaning");
            stats.add_up();
            assert_eq!(stats.of("requests"), 180);
            assert_eq!(stats.of("semantic.joined"), 0, "{}", *stats);
            // Where nobody has a lease, another process may have put in the very question after one had looked for it.
            assert!(stats.of("semantic_hits") == 0 || !servers.has_redis(), "{}", *stats);
        }
        if servers.has_postgres() {
            assert_eq!(fleet.kept().len(), 60);
        }
        fleet.dismiss();
    }
}

#[test]
fn an_error_is_for_those_who_wait_and_is_kept_nowhere() {
    let Some(fleet) = start("an error", Servers::Both, 3, &Setup::default()) else { return };
    let mut calls = fleet.call(0, "meaning", "@0 one", 3, &Task::error(0).gated());
    fleet.started("@0 one", 1);
    // Near to it, in the same process; and the same question, in the others.
    calls.extend(fleet.call(0, "meaning", "@15 other", 3, &Task::error(0)));
    // Which they do when nothing near has been found.
    fleet.again_until("they have met", || fleet.stats_now(0, "meaning").of("semantic.index_time.count") == 2);
    for process in 1..3 {
        calls.extend(fleet.call(process, "meaning", "@0 one", 3, &Task::error(0)));
    }
    fleet.waiting(2);
    fleet.open(0);
    let got = fleet.got_all(calls);
    assert!(got.iter().all(|got| matches!(got, Got::Error(broken) if broken.number == 1)), "{got:?}");
    assert_eq!(fleet.executions("@15 other"), 0);
    assert_eq!(fleet.counted(0, ["joined"]), [1], "its three calls look once");
    let _ = fleet.stats(0, "meaning");
    assert!(fleet.kept().is_empty(), "{:?}", fleet.kept());
    for (number, question) in (2..).zip(["@0 one", "@15 other"]) {
        assert_eq!(fleet.fresh(2, "meaning", question, &Task::error(0)).number(), Some(number), "{}", fleet.story());
    }
    fleet.dismiss();
}
