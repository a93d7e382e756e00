//! What is newer stays: invalidations, refreshes and insertions win over an execution in another process.

use std::time::Duration;

use super::events::{Setup, Task, What};
use super::host::Fleet;

/// One process leads behind its gate; another waits with this task.
fn one_leads(fleet: &Fleet, waits: Option<&Task>) -> (u64, Option<u64>) {
    let own = fleet.call(0, "whole", "k", 1, &Task::value(0).gated());
    fleet.started("k", 1);
    let other = waits.map(|task| {
        let call = fleet.call(2, "whole", "k", 1, task);
        fleet.waiting(1);
        call[0]
    });
    (own[0], other)
}

/// Long enough that nothing here is decided by a lease that ran out.
fn long() -> Setup {
    Setup { lease: 600_000, ..Setup::default() }
}

/// The leader ends: its caller has its value, nobody else, and it is not kept.
fn leader_is_refused(fleet: &Fleet, own: u64) {
    fleet.open(0);
    assert_eq!(fleet.got(own).number(), Some(1));
    let stats = fleet.stats(0, "whole");
    // Where the message comes first, it does not even try.
    assert!(stats.of("fenced_writes") + stats.of("lock_lost") <= 1, "{}", *stats);
    assert_eq!(stats.of("backend_writes"), 0, "{}", *stats);
}

#[test]
fn an_invalidation_wins_over_an_execution_elsewhere() {
    let Some(fleet) = Fleet::start("invalidated", 3, &long()) else { return };
    let (own, other) = one_leads(&fleet, Some(&Task::value(0)));
    assert!(fleet.invalidate(1, "whole", "k"));
    // Who waits executes anew at once.
    assert_eq!(fleet.got(other.expect("one waits")).number(), Some(2), "{}", fleet.story());
    leader_is_refused(&fleet, own);
    assert_eq!(fleet.fresh(1, "whole", "k", &Task::value(0)).number(), Some(2));
    let later = fleet.call(0, "whole", "k", 1, &Task::value(0));
    assert_eq!(fleet.got(later[0]).number(), Some(2), "{}", fleet.story());
    assert_eq!(fleet.executions("k"), 2);
    fleet.dismiss();
}

#[test]
fn so_does_one_that_nobody_waits_for() {
    let Some(fleet) = Fleet::start("invalidated alone", 2, &long()) else { return };
    let (own, _) = one_leads(&fleet, None);
    assert!(fleet.invalidate(1, "whole", "k"));
    leader_is_refused(&fleet, own);
    assert_eq!(fleet.fresh(1, "whole", "k", &Task::value(0)).number(), Some(2));
    let later = fleet.call(0, "whole", "k", 1, &Task::value(0));
    assert_eq!(fleet.got(later[0]).number(), Some(2), "{}", fleet.story());
    fleet.dismiss();
}

#[test]
fn so_does_an_invalidation_of_everything() {
    let Some(fleet) = Fleet::start("cleared", 3, &long()) else { return };
    let (own, other) = one_leads(&fleet, Some(&Task::value(0)));
    assert!(fleet.clear(1, "whole"));
    assert_eq!(fleet.got(other.expect("one waits")).number(), Some(2), "{}", fleet.story());
    leader_is_refused(&fleet, own);
    // The second began before the way through all keys had ended, which may have taken it out, too. What begins later stays.
    let kept = fleet.fresh(1, "whole", "k", &Task::value(0)).number();
    assert!(kept >= Some(2), "{}", fleet.story());
    let _ = fleet.stats(1, "whole");
    assert_eq!(fleet.fresh(2, "whole", "k", &Task::value(0)).number(), kept, "{}", fleet.story());
    fleet.dismiss();
}

#[test]
fn so_does_one_of_everything_while_executions_end() {
    let Some(fleet) = Fleet::start("cleared meanwhile", 2, &long()) else { return };
    // A walk through so many keys takes a while.
    fleet.server().ask(&["DEBUG", "POPULATE", "200000", "other"]);
    let keys: Vec<_> = (0..40).map(|key| format!("k{key}")).collect();
    for key in &keys {
        fleet.call(0, "whole", key, 1, &Task::value(0).gated());
    }
    for key in &keys {
        fleet.started(key, 1);
    }
    let done = fleet.begin_clearing(1, "whole");
    fleet.until("it begins", |events| events.iter().any(|event| matches!(event.what, What::Invalidated { .. })));
    std::thread::sleep(Duration::from_millis(20));
    fleet.open(0);
    assert!(fleet.done(done));
    let _ = fleet.stats(0, "whole");
    let kept =
        keys.iter().filter(|key| fleet.fresh(1, "whole", key, &Task::value(0)).number() == Some(fleet.numbers(key)[0]));
    let kept: Vec<_> = kept.collect();
    assert!(
        kept.is_empty(),
        "{} of 40 values were made before they were taken out, and are there: {kept:?}",
        kept.len()
    );
    fleet.dismiss();
}

#[test]
fn a_refresh_wins_over_an_execution_elsewhere() {
    let Some(fleet) = Fleet::start("refreshed", 3, &long()) else { return };
    let (own, other) = one_leads(&fleet, Some(&Task::value(0)));
    let refresh = fleet.refresh(1, "whole", "k", &Task::value(0));
    assert_eq!(fleet.got(refresh).number(), Some(2));
    assert_eq!(fleet.got(other.expect("one waits")).number(), Some(2), "{}", fleet.story());
    leader_is_refused(&fleet, own);
    assert_eq!(fleet.fresh(2, "whole", "k", &Task::value(0)).number(), Some(2));
    let later = fleet.call(0, "whole", "k", 1, &Task::value(0));
    assert_eq!(fleet.got(later[0]).number(), Some(2), "{}", fleet.story());
    assert_eq!(fleet.executions("k"), 2);
    fleet.dismiss();
}

#[test]
fn a_leader_that_ends_before_the_refresh_that_took_over_is_not_kept() {
    let Some(fleet) = Fleet::start("overtaken", 3, &long()) else { return };
    let (own, other) = one_leads(&fleet, Some(&Task::value(0)));
    let refresh = fleet.refresh(1, "whole", "k", &Task::value(0).gated());
    fleet.started("k", 2);
    leader_is_refused(&fleet, own);
    assert!(!fleet.has_ended(other.expect("one waits")), "it waits for the newer one\n{}", fleet.story());
    fleet.open(1);
    assert_eq!(fleet.got(refresh).number(), Some(2));
    assert_eq!(fleet.got(other.expect("one waits")).number(), Some(2), "{}", fleet.story());
    assert_eq!(fleet.fresh(0, "whole", "k", &Task::value(0)).number(), Some(2));
    assert_eq!(fleet.executions("k"), 2);
    fleet.dismiss();
}

#[test]
fn a_refresh_that_fails_leaves_what_is_kept() {
    let Some(fleet) = Fleet::start("refresh fails", 2, &long()) else { return };
    let first = fleet.call(0, "whole", "k", 1, &Task::value(0));
    let first = fleet.got(first[0]);
    let _ = fleet.stats(0, "whole");
    let refresh = fleet.refresh(1, "whole", "k", &Task::error(0));
    assert_eq!(fleet.got(refresh).number(), Some(2));
    assert_eq!(fleet.fresh(0, "whole", "k", &Task::value(0)), first);
    fleet.dismiss();
}

#[test]
fn a_call_right_after_an_invalidation_is_kept_and_shared() {
    let Some(fleet) = Fleet::start("invalidate and call", 2, &long()) else { return };
    for round in 0..20 {
        let key = format!("k{round}");
        let first = fleet.call(0, "whole", &key, 1, &Task::value(0));
        fleet.got(first[0]);
        let again = fleet.invalidate_then(0, "whole", &key, &Task::value(0));
        let again = fleet.got(again);
        assert_eq!(again.number(), Some(fleet.numbers(&key)[1]), "{}", fleet.story());
        let _ = fleet.stats(0, "whole");
        assert_eq!(fleet.fresh(1, "whole", &key, &Task::value(0)), again, "{}", fleet.story());
        assert_eq!(fleet.executions(&key), 2);
    }
    fleet.dismiss();
}

#[test]
fn an_insertion_wins_over_an_execution_elsewhere() {
    let Some(fleet) = Fleet::start("inserted", 3, &long()) else { return };
    let (own, other) = one_leads(&fleet, Some(&Task::value(0)));
    let number = fleet.insert(1, "whole", "k");
    assert_eq!(fleet.got(other.expect("one waits")).number(), Some(number), "{}", fleet.story());
    leader_is_refused(&fleet, own);
    assert_eq!(fleet.fresh(2, "whole", "k", &Task::value(0)).number(), Some(number));
    let later = fleet.call(0, "whole", "k", 1, &Task::value(0));
    assert_eq!(fleet.got(later[0]).number(), Some(number), "{}", fleet.story());
    assert_eq!(fleet.executions("k"), 1);
    fleet.dismiss();
}

#[test]
fn an_insertion_and_an_invalidation_of_ones_own_win_too() {
    let Some(fleet) = Fleet::start("own insertion", 3, &long()) else { return };
    let (own, other) = one_leads(&fleet, Some(&Task::value(0)));
    let number = fleet.insert(0, "whole", "k");
    assert_eq!(fleet.got(other.expect("one waits")).number(), Some(number), "{}", fleet.story());
    fleet.open(0);
    assert_eq!(fleet.got(own).number(), Some(1));
    let _ = fleet.stats(0, "whole");
    let later = fleet.call(0, "whole", "k", 1, &Task::value(0));
    assert_eq!(fleet.got(later[0]).number(), Some(number), "{}", fleet.story());
    assert_eq!(fleet.fresh(2, "whole", "k", &Task::value(0)).number(), Some(number));
    assert!(fleet.invalidate(0, "whole", "k"));
    let next = fleet.fresh(2, "whole", "k", &Task::value(0)).number();
    assert!(next > Some(number), "{}", fleet.story());
    fleet.dismiss();
}
