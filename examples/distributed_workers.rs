//! Three processes want the same answer at the same moment, and one of them works for all. It needs a Redis:
//!
//! ```text
//! redis-server --port 16379 --save ''
//! STAMPEDE_REDIS_URL=redis://127.0.0.1:16379 cargo run --example distributed_workers
//! ```

use std::error::Error;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stampede_runtime::store::RedisBackend;
use stampede_runtime::{Config, configure, distributed_coalesce};

const PROCESSES: u32 = 3;
const CALLERS: usize = 100;

#[derive(Clone, Serialize, Deserialize)]
struct Answer {
    text: String,
    /// The process that has worked for it.
    made_by: u32,
}

/// Plays a slow, paid service. Kept for a minute; a process that is not heard of for five seconds leads no more.
#[distributed_coalesce(namespace = "distributed-workers", ttl = "1m", lease = "5s")]
async fn answer(question: String) -> Result<Answer, String> {
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(Answer { text: format!("{question} Because."), made_by: std::process::id() })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("STAMPEDE_REDIS_URL").map_err(|_| "STAMPEDE_REDIS_URL has to say where a Redis is")?;
    // An argument makes it one of the workers.
    match std::env::args().nth(1) {
        Some(question) => work(url, &question).await,
        None => start_workers(),
    }
}

async fn work(url: String, question: &str) -> Result<(), Box<dyn Error>> {
    // Once, before the first call.
    configure(Config::builder().backend("redis", RedisBackend::new(url)?).build()?)?;

    let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(answer(question.to_owned()))).collect();
    let mut made_by = 0;
    for caller in callers {
        made_by = caller.await??.made_by;
    }

    let me = std::process::id();
    let role = if made_by == me { "executed".to_owned() } else { format!("waited for process {made_by}") };
    let mut page = format!("process {me} {role}: {CALLERS} callers have their answer\n");
    for (function, stats) in stampede_runtime::all_stats() {
        writeln!(page, "  {function}: {stats}")?;
        let [won, waited] = [stats.lock_acquired, stats.lock_waited];
        let [pushed, polled] = [stats.push_wakeups, stats.poll_wakeups];
        writeln!(page, "  leases: {won} won, {waited} waited for; woken by {pushed} messages and {polled} looks")?;
    }
    // In one piece: others print, too.
    print!("{page}");
    // What is still on its way to Redis arrives.
    stampede_runtime::shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// Starts this program again, several times at once.
fn start_workers() -> Result<(), Box<dyn Error>> {
    // Another question each time, which no earlier run has answered.
    let question = format!("Why is the sky blue, asked {}?", std::process::id());
    let start = |_| Command::new(std::env::current_exe()?).arg(&question).spawn();
    let workers: Vec<_> = (0..PROCESSES).map(start).collect::<Result<_, _>>()?;
    for mut worker in workers {
        if !worker.wait()?.success() {
            return Err("a worker failed".into());
        }
    }
    println!("{} callers in {PROCESSES} processes", PROCESSES as usize * CALLERS);
    Ok(())
}
