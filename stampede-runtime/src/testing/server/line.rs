//! One direction of a connection: what is sent first arrives first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

type Delivery = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Line(Mutex<Way>);

#[derive(Default)]
struct Way {
    sent: VecDeque<Delivery>,
    last: Option<Instant>,
    /// How often everything under way was lost.
    losses: u64,
}

impl Line {
    fn way(&self) -> MutexGuard<'_, Way> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers something after so long, or at once where that is nothing, and after all that was sent before.
    pub(super) fn send(self: &Arc<Self>, latency: Duration, delivery: Delivery) {
        let mut way = self.way();
        if latency.is_zero() && way.sent.is_empty() {
            drop(way);
            return delivery();
        }
        let due = Instant::now() + latency.mul_f64(0.5 + 0.5 * fastrand::f64());
        let due = way.last.map_or(due, |last| last.max(due));
        way.last = Some(due);
        way.sent.push_back(delivery);
        let losses = way.losses;
        drop(way);
        let line = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep_until(due).await;
            // The first of all, whichever this one was for: timers of one moment may go off in any order.
            let mut way = line.way();
            let delivery = if way.losses == losses { way.sent.pop_front() } else { None };
            drop(way);
            if let Some(delivery) = delivery {
                delivery();
            }
        });
    }

    /// Loses all that is under way.
    pub(super) fn lose(&self) {
        let mut way = self.way();
        way.losses += 1;
        way.last = None;
        let lost = std::mem::take(&mut way.sent);
        drop(way);
        drop(lost);
    }
}
