//! The same as seen from the process that asked for something newer: it never gets what it knows to be older.

use super::events::{Got, Setup, Task};
use super::host::Fleet;

/// Long enough that nothing here is decided by a lease that ran out.
fn long() -> Setup {
    Setup { lease: 600_000, ..Setup::default() }
}

#[test]
fn who_has_refreshed_never_gets_what_was_there_before() {
    let Some(fleet) = Fleet::start("two refreshes", 2, &long()) else { return };
    assert_eq!(fleet.fresh(0, "whole", "k", &Task::value(0)).number(), Some(1));
    let one = fleet.refresh(0, "whole", "k", &Task::value(0).gated());
    fleet.started("k", 2);
    // It waits for that one, which is new enough.
    let other = fleet.refresh(1, "whole", "k", &Task::value(0).gated());
    fleet.again_until("the other waits", || fleet.waiters() > 0);
    fleet.open(0);
    assert_eq!((fleet.got(one).number(), fleet.got(other).number()), (Some(2), Some(2)));
    for process in [0, 1] {
        let later = fleet.call(process, "whole", "k", 1, &Task::value(0));
        let later = fleet.got(later[0]);
        assert_eq!(later.number(), Some(2), "{later:?}\n{}", fleet.story());
    }
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    fleet.dismiss();
}

#[test]
fn a_call_after_an_invalidation_is_kept_though_an_older_one_waited() {
    let Some(fleet) = Fleet::start("waits and invalidates", 3, &long()) else { return };
    let own = fleet.call(0, "whole", "k", 1, &Task::value(0).gated());
    fleet.started("k", 1);
    let waits = fleet.call(1, "whole", "k", 1, &Task::value(50));
    fleet.waiting(1);
    let then = fleet.invalidate_then(1, "whole", "k", &Task::value(50));
    assert!(fleet.got(waits[0]).number() > Some(1), "{}", fleet.story());
    let then = fleet.got(then);
    assert!(then.number() > Some(1), "{}", fleet.story());
    fleet.open(0);
    assert_eq!(fleet.got(own[0]).number(), Some(1));
    let _ = fleet.stats(1, "whole");
    let executions = fleet.executions("k");
    assert!(executions <= 3, "{}", fleet.story());
    let fresh = fleet.fresh(2, "whole", "k", &Task::value(0));
    assert_eq!((fresh, fleet.executions("k")), (then, executions), "it is kept and shared\n{}", fleet.story());
    fleet.dismiss();
}

#[test]
fn a_value_that_ends_at_once_still_reaches_those_who_wait() {
    let setup = Setup { ttl: 1, ..long() };
    let Some(fleet) = Fleet::start("short ttl", 3, &setup) else { return };
    let mut calls = fleet.call(0, "whole", "k", 2, &Task::value(0).gated());
    fleet.started("k", 1);
    calls.extend(fleet.call(1, "whole", "k", 2, &Task::value(0)));
    calls.extend(fleet.call(2, "whole", "k", 2, &Task::value(0)));
    fleet.waiting(2);
    fleet.open(0);
    let got = fleet.got_all(calls);
    assert_eq!(fleet.executions("k"), 1, "{got:?}\n{}", fleet.story());
    fleet.dismiss();
}

#[test]
fn what_nobody_waits_for_may_be_finished_and_kept() {
    let Some(fleet) = Fleet::start("finishes", 2, &long()) else { return };
    let left = fleet.call(0, "finishing", "k", 2, &Task::value(0).gated());
    fleet.started("k", 1);
    let waits = fleet.call(1, "finishing", "k", 1, &Task::value(0));
    fleet.waiting(1);
    fleet.cancel(0);
    assert!(fleet.got_all(left).iter().all(|got| *got == Got::Cancelled));
    fleet.open(0);
    assert_eq!(fleet.got(waits[0]).number(), Some(1));
    assert_eq!(fleet.fresh(1, "finishing", "k", &Task::value(0)).number(), Some(1));
    assert_eq!(fleet.executions("k"), 1, "{}", fleet.story());
    fleet.dismiss();
}

#[test]
fn bodies_inside_their_calls_share_too() {
    let Some(fleet) = Fleet::start("attached", 3, &long()) else { return };
    let left = fleet.call(0, "attached", "k", 1, &Task::hang());
    fleet.started("k", 1);
    let mut calls = fleet.call(1, "attached", "k", 2, &Task::value(20));
    calls.extend(fleet.call(2, "attached", "k", 2, &Task::value(20)));
    fleet.waiting(2);
    fleet.cancel(0);
    assert_eq!(fleet.got(left[0]), Got::Cancelled);
    let got = fleet.got_all(calls);
    assert!(got.iter().all(|got| got.number() == Some(2)), "{got:?}\n{}", fleet.story());
    assert_eq!(fleet.executions("k"), 2);
    fleet.dismiss();
}
