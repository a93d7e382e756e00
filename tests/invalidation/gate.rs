//! Where bodies wait for a test.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::watch;

/// Closed or open, and how many have come to it.
pub(super) struct Gate {
    is_open: watch::Sender<bool>,
    come: watch::Sender<usize>,
    taken: AtomicUsize,
}

impl Gate {
    pub(super) fn new() -> Gate {
        Gate { is_open: watch::Sender::new(false), come: watch::Sender::new(0), taken: AtomicUsize::new(0) }
    }

    /// Waits until it is open.
    pub(super) async fn pass(&self) {
        self.come.send_modify(|come| *come += 1);
        let _ = self.is_open.subscribe().wait_for(|is_open| *is_open).await;
    }

    /// Waits until one more has come.
    pub(super) async fn reached(&self) {
        let wanted = self.taken.fetch_add(1, SeqCst) + 1;
        let mut come = self.come.subscribe();
        let reached = come.wait_for(|come| *come >= wanted);
        let reached = tokio::time::timeout(Duration::from_secs(30), reached).await;
        assert!(reached.is_ok(), "nobody has come to the gate");
    }

    pub(super) fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Those who have come so far do not count any more.
    pub(super) fn close(&self) {
        self.is_open.send_replace(false);
        self.taken.store(*self.come.borrow(), SeqCst);
    }
}
