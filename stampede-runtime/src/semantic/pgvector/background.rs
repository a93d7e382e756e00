//! What is done besides the calls: hits are counted, and what is not kept any more is deleted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use sqlx::query;
use tokio::time::sleep;

use super::link::Work;
use super::statements::{SWEPT_AT_ONCE, lock};
use super::{Core, Place};
use crate::blocking::helper;

/// Hits are counted here first: a hot entry would be written as often as it is read.
const COUNTED_AFTER: Duration = Duration::from_secs(1);
/// Of how many entries. Hits of more within that time are not counted.
const COUNTED_MAX: usize = 10_000;
/// How often a process looks for what is not kept any more.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How many statements one sweep takes at most, so that it ends.
const SWEPT_TIMES_MAX: usize = 1_000;
/// Others have the table to themselves for so long between two of them.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// What the background has to remember.
#[derive(Default)]
pub(super) struct Background {
    hits: Mutex<HashMap<Counted, i64>>,
    next_sweep: Mutex<Option<Instant>>,
}

/// An entry that was hit.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Counted {
    place: Place,
    hash: String,
}

impl Counted {
    pub(super) fn new(place: Place, hash: String) -> Counted {
        Counted { place, hash }
    }
}

/// Counts a hit, soon.
pub(super) fn count(core: &Arc<Core>, hit: Counted) {
    let mut hits = core.background.hits.lock().unwrap_or_else(PoisonError::into_inner);
    let is_first = hits.is_empty();
    if hits.len() < COUNTED_MAX || hits.contains_key(&hit) {
        *hits.entry(hit).or_default() += 1;
    }
    drop(hits);
    if is_first {
        let core = Arc::downgrade(core);
        helper().spawn(async move {
            sleep(COUNTED_AFTER).await;
            if let Some(core) = core.upgrade() {
                write_hits(&core).await;
            }
        });
    }
}

async fn write_hits(core: &Core) {
    let hits = std::mem::take(&mut *core.background.hits.lock().unwrap_or_else(PoisonError::into_inner));
    let (mut columns, mut counts) = ([const { Vec::new() }; 5], Vec::new());
    for (Counted { place: Place([namespace, partition, tenant, model]), hash }, count) in hits {
        for (column, value) in columns.iter_mut().zip([namespace, partition, tenant, model, hash]) {
            column.push(value);
        }
        counts.push(count);
    }
    let statement = core.statements.count_hits.clone();
    let work: Work<()> = Box::new(move |connection| {
        let asked = columns.iter().fold(query(statement.clone()), |query, column| query.bind(column.clone()));
        let asked = asked.bind(counts.clone());
        Box::pin(async move { asked.execute(connection).await.map(|_| ()) })
    });
    // Those that the database did not take are lost: nothing depends on them.
    if let Some(Err(failure)) = core.link.aside(&work).await {
        tracing::debug!(target: "stampede", cause = failure.cause(), "hits were not counted");
    }
}

/// Begins to delete what is not kept any more, if that has not been done for a while.
pub(super) fn sweep_sometimes(core: &Arc<Core>) {
    {
        let mut next = core.background.next_sweep.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_some_and(|next| Instant::now() < next) {
            return;
        }
        // Not all processes at one time.
        *next = Some(Instant::now() + SWEEP_EVERY.mul_f64(0.5 + fastrand::f64()));
    }
    helper().spawn(sweep(Arc::downgrade(core)));
}

async fn sweep(core: Weak<Core>) {
    for _ in 0..SWEPT_TIMES_MAX {
        // An index that nobody has any more is not swept.
        let Some(core) = core.upgrade() else { return };
        let statement = core.statements.sweep.clone();
        let turn = lock("sweep", &[&core.table.to_string()]);
        let work: Work<u64> = Box::new(move |connection| {
            let asked = query(statement.clone()).bind(turn);
            Box::pin(async move { asked.execute(connection).await.map(|done| done.rows_affected()) })
        });
        match core.link.aside(&work).await {
            Some(Ok(SWEPT_AT_ONCE..)) => {}
            Some(Ok(_)) | None => return,
            Some(Err(failure)) => {
                tracing::debug!(target: "stampede", cause = failure.cause(), "a sweep has ended early");
                return;
            }
        }
        drop(core);
        sleep(SWEEP_PAUSE).await;
    }
}
