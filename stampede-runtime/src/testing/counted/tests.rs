use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::*;

fn stats(led: u64, cache_hits: u64) -> Stats {
    let mut stats = Stats { led, cache_hits, cache_size: 3, ..Stats::default() };
    stats.execution_time.total = Duration::from_secs(led);
    stats.execution_time.count = led;
    stats.backend_faults.timed_out = cache_hits;
    stats.derive();
    stats
}

/// What an assertion says.
fn said(assert: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(assert)).expect_err("the assertion fails");
    *panic.downcast::<String>().expect("a text")
}

#[test]
fn figures_are_those_since_the_beginning() {
    let now = Cell::new((5, 10));
    let counted = count(|| stats(now.get().0, now.get().1));
    assert_eq!((counted.since().requests, counted.since().cache_size), (0, 3));
    now.set((7, 20));
    let since = counted.since();
    assert_eq!((since.executions, since.requests, since.cache_hits, since.cache_size), (2, 12, 10, 3));
    assert_eq!((since.execution_time.count, since.execution_time.mean), (2, Duration::from_secs(1)));
    assert_eq!(since.backend_faults.timed_out, 10);
    assert!((since.cache_hit_rate - 10.0 / 12.0).abs() < 1e-12);
    counted.assert_executions(2);
    // Somebody has set the counters to zero.
    now.set((0, 0));
    assert_eq!((counted.since().executions, counted.since().requests), (0, 0));
}

#[test]
fn a_wrong_figure_is_shown_among_all_that_are_not_zero() {
    let now = Cell::new((0, 0));
    let counted = count(|| stats(now.get().0, now.get().1));
    now.set((2, 1));
    let said = said(|| counted.assert_executions(1));
    let expected = "counted 2 executions, expected 1 executions, of\n    requests: 3,\n    cache_hits: 1,\n    led: 2,\n    \
                    executions: 2,\n    backend_faults: BackendFaults {\n        timed_out: 1,\n    },\n    cache_size: 3,\n";
    assert!(said.starts_with(expected), "{said}");
    assert!(!said.contains("stale_hits") && !said.contains("semantic"), "{said}");
}

#[test]
fn where_nothing_was_counted_that_is_said() {
    let counted = count(Stats::default);
    let said = said(|| counted.assert(|since| since.led, 1));
    assert_eq!(said, "counted 0, expected 1, of\n    nothing");
}
