//! Connections of one's own: opened when there is work, used again, closed when they are idle, old or in doubt.
//!
//! `sqlx` has a pool, too. It tries a server that refuses again and again until its time is up, and then says that time
//! was up; and it asks each connection that comes back whether it still works. Here whoever finds a server down hears so
//! at once, and a connection is in doubt after any failure: then it is closed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Less than what takes idle connections away on many networks, without a word.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// What a server keeps for a connection only grows.
const AGE_MAX: Duration = Duration::from_secs(30 * 60);

pub(super) struct Lines {
    options: PgConnectOptions,
    permits: Arc<Semaphore>,
    /// The last one given back is the first one taken.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    line: Line,
    since: Instant,
}

/// A connection. Dropped, it is closed.
pub(super) struct Line {
    pub(super) connection: PgConnection,
    opened: Instant,
    /// It has answered before.
    pub(super) is_used: bool,
    permit: Option<OwnedSemaphorePermit>,
}

impl Lines {
    pub(super) fn new(options: PgConnectOptions, connections_max: u32) -> Lines {
        let permits = usize::try_from(connections_max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Lines { options, permits: Arc::new(Semaphore::new(permits)), idle: Mutex::default() }
    }

    /// A connection, once fewer than the most are in use.
    pub(super) async fn take(&self) -> Result<Line, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::PoolClosed)?;
        self.take_with(permit).await
    }

    /// A connection that nobody waits for: the last one of those that may be in use is left to others.
    pub(super) async fn spare(&self) -> Result<Line, Error> {
        if self.permits.available_permits() > 1
            && let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned()
        {
            return self.take_with(permit).await;
        }
        self.open().await
    }

    async fn take_with(&self, permit: OwnedSemaphorePermit) -> Result<Line, Error> {
        let mut line = match self.pop() {
            Some(line) => line,
            None => self.open().await?,
        };
        line.permit = Some(permit);
        Ok(line)
    }

    async fn open(&self) -> Result<Line, Error> {
        let connection = PgConnection::connect_with(&self.options).await?;
        Ok(Line { connection, opened: Instant::now(), is_used: false, permit: None })
    }

    pub(super) fn give_back(&self, mut line: Line) {
        // Before the permit: whoever is given that finds this.
        let permit = line.permit.take();
        if permit.is_some() && line.opened.elapsed() < AGE_MAX {
            line.is_used = true;
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(Idle { line, since: Instant::now() });
        }
    }

    pub(super) fn are_all_in_use(&self) -> bool {
        self.permits.available_permits() == 0
    }

    /// Closes those that are idle: the server has hung up on one of them.
    pub(super) fn close_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        drop(idle);
    }

    fn pop(&self) -> Option<Line> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Those below have been idle for longer still.
        let Idle { line, since } = idle.pop()?;
        let too_long = (since.elapsed() >= IDLE_MAX).then(|| std::mem::take(&mut *idle));
        drop(idle);
        too_long.is_none().then_some(line)
    }
}
