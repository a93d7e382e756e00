//! The connection: one for all commands and messages, made at the first use, and made again when it breaks.
//!
//! ```text
//!            first use                 made                    broken, silent
//!  Quiet ──────────────▶ Connecting ────────▶ Up ─────────────────────┐
//!    ▲                    │      ▲────────────────────────────────────┘
//!    │ nobody asked       ▼ failed
//!    └─────────────────  Down ── tries again and again, ever less often ──▶ Up
//! ```
//!
//! Commands wait for an attempt only where none has failed yet. While the server is down they fail at once, and the
//! attempts go on behind them: one at a time, on the [`helper`], which outlives the runtimes that commands come from.
//! A command is sent from where it is called; only its bytes pass through the helper.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as SystemInstant};

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Pipeline, ProtocolVersion, PushInfo, PushKind,
    RedisError, RedisResult, ServerErrorKind,
};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::error::Failure;
use super::scripts::Call;
use super::sentinel::Sentinels;
use super::waiters::{NEWS, Waiters};
use crate::blocking::helper;
use crate::store::{BackendError, BackendErrorKind};

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Attempts end when nobody has asked for the server for so long. The next use begins anew.
pub(super) const QUIET_AFTER: Duration = Duration::from_secs(60);
/// A connection through which nothing has come for so long, though it was asked, is replaced: the other end may be gone
/// without a word. Short stalls stay below it, and cost no connection.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// So often a connection that carries news is asked whether it is still there.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Nobody has gone on without the first connection before that.
const AT_ONCE: Duration = Duration::from_millis(100);
/// A server that takes no writes may not be the one that the name means any more; so often it is looked up again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Commands that have been given to the connection and not yet been written.
const UNWRITTEN_MAX: usize = 1_000;

/// Ends everything that it began when it is dropped.
pub(super) struct Link {
    core: Arc<Core>,
    /// Of the attempts.
    supervisor: Mutex<Option<AbortHandle>>,
}

/// Where the server is.
pub(super) enum Place {
    Here(Client),
    /// Where the sentinels say that the master is.
    Master(Sentinels),
    /// Wherever this says, each time anew.
    Somewhere(Box<dyn Fn() -> Option<Client> + Send + Sync>),
}

/// How long anything may take.
#[derive(Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) connect: Duration,
    pub(super) response: Duration,
}

/// What comes through a connection besides answers.
#[derive(Clone, Copy)]
pub(super) struct Hears {
    /// What processes tell each other. Else that comes through another connection.
    pub(super) messages: bool,
    /// Every change of an entry, from the server.
    pub(super) changes: bool,
}

struct Core {
    place: Place,
    timeouts: Timeouts,
    hears: Hears,
    waiters: Arc<Waiters>,
    state: watch::Sender<State>,
    /// Somebody has asked since the last attempt.
    is_wanted: AtomicBool,
    /// There has been no attempt yet.
    is_first: AtomicBool,
}

#[derive(Clone)]
enum State {
    Quiet,
    Connecting,
    Up(Arc<Line>),
    Down(Failure),
}

/// One connection.
pub(super) struct Line {
    connection: MultiplexedConnection,
    response_timeout: Duration,
    /// Messages come through it, too.
    is_subscribed: bool,
    /// And those of all processes.
    hears_news: bool,
    /// On the system's clock: those who ask may be on one that a test has paused.
    since: SystemInstant,
    /// Told when it is of no use any more.
    lost: Arc<Notify>,
    /// When a command found no answer for the first time since there was one: milliseconds after `since`, or 0.
    silent_since: AtomicU64,
}

impl Link {
    pub(super) fn new(place: Place, timeouts: Timeouts, hears: Hears, waiters: Arc<Waiters>) -> Link {
        let core = Core {
            place,
            timeouts,
            hears,
            waiters,
            state: watch::Sender::new(State::Quiet),
            is_wanted: AtomicBool::new(false),
            is_first: AtomicBool::new(true),
        };
        Link { core: Arc::new(core), supervisor: Mutex::default() }
    }

    /// What the server tells before there is a connection is missed, and has to be made up for.
    pub(super) fn late(self) -> Link {
        self.core.is_first.store(false, Ordering::Relaxed);
        self
    }

    pub(super) fn waiters(&self) -> &Arc<Waiters> {
        &self.core.waiters
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(*self.core.state.borrow(), State::Up(_))
    }

    /// There is a connection, and the last that was asked through it was answered.
    pub(super) fn is_well(&self) -> bool {
        matches!(&*self.core.state.borrow(), State::Up(line) if line.silent_since.load(Ordering::Relaxed) == 0)
    }

    /// There was an attempt to connect, and whoever is asked now is not answered.
    pub(super) fn is_lost(&self) -> bool {
        !self.core.is_first.load(Ordering::Relaxed) && !self.is_well()
    }

    /// Sends a command.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, BackendError> {
        let line = self.line().await?;
        let mut connection = line.connection.clone();
        line.answered(command.query_async(&mut connection)).await
    }

    /// Sends several at once.
    pub(super) async fn ask_all<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, BackendError> {
        let line = self.line().await?;
        let mut connection = line.connection.clone();
        line.answered(commands.query_async(&mut connection)).await
    }

    /// Calls a script, which the server may have to be given first.
    pub(super) async fn call<T: FromRedisValue>(&self, call: &Call) -> Result<T, BackendError> {
        let line = self.line().await?;
        let mut connection = line.connection.clone();
        let called = async {
            match call.command().query_async(&mut connection).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    call.script().load_async(&mut connection).await?;
                    call.command().query_async(&mut connection).await
                }
                answer => answer,
            }
        };
        line.answered(called).await
    }

    /// The connection, if there is one or is soon.
    pub(super) async fn line(&self) -> Result<Arc<Line>, Failure> {
        if let State::Up(line) = &*self.core.state.borrow() {
            return Ok(Arc::clone(line));
        }
        let mut states = self.core.state.subscribe();
        loop {
            match &*states.borrow_and_update() {
                State::Up(line) => return Ok(Arc::clone(line)),
                State::Down(failure) => {
                    self.core.is_wanted.store(true, Ordering::Relaxed);
                    return Err(failure.clone());
                }
                State::Quiet | State::Connecting => {}
            }
            self.begin();
            states.changed().await.expect("the link owns the sender, and is borrowed here");
        }
    }

    /// Begins with the attempts, if nobody has.
    pub(super) fn begin(&self) {
        let is_first = self.core.state.send_if_modified(|state| {
            let is_quiet = matches!(state, State::Quiet);
            if is_quiet {
                *state = State::Connecting;
            }
            is_quiet
        });
        if is_first {
            let task = helper().spawn(supervise(Arc::clone(&self.core)));
            let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
            *supervisor = Some(task.abort_handle());
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let supervisor = self.supervisor.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(supervisor) = supervisor.take() {
            supervisor.abort();
        }
        if self.core.hears.messages {
            // Who still waits has to know that no message will come.
            self.core.waiters.hear(false);
            self.core.waiters.wake_all();
        }
    }
}

impl Line {
    pub(super) fn is_subscribed(&self) -> bool {
        self.is_subscribed
    }

    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// Waits for an answer as long as one may take, and takes note of it, or of none.
    async fn answered<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> Result<T, BackendError> {
        self.answered_within(self.response_timeout, answer).await
    }

    /// The same for so long.
    pub(super) async fn answered_within<T>(
        &self,
        most: Duration,
        answer: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, BackendError> {
        let Ok(answer) = timeout(most, answer).await else {
            self.silent();
            return Err(Failure::new(BackendErrorKind::TimedOut, "no answer in time").into());
        };
        if self.silent_since.load(Ordering::Relaxed) != 0 {
            self.silent_since.store(0, Ordering::Relaxed);
        }
        answer.map_err(|error| {
            let failure = Failure::from(&error);
            let may_be_another =
                failure.kind() == BackendErrorKind::ReadOnly && self.since.elapsed() > LOOK_AGAIN_AFTER;
            if error.is_unrecoverable_error() || may_be_another {
                self.lost.notify_one();
            }
            failure.into()
        })
    }

    fn silent(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let first = self.silent_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_err_and(|first| u128::from(now.saturating_sub(first)) > SILENCE_MAX.as_millis()) {
            self.lost.notify_one();
        }
    }
}

impl Core {
    /// Returns when a connection is lost. One that carries news is asked now and then whether it is still there: a process that
    /// has everything in memory would not notice.
    async fn watch(&self, line: &Line) {
        let mut lost = std::pin::pin!(line.lost.notified());
        loop {
            if timeout(HEARTBEAT, &mut lost).await.is_ok() {
                return;
            }
            if line.hears_news && self.waiters.news().has_listeners() {
                let mut connection = line.connection.clone();
                // What it means that there is no answer is noted there.
                let _ = line.answered::<()>(::redis::cmd("PING").query_async(&mut connection)).await;
            }
        }
    }
}

/// Keeps a connection up for as long as somebody wants it.
async fn supervise(core: Arc<Core>) {
    let mut pauses = Pauses::default();
    let mut wanted = Instant::now();
    // Nothing has been kept before that, and those who asked have waited for it.
    let begun = SystemInstant::now();
    loop {
        let pause = match attempt(&core).await {
            Ok(line) => {
                // Heard before anybody can ask through it, and woken after: what was told in between was told to nobody.
                if core.hears.messages {
                    core.waiters.hear(line.is_subscribed);
                }
                core.state.send_replace(State::Up(Arc::clone(&line)));
                if line.is_subscribed {
                    core.waiters.wake_all();
                }
                tracing::debug!(target: "stampede", wakes = line.is_subscribed, "connected to Redis");
                let is_first = core.is_first.swap(false, Ordering::Relaxed);
                // What a node was to tell when it died was perhaps told to nobody.
                let tells_elsewhere = !core.hears.messages && core.waiters.is_heard();
                if line.hears_news && !(is_first && begun.elapsed() < AT_ONCE) || tells_elsewhere && !is_first {
                    // What was told before is unknown.
                    core.waiters.news().lose();
                }
                core.watch(&line).await;
                if core.hears.messages {
                    core.waiters.hear(false);
                }
                tracing::debug!(target: "stampede", "the connection to Redis is lost");
                if line.since.elapsed() > PAUSE_MAX {
                    pauses = Pauses::default();
                }
                wanted = Instant::now();
                let pause = pauses.next();
                let lost = Failure::new(BackendErrorKind::Unreachable, "the connection was lost");
                core.state.send_replace(if pause.is_zero() { State::Connecting } else { State::Down(lost) });
                if line.is_subscribed {
                    core.waiters.wake_all();
                }
                pause
            }
            Err(failure) => {
                core.is_first.store(false, Ordering::Relaxed);
                tracing::debug!(target: "stampede", cause = failure.cause(), "no connection to Redis");
                core.state.send_replace(State::Down(failure));
                pauses.next()
            }
        };
        sleep(pause).await;
        if core.is_wanted.swap(false, Ordering::Relaxed) {
            wanted = Instant::now();
        }
        if wanted.elapsed() > QUIET_AFTER && !core.waiters.news().has_listeners() {
            core.state.send_replace(State::Quiet);
            return;
        }
    }
}

/// The pauses between attempts: none, and then ever longer ones. Different in each process, so that many do not come
/// back to a server at once.
#[derive(Default)]
pub(super) struct Pauses(u32);

impl Pauses {
    pub(super) fn next(&mut self) -> Duration {
        let attempts = self.0;
        self.0 += 1;
        if attempts == 0 {
            return Duration::ZERO;
        }
        let pause = Duration::from_millis(50).saturating_mul(1 << (attempts - 1).min(10)).min(PAUSE_MAX);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// One attempt, in a task of its own: what panics in it, such as encryption that was not built in, is one that failed.
async fn attempt(core: &Arc<Core>) -> Result<Arc<Line>, Failure> {
    let mut task = JoinSet::new();
    let of_task = Arc::clone(core);
    task.spawn(async move { of_task.connect().await });
    match timeout(core.timeouts.connect, task.join_next()).await {
        Ok(Some(Ok(line))) => line.map(Arc::new),
        Ok(_) => Err(Failure::new(BackendErrorKind::Other, "connecting failed")),
        Err(_) => Err(Failure::new(BackendErrorKind::Unreachable, "no connection in time")),
    }
}

impl Core {
    async fn connect(&self) -> Result<Line, Failure> {
        match &self.place {
            Place::Here(client) => self.connect_to(client).await,
            Place::Somewhere(pick) => match pick() {
                Some(client) => self.connect_to(&client).await,
                None => Err(Failure::new(BackendErrorKind::Unreachable, "no node is known")),
            },
            Place::Master(sentinels) => {
                // One that hangs holds up nobody, and one that does not know yet is not believed.
                let mut asked = sentinels.ask();
                let (mut tried, mut failure) = (Vec::new(), None);
                while let Some(answer) = asked.join_next().await {
                    let found = match answer {
                        Ok(Ok(client)) if tried.contains(client.get_connection_info().addr()) => continue,
                        Ok(Ok(client)) => {
                            tried.push(client.get_connection_info().addr().clone());
                            self.connect_to(&client).await
                        }
                        Ok(Err(failure)) => Err(failure),
                        Err(_) => Err(Failure::new(BackendErrorKind::Other, "asking a sentinel failed")),
                    };
                    match found {
                        Ok(line) => return Ok(line),
                        Err(why) => failure = Some(why),
                    }
                }
                Err(failure.unwrap_or_else(|| Failure::new(BackendErrorKind::Unreachable, "no sentinel is known")))
            }
        }
    }

    async fn connect_to(&self, client: &Client) -> Result<Line, Failure> {
        #[cfg(feature = "redis-tls")]
        super::tls::provide(client);
        let mut speaks_resp3 = client.get_connection_info().redis_settings().protocol() != ProtocolVersion::RESP2;
        let lost = Arc::new(Notify::new());
        let mut connection = match open(client, speaks_resp3.then_some((&self.waiters, &lost))).await {
            Err(error) if speaks_resp3 && is_of_resp2(&error) => {
                speaks_resp3 = false;
                let info = client.get_connection_info().clone();
                let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
                open(&Client::open(info.set_redis_settings(settings))?, None).await?
            }
            opened => opened?,
        };
        if matches!(self.place, Place::Master(_)) && !super::sentinel::is_master(&mut connection).await? {
            return Err(Failure::new(BackendErrorKind::ReadOnly, "the sentinels name a server that is no master"));
        }
        // Not allowed to: then waiters look by themselves, and memory hears nothing of others.
        let is_heard = |subscribed: RedisResult<()>| match subscribed {
            Ok(()) => Ok(true),
            Err(error) if error.code().is_some() => Ok(false),
            Err(error) => Err(error),
        };
        let takes_messages = speaks_resp3 && self.hears.messages;
        let is_subscribed = takes_messages && is_heard(connection.subscribe(self.waiters.channel()).await)?;
        let mut tracks = false;
        if self.hears.changes {
            let mut track = ::redis::cmd("CLIENT");
            track.arg(&["TRACKING", "ON", "BCAST", "PREFIX", "stampede:{", "NOLOOP"]);
            tracks = speaks_resp3 && is_heard(track.query_async(&mut connection).await)?;
            if !tracks {
                tracing::warn!(
                    target: "stampede",
                    "Redis does not track changes for this connection: `DEL` by hand shows late",
                );
            }
        }
        let mut hears_news = takes_messages && is_heard(connection.subscribe(NEWS).await)?;
        if takes_messages && !hears_news {
            tracing::warn!(
                target: "stampede",
                "Redis does not let this user subscribe to `{NEWS}`: what other processes change shows in memory only at the \
                 end of its `ttl`",
            );
        }
        hears_news |= tracks;
        let (since, silent_since) = (SystemInstant::now(), AtomicU64::new(0));
        let response_timeout = self.timeouts.response;
        Ok(Line { connection, response_timeout, is_subscribed, hears_news, since, lost, silent_since })
    }
}

/// Opens a connection. Its times are kept by those who use it.
pub(super) async fn open(
    client: &Client,
    heard_by: Option<(&Arc<Waiters>, &Arc<Notify>)>,
) -> RedisResult<MultiplexedConnection> {
    let mut config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(UNWRITTEN_MAX);
    if let Some((waiters, lost)) = heard_by {
        let (waiters, lost) = (Arc::clone(waiters), Arc::clone(lost));
        config = config.set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                lost.notify_one();
            } else {
                waiters.take(&push);
            }
            Ok::<(), ::redis::aio::SendError>(())
        });
    }
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// A server, or something before it, that does not know the newer protocol.
fn is_of_resp2(error: &RedisError) -> bool {
    error.kind() == ErrorKind::RESP3NotSupported
        || error.code() == Some("NOPROTO")
        || error.detail().is_some_and(|detail| {
            let detail = detail.to_ascii_lowercase();
            detail.starts_with("unknown command") && detail.contains("hello")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_rest_when_nobody_asks() {
        // Nobody listens there.
        let client = Client::open("redis://127.0.0.1:1").unwrap();
        let timeouts = Timeouts { connect: Duration::from_millis(200), response: Duration::from_millis(300) };
        let hears = Hears { messages: true, changes: false };
        let link = Link::new(Place::Here(client), timeouts, hears, Waiters::new());
        let begun = Instant::now();
        supervise(Arc::clone(&link.core)).await;
        assert!(matches!(*link.core.state.borrow(), State::Quiet));
        assert!(begun.elapsed() < QUIET_AFTER + PAUSE_MAX * 2, "{:?}", begun.elapsed());

        // Whoever asks meanwhile makes them go on.
        let begun = Instant::now();
        let asking = async {
            link.core.state.send_replace(State::Connecting);
            sleep(QUIET_AFTER / 2).await;
            assert!(link.line().await.is_err());
        };
        tokio::join!(supervise(Arc::clone(&link.core)), asking);
        assert!(begun.elapsed() > QUIET_AFTER * 3 / 2, "{:?}", begun.elapsed());
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let mut pauses = Pauses::default();
        let all: Vec<_> = std::iter::repeat_with(|| pauses.next()).take(50).collect();
        assert_eq!(all[0], Duration::ZERO);
        assert!(Duration::from_millis(25) <= all[1] && all[1] <= Duration::from_millis(50));
        assert!(all[10..].iter().all(|pause| PAUSE_MAX / 2 <= *pause && *pause <= PAUSE_MAX));
    }
}
