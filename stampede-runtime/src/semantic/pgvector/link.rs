//! How work reaches the database: on a connection, in time, and once more where that is sure to do no harm.
//!
//! All of it happens on the [`helper`], which outlives the runtimes that calls come from: a connection that one of those
//! had opened would end with it. Work that has begun goes on to its end, also when nobody waits for it any more, so no
//! connection is left in the middle of an answer.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Error, Postgres};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::error::Failure;
use super::lines::{Line, Lines};
use crate::blocking::helper;
use crate::store::BackendErrorKind;

pub(super) struct Link {
    source: Source,
    connect_timeout: Duration,
    query_timeout: Duration,
}

/// Where connections come from.
pub(super) enum Source {
    Lines(Box<Lines>),
    Pool(PgPool),
}

/// What is done on a connection. It may be begun twice.
pub(super) type Work<T> = Box<dyn for<'c> Fn(&'c mut PgConnection) -> Working<'c, T> + Send + Sync>;

pub(super) type Working<'c, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'c>>;

/// Whether work that may have been done may be done once more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It makes no difference.
    Harmless,
    /// Its answer would be another.
    Never,
}

impl Link {
    pub(super) fn new(source: Source, connect_timeout: Duration, query_timeout: Duration) -> Link {
        Link { source, connect_timeout, query_timeout }
    }

    pub(super) fn timeouts(&self) -> [Duration; 2] {
        [self.connect_timeout, self.query_timeout]
    }

    /// Does work that takes no longer than a query may.
    pub(super) async fn ask<T: Send + 'static>(self: &Arc<Link>, repeat: Repeat, work: Work<T>) -> Result<T, Failure> {
        self.ask_for(self.query_timeout, repeat, work).await
    }

    /// Does work that may take as long as this.
    pub(super) async fn ask_for<T: Send + 'static>(
        self: &Arc<Link>,
        time: Duration,
        repeat: Repeat,
        work: Work<T>,
    ) -> Result<T, Failure> {
        let (link, (mut answer, answered)) = (Arc::clone(self), oneshot::channel());
        helper().spawn(async move {
            let mut is_again = false;
            loop {
                let (outcome, was_used) = {
                    let mut held = pin!(link.hold());
                    // Who does not wait any more leaves the queue.
                    let held = poll_fn(|cx| match answer.poll_closed(cx) {
                        Poll::Ready(()) => Poll::Ready(None),
                        Poll::Pending => held.as_mut().poll(cx).map(Some),
                    });
                    match held.await {
                        None => return,
                        Some(Err(failure)) => (Err(failure), false),
                        Some(Ok(held)) => {
                            let was_used = held.is_used();
                            (link.run(held, time, &work).await, was_used)
                        }
                    }
                };
                let is_worth_another = outcome.as_ref().is_err_and(|failure| {
                    failure.is_undone() || repeat == Repeat::Harmless && was_used && failure.is_lost()
                });
                if is_again || !is_worth_another {
                    let _ = answer.send(outcome);
                    return;
                }
                is_again = true;
            }
        });
        answered.await.unwrap_or_else(|_| Err(Failure::new(BackendErrorKind::Other, "the work has panicked")))
    }

    /// Does work in the background, on the helper, where no call waits for its connection. `None`: there was none.
    pub(super) async fn aside<T>(&self, work: &Work<T>) -> Option<Result<T, Failure>> {
        let held = match &self.source {
            Source::Pool(pool) => Held::Pooled(pool.try_acquire()?),
            Source::Lines(lines) => Held::Line(timeout(self.connect_timeout, lines.spare()).await.ok()?.ok()?, lines),
        };
        Some(self.run(held, self.query_timeout, work).await)
    }

    async fn hold(&self) -> Result<Held<'_>, Failure> {
        let held = async {
            match &self.source {
                Source::Lines(lines) => lines.take().await.map(|line| Held::Line(line, lines)),
                Source::Pool(pool) => pool.acquire().await.map(Held::Pooled),
            }
        };
        match timeout(self.connect_timeout, held).await {
            Ok(held) => held.map_err(|error| Failure::from(&error)),
            Err(_) => Err(match &self.source {
                Source::Lines(lines) if !lines.are_all_in_use() => {
                    Failure::new(BackendErrorKind::Unreachable, "no connection in time")
                }
                _ => Failure::new(BackendErrorKind::TimedOut, "all connections were in use"),
            }),
        }
    }

    async fn run<T>(&self, mut held: Held<'_>, time: Duration, work: &Work<T>) -> Result<T, Failure> {
        match timeout(time, work(held.connection())).await {
            Ok(Ok(answer)) => {
                held.give_back();
                Ok(answer)
            }
            Ok(Err(error)) => {
                let failure = Failure::from(&error);
                held.close();
                if let (Source::Lines(lines), true) = (&self.source, failure.is_lost()) {
                    lines.close_idle();
                }
                Err(failure)
            }
            Err(_) => {
                held.close();
                Err(Failure::new(BackendErrorKind::TimedOut, "no answer in time"))
            }
        }
    }
}

/// A connection that is in use.
enum Held<'a> {
    Line(Line, &'a Lines),
    Pooled(PoolConnection<Postgres>),
}

impl Held<'_> {
    fn connection(&mut self) -> &mut PgConnection {
        match self {
            Held::Line(line, _) => &mut line.connection,
            Held::Pooled(connection) => connection,
        }
    }

    /// Whether it may have been lost before it was asked. A pool looks by itself.
    fn is_used(&self) -> bool {
        match self {
            Held::Line(line, _) => line.is_used,
            Held::Pooled(_) => false,
        }
    }

    fn give_back(self) {
        match self {
            Held::Line(line, lines) => lines.give_back(line),
            Held::Pooled(connection) => drop(connection),
        }
    }

    /// Without a word to the server, which may not listen any more.
    fn close(self) {
        match self {
            Held::Line(line, _) => drop(line),
            Held::Pooled(connection) => drop(connection.detach()),
        }
    }
}
