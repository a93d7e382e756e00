//! Processes of this program's own, told what to do through pipes: a line of JSON each way.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, PushInfo};
use serde::{Deserialize, Serialize};
use stampede_runtime::store::RedisBackend;
use stampede_runtime::{Config, configure};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader as AsyncBufReader};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::wake::{Player, Way};
use super::{hit, miss};

/// The argument that makes this program a child. The url of the server follows.
pub(crate) const CHILD: &str = "--redis-child";

/// What a child is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Measure hits of those peers whose names have one of these parts.
    Hits { rounds: usize, peers: Vec<String> },
    /// Measure misses.
    Misses { rounds: usize },
    /// Lead a round, and say so. The body runs until it is told to end.
    Lead { way: Way, round: u64 },
    /// Wait for the value of a round.
    Wait { way: Way, round: u64, waiters: usize },
    /// End the body of a round.
    End,
    /// Have so many callers call for a key at once.
    Call { way: Way, round: u64, callers: usize },
}

/// What a child says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    Ready,
    Hits(Vec<hit::Measured>),
    Misses(Vec<miss::Measured>),
    Leading,
    Waiting,
    /// When the body ended.
    Ended(u64),
    /// When the last waiter had its value.
    Woken(u64),
    /// How many executed, and when the last caller had its value.
    Answered {
        executions: u64,
        last: u64,
    },
}

/// A child, seen from outside. Dropped, it is killed.
pub(super) struct Child {
    process: process::Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Child {
    /// Starts one, and returns when it is ready.
    pub(super) fn start(url: &str) -> Child {
        let this = std::env::current_exe().expect("a program knows where it lies");
        let mut command = Command::new(this);
        command.args([CHILD, url]).env_remove("STAMPEDE_OFF").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it runs already");
        let to = process.stdin.take().expect("it is piped");
        let from = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut child = Child { process, to, from };
        let Said::Ready = child.hear() else { panic!("a child begins with that") };
        child
    }

    pub(super) fn tell(&mut self, ask: &Ask) {
        let mut line = serde_json::to_vec(ask).expect("plain data");
        line.push(b'\n');
        self.to.write_all(&line).expect("a child listens");
    }

    pub(super) fn hear(&mut self) -> Said {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("a child speaks UTF-8");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("a child says {line:?}: {error}"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Nanoseconds of a clock that all processes of the machine read alike.
pub(super) fn stamp() -> u64 {
    nanos(rustix::time::ClockId::Monotonic)
}

/// The CPU time that this process has used.
pub(super) fn cpu_nanos() -> u64 {
    nanos(rustix::time::ClockId::ProcessCPUTime)
}

fn nanos(clock: rustix::time::ClockId) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    let nanos = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    u64::try_from(nanos).expect("clocks go forward")
}

/// A connection as ours is, with its driver on the runtime of whoever calls this. `heard`: whatever is pushed.
pub(super) async fn connection(
    url: &str,
    heard: impl Fn(PushInfo) + Send + Sync + 'static,
) -> ::redis::RedisResult<MultiplexedConnection> {
    let client = Client::open(format!("{url}/?protocol=resp3"))?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(1_000)
        .set_push_sender(move |push| {
            heard(push);
            Ok::<(), ::redis::aio::SendError>(())
        });
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Does what it is told until nobody tells it anything any more.
pub(crate) fn child(url: &str) {
    // A panic in a task would leave whoever asked without an answer.
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        say(panic);
        process::exit(101);
    }));
    let redis = RedisBackend::new(url).expect("the bench's own url");
    configure(Config::builder().backend("redis", redis).build().expect("one backend"))
        .expect("the first thing it does");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be made");
    let (told, mut asked) = unbounded_channel();
    let (say, said) = unbounded_channel();
    runtime.spawn(listen(told));
    runtime.spawn(speak(said));
    let player = runtime.block_on(Player::new(url.to_owned(), say.clone()));
    say.send(Said::Ready).expect("somebody listens");
    // Measurements bring runtimes of their own, so they run outside of this one.
    while let Some(ask) = asked.blocking_recv() {
        let answer = match ask {
            Ask::Hits { rounds, peers } => Said::Hits(hit::run(url, rounds, peers)),
            Ask::Misses { rounds } => Said::Misses(miss::run(url, rounds)),
            ask => {
                player.play(&runtime, &ask);
                continue;
            }
        };
        say.send(answer).expect("somebody listens");
    }
}

async fn listen(told: UnboundedSender<Ask>) {
    let mut lines = AsyncBufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let ask = serde_json::from_str(&line).expect("only this program itself says so");
        if told.send(ask).is_err() {
            return;
        }
    }
}

async fn speak(mut said: UnboundedReceiver<Said>) {
    let mut stdout = tokio::io::stdout();
    while let Some(said) = said.recv().await {
        let mut line = serde_json::to_vec(&said).expect("plain data");
        line.push(b'\n');
        if stdout.write_all(&line).await.is_err() || stdout.flush().await.is_err() {
            return;
        }
    }
}
