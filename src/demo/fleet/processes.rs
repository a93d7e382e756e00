//! The workers, seen from outside: started, told to begin, listened to, and killed.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::WORKER;
use super::wire::{Job, Said};
use crate::failure::Failure;

/// All workers. Dropped, they are killed.
pub(super) struct Processes {
    alive: Vec<Process>,
    told: UnboundedReceiver<Told>,
}

struct Process {
    number: u16,
    child: Child,
    stdin: ChildStdin,
}

/// What a worker has said; `None`: it has ended.
pub(super) type Told = (u16, Option<Said>);

impl Processes {
    pub(super) async fn start(jobs: impl Iterator<Item = Job>) -> Result<Self, Failure> {
        let (tell, told) = unbounded_channel();
        let mut alive = Vec::new();
        for job in jobs {
            alive.push(
                start(&job, tell.clone())
                    .await
                    .map_err(|error| Failure::Failed(format!("process {} cannot be started: {error}", job.process)))?,
            );
        }
        Ok(Self { alive, told })
    }

    /// The numbers of those that live.
    pub(super) fn alive(&self) -> impl Iterator<Item = u16> {
        self.alive.iter().map(|process| process.number)
    }

    /// The next that somebody says.
    pub(super) async fn told(&mut self) -> Told {
        self.told.recv().await.expect("a worker that says nothing more has said that it has ended")
    }

    /// Begins a round, in all of them at once as well as pipes can.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        for process in &mut self.alive {
            let said = process.stdin.write_all(b"\n").await;
            said.map_err(|error| Failure::Failed(format!("process {} does not listen: {error}", process.number)))?;
        }
        Ok(())
    }

    /// `kill -9`. Returns when it is dead.
    pub(super) async fn kill(&mut self, number: u16) -> Result<(), Failure> {
        let at = self.alive.iter().position(|process| process.number == number);
        let Some(at) = at else { return Ok(()) };
        let mut process = self.alive.remove(at);
        let killed = process.child.kill().await;
        killed.map_err(|error| Failure::Failed(format!("process {number} cannot be killed: {error}")))
    }
}

async fn start(job: &Job, tell: UnboundedSender<Told>) -> std::io::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(WORKER).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        unreachable!("both are piped")
    };
    let mut line = serde_json::to_vec(job)?;
    line.push(b'\n');
    stdin.write_all(&line).await?;
    tokio::spawn(listen(job.process, stdout, tell));
    Ok(Process { number: job.process, child, stdin })
}

async fn listen(number: u16, stdout: ChildStdout, tell: UnboundedSender<Told>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let said = serde_json::from_str(&line);
        let said = said.unwrap_or_else(|error| Said::Failed(format!("it says what nobody understands: {error}")));
        if tell.send((number, Some(said))).is_err() {
            return;
        }
    }
    let _ = tell.send((number, None));
}
