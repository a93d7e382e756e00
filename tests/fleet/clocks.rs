//! Clocks that jump. What Redis keeps ends by the clock of its host, so a jump is a lease or a value that ends early or late.

use super::events::{Got, Setup, Task};
use super::host::Fleet;
use super::server::{one_leads, shares_again};

#[test]
fn a_clock_that_jumps_ahead_costs_one_execution() {
    let Some(fleet) = Fleet::start("ahead", 3, &Setup { lease: 600_000, ..Setup::default() }) else { return };
    let calls = one_leads(&fleet, &Task::value(50));
    let leases = fleet.leases();
    fleet.server().ask(&["PEXPIRE", &leases[0], "1"]);
    let others = fleet.got_all(calls[3..].to_vec());
    fleet.open(0);
    let own = fleet.got_all(calls[..3].to_vec());
    let [old, new] = fleet.numbers("k")[..] else { panic!("two executions\n{}", fleet.story()) };
    assert!(own.iter().all(|got| got.number() == Some(old)), "{own:?}");
    assert!(others.iter().all(|got| got.number() == Some(new)), "{others:?}");
    let _ = fleet.stats(0, "whole");
    assert_eq!(fleet.fresh(0, "whole", "k", &Task::value(0)).number(), Some(new), "who is late was refused");
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_waiting_for_the_dead() {
    let Some(mut fleet) = Fleet::start("set back", 3, &Setup { lease: 1_000, ..Setup::default() }) else { return };
    let calls = one_leads(&fleet, &Task::value(50));
    // Nobody lengthens it any more, and it is still there.
    fleet.stop(0);
    let leases = fleet.leases();
    if let [lease] = &leases[..] {
        // By an hour.
        fleet.server().ask(&["PEXPIRE", lease, "3600000"]);
    }
    fleet.kill(0);
    let others = fleet.got_all(calls[3..].to_vec());
    assert!(others.iter().all(|got| matches!(got, Got::Value(_))), "{others:?}");
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    fleet.dismiss();
}

#[test]
fn a_value_that_ends_early_is_made_once_more() {
    let Some(fleet) = Fleet::start("value ends", 3, &Setup::default()) else { return };
    fleet.fresh(0, "whole", "k", &Task::value(0));
    let entry = fleet.server().ask(&["KEYS", "*}"]);
    fleet.server().ask(&["PEXPIRE", &entry, "1"]);
    fleet.again_until("it is gone", || fleet.server().ask(&["EXISTS", &entry]) == "0");
    let calls: Vec<_> = (0..3).map(|process| fleet.begin_fresh(process, "whole", "k", &Task::value(300))).collect();
    let got = fleet.got_all(calls);
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    assert!(got.windows(2).all(|pair| pair[0] == pair[1]), "{got:?}");
    fleet.dismiss();
}
