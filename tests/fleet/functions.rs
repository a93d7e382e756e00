//! What workers call, and what its bodies do.

use std::convert::Infallible;
use std::fs::OpenOptions;
use std::future::pending;
use std::io::{Seek as _, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stampede_runtime::{Error, Invalidation, distributed_coalesce, semantic_coalesce};

use super::directions::{direction, question, tenant};
use super::events::{Broken, Does, Event, Got, Made, Setup, Task, What};

pub(super) static SETUP: OnceLock<Setup> = OnceLock::new();
/// Whether bodies may pass that wait for it.
pub(super) static GATE: AtomicBool = AtomicBool::new(false);
const LOOK: Duration = Duration::from_millis(5);

/// An error that goes to other processes as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Fault {
    Own(Broken),
    Theirs(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Theirs(format!("{error:?}"))
    }
}

#[distributed_coalesce(namespace = "whole", skip(task))]
pub(super) async fn whole(key: String, task: Task) -> Result<Made, Fault> {
    body(&key, &task).await.map(expected).map_err(Fault::Own)
}

#[distributed_coalesce(namespace = "texts", skip(task))]
pub(super) async fn texts(key: String, task: Task) -> anyhow::Result<Made> {
    body(&key, &task).await.map(expected).map_err(as_text)
}

#[distributed_coalesce(namespace = "maybe", skip(task))]
pub(super) async fn maybe(key: String, task: Task) -> Option<Made> {
    body(&key, &task).await.expect("this function has no errors")
}

#[distributed_coalesce(namespace = "unit", skip(task))]
pub(super) async fn unit(key: String, task: Task) {
    _ = body(&key, &task).await;
}

#[distributed_coalesce(namespace = "passing", ttl = none, skip(task))]
pub(super) async fn passing(key: String, task: Task) -> Result<Made, Fault> {
    body(&key, &task).await.map(expected).map_err(Fault::Own)
}

#[distributed_coalesce(namespace = "passing unit", ttl = none, skip(task))]
pub(super) async fn passing_unit(key: String, task: Task) {
    _ = body(&key, &task).await;
}

#[distributed_coalesce(namespace = "finishing", on_abandon = "finish", skip(task))]
pub(super) async fn finishing(key: String, task: Task) -> Result<Made, Fault> {
    body(&key, &task).await.map(expected).map_err(Fault::Own)
}

#[distributed_coalesce(namespace = "attached", attached, skip(task))]
pub(super) async fn attached(key: String, task: Task) -> Result<Made, Fault> {
    body(&key, &task).await.map(expected).map_err(Fault::Own)
}

#[distributed_coalesce(namespace = "sync", skip(task))]
pub(super) fn sync(key: String, task: Task) -> Result<Made, Fault> {
    let number = start(&key);
    thread::sleep(Duration::from_millis(task.millis));
    while task.is_gated && !GATE.load(SeqCst) {
        thread::sleep(LOOK);
    }
    end(&key, &task, number).map(expected).map_err(Fault::Own)
}

#[semantic_coalesce(namespace = "meaning", query = question, tenant = tenant, guard = none, embed = compass, skip(task))]
pub(super) async fn meaning(tenant: String, question: String, task: Task) -> Result<Made, Fault> {
    let key = if tenant.is_empty() { question } else { format!("{tenant}/{question}") };
    body(&key, &task).await.map(expected).map_err(Fault::Own)
}

async fn compass(questions: Vec<String>) -> Result<Vec<Vec<f32>>, Infallible> {
    report(What::Embeds { questions: questions.clone() });
    Ok(questions.iter().map(|question| direction(question)).collect())
}

/// Of a service that has a function of this name, too, and means something else by it.
mod theirs {
    use super::*;

    #[derive(Clone, Serialize, Deserialize)]
    pub(super) struct Priced {
        process: usize,
        number: String,
        padding: f64,
    }

    #[distributed_coalesce(namespace = "whole", skip(task))]
    pub(super) async fn whole(key: String, task: Task) -> Result<Priced, Fault> {
        let made = body(&key, &task).await.map(expected).map_err(Fault::Own)?;
        Ok(Priced { process: made.process, number: made.number.to_string(), padding: 0.5 })
    }

    impl Priced {
        pub(super) fn made(self) -> Made {
            let number = self.number.parse().expect("it was a number");
            Made { process: self.process, number, padding: String::new() }
        }
    }
}

/// A value that panics when it is written or read, if its key says so.
#[derive(Clone)]
struct Fragile {
    made: Made,
    breaks: String,
}

impl Serialize for Fragile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!self.breaks.contains("written"), "on purpose: written");
        (&self.made, &self.breaks).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fragile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fragile, D::Error> {
        let (made, breaks): (Made, String) = Deserialize::deserialize(deserializer)?;
        assert!(!breaks.contains("read"), "on purpose: read");
        Ok(Fragile { made, breaks })
    }
}

#[distributed_coalesce(
    namespace = "fragile", key(asked_for(&key)), cache_if = |value: &Fragile| is_to_be_kept(value)
)]
async fn fragile(key: String, task: Task) -> Result<Fragile, Fault> {
    let made = body(&key, &task).await.map(expected).map_err(Fault::Own)?;
    Ok(Fragile { made, breaks: key })
}

fn asked_for(key: &str) -> String {
    assert!(!key.contains("asked"), "on purpose: asked");
    key.to_owned()
}

fn is_to_be_kept(value: &Fragile) -> bool {
    assert!(!value.breaks.contains("looked at"), "on purpose: looked at");
    true
}

/// Calls a function by its name.
pub(super) async fn call(function: String, key: String, task: Task) -> Got {
    match &*function {
        "whole" => of_result(whole(key, task).await),
        "texts" => match texts(key, task).await {
            Ok(made) => Got::Value(made),
            Err(error) => of_error(&error),
        },
        "maybe" => maybe(key, task).await.map_or(Got::Nothing, Got::Value),
        "unit" => {
            unit(key, task).await;
            Got::Unit
        }
        "passing" => of_result(passing(key, task).await),
        "finishing" => of_result(finishing(key, task).await),
        "meaning" => of_result(meaning(tenant(&key), question(&key), task).await),
        "attached" => of_result(attached(key, task).await),
        "theirs" => of_result(theirs::whole(key, task).await.map(theirs::Priced::made)),
        "fragile" => of_result(fragile(key, task).await.map(|fragile| fragile.made)),
        "passing_unit" => {
            passing_unit(key, task).await;
            Got::Unit
        }
        "sync" => of_result(tokio::task::spawn_blocking(|| sync(key, task)).await.expect("it returns")),
        _ => panic!("there is no function `{function}`"),
    }
}

/// Takes a key of a function out; all of them, where none is named.
pub(super) fn take_out(function: &str, key: Option<String>) -> Invalidation {
    match (function, key) {
        ("whole", Some(key)) => whole::invalidate(key),
        ("whole", None) => whole::clear(),
        ("meaning", Some(key)) => meaning::invalidate(tenant(&key), question(&key)),
        ("meaning", None) => meaning::clear(),
        _ => panic!("nothing is taken out of `{function}`"),
    }
}

/// Makes a value anew.
pub(super) async fn refresh(function: &str, key: String, task: Task) -> Got {
    match function {
        "whole" => of_result(whole::refresh(key, task).await),
        "meaning" => of_result(meaning::refresh(tenant(&key), question(&key), task).await),
        _ => panic!("nothing is made anew in `{function}`"),
    }
}

/// Puts a value in.
pub(super) fn insert(function: &str, key: String, value: Made) {
    match function {
        "whole" => whole::insert(key, value),
        "meaning" => meaning::insert(tenant(&key), question(&key), value),
        _ => panic!("nothing is put into `{function}`"),
    }
}

pub(super) fn stats(function: &str) -> serde_json::Value {
    let stats = match function {
        "whole" => whole::stats(),
        "texts" => texts::stats(),
        "maybe" => maybe::stats(),
        "unit" => unit::stats(),
        "passing" => passing::stats(),
        "finishing" => finishing::stats(),
        "meaning" => meaning::stats(),
        "attached" => attached::stats(),
        "theirs" => theirs::whole::stats(),
        "fragile" => fragile::stats(),
        "passing_unit" => passing_unit::stats(),
        "sync" => sync::stats(),
        _ => panic!("there is no function `{function}`"),
    };
    serde_json::to_value(stats).expect("stats are JSON")
}

pub(super) fn of_result(result: Result<Made, Fault>) -> Got {
    match result {
        Ok(made) => Got::Value(made),
        Err(Fault::Own(broken)) => Got::Error(broken),
        Err(Fault::Theirs(text)) => Got::Refused(text),
    }
}

fn of_error(error: &anyhow::Error) -> Got {
    let text = error.to_string();
    let number = text.rsplit(' ').next().and_then(|word| word.parse().ok());
    let causes = error.chain().skip(1).map(ToString::to_string).collect();
    match number {
        Some(number) => Got::Error(Broken { number, text, causes }),
        None => Got::Refused(text),
    }
}

fn as_text(broken: Broken) -> anyhow::Error {
    let mut causes = broken.causes.into_iter().rev();
    let error = anyhow::Error::msg(causes.next().expect("there is a cause"));
    causes.fold(error, anyhow::Error::context).context(broken.text)
}

fn expected(made: Option<Made>) -> Made {
    made.expect("only some functions make nothing")
}

async fn body(key: &str, task: &Task) -> Result<Option<Made>, Broken> {
    let number = start(key);
    tokio::time::sleep(Duration::from_millis(task.millis)).await;
    while task.is_gated && !GATE.load(SeqCst) {
        tokio::time::sleep(LOOK).await;
    }
    if let Some(inner) = task.inner.clone() {
        // What comes of it is reported by those who call it themselves.
        let _: Result<Made, Fault> = Box::pin(whole(inner, Task::value(0))).await;
    }
    if task.does == Does::Hang {
        pending::<()>().await;
    }
    end(key, task, number)
}

fn start(key: &str) -> u64 {
    let number = next_number();
    report(What::Start { key: key.to_owned(), number });
    number
}

fn end(key: &str, task: &Task, number: u64) -> Result<Option<Made>, Broken> {
    report(What::End { key: key.to_owned(), number, does: task.does });
    match task.does {
        Does::Value | Does::Hang => Ok(Some(made(number, task.bytes))),
        Does::Nothing => Ok(None),
        Does::Error => Err(Broken {
            number,
            text: format!("no {key} from {number}"),
            causes: vec![format!("the cause of {number}"), format!("its root, {number}")],
        }),
        Does::Panic => panic!("on purpose: {number}"),
    }
}

pub(super) fn made(number: u64, bytes: usize) -> Made {
    Made { process: setup().process, number, padding: "x".repeat(bytes) }
}

pub(super) fn setup() -> &'static Setup {
    SETUP.get().expect("a worker is set up first")
}

/// Greater than any before, in all processes: each appends a byte to one file.
pub(super) fn next_number() -> u64 {
    let mut file = OpenOptions::new().append(true).open(&setup().counter).expect("the counter can be opened");
    file.write_all(b".").expect("the counter can be written");
    file.stream_position().expect("a file has a position")
}

/// Tells the host.
pub(super) fn report(what: What) {
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970").as_micros();
    let event = Event { process: setup().process, at: at.try_into().expect("it is not yet the year 586000"), what };
    let mut line = serde_json::to_string(&event).expect("an event is JSON");
    line.push('\n');
    let mut stdout = std::io::stdout().lock();
    // The host is gone when nobody reads; then so is the reason to go on.
    if stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(1);
    }
}
