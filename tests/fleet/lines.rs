//! What goes wrong between a process and its server, and with that process alone: the line is slow, cut in the middle of a
//! question, dead without a word, dead in one direction, deaf to messages, or turns bits over.

use std::time::Duration;

use super::events::{Got, Setup, Task};
use super::host::Fleet;
use super::server::{one_leads, shares_again};
use crate::tcp_proxy::{CutAfter, Passage, Way};

/// What stands in the question for a lease alone, and in the one that ends it with a value.
const ACQUIRE: &str = "\r\nany\r\n";
const COMMIT: &str = "\r\nvalue\r\n";

/// Each behind a proxy. What is not about time has more of it than a busy machine uses up.
fn patient() -> Setup {
    Setup { has_proxy: true, ..Setup::default() }
}

/// The same with the time limits that the crate has.
fn hasty() -> Setup {
    Setup { patience: None, ..patient() }
}

/// Leases that end by being given back, and never by running out within a test.
fn long(setup: Setup) -> Setup {
    Setup { lease: 600_000, ..setup }
}

/// All know the scripts and have a connection.
fn start(name: &str, setups: &[Setup]) -> Option<Fleet> {
    let mut fleet = Fleet::start(name, 0, &patient())?;
    for setup in setups {
        fleet.spawn(setup);
    }
    fleet.ready();
    let warm = fleet.call_all("whole", "warm", 1, &Task::value(0));
    all_have_values(&fleet, warm);
    Some(fleet)
}

fn all_have_values(fleet: &Fleet, calls: Vec<u64>) -> Vec<Got> {
    let got = fleet.got_all(calls);
    assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}\n{}", fleet.story());
    got
}

/// What a worker says in an ordinary call, until it is something that will do.
fn until_it_says(fleet: &Fleet, process: usize, key: &str, what: &str, is_it: impl Fn(u64) -> bool) {
    fleet.again_until(what, || {
        let call = fleet.call(process, "whole", key, 1, &Task::value(0));
        fleet.got(call[0]).number().is_some_and(&is_it)
    });
}

/// A key that one worker has in its memory, and another has made anew since. Returns the number of the newer value.
fn outdated(fleet: &Fleet, process: usize, by: usize, key: &str) -> u64 {
    let calls = fleet.call(process, "whole", key, 1, &Task::value(0));
    all_have_values(fleet, calls);
    let _ = fleet.stats(process, "whole");
    assert!(fleet.invalidate(by, "whole", key), "the server is told");
    let calls = fleet.call(by, "whole", key, 1, &Task::value(0));
    all_have_values(fleet, calls)[0].number().expect("it is a value")
}

#[test]
fn a_line_that_takes_its_time_costs_no_execution() {
    let Some(fleet) = start("late", &[(); 3].map(|()| patient())) else { return };
    for process in 0..3 {
        fleet.proxy(process).set_both(Passage::Late(Duration::from_millis(20)));
    }
    for round in 0..5 {
        let key = format!("k{round}");
        let calls = fleet.call_all("whole", &key, 5, &Task::value(300));
        all_have_values(&fleet, calls);
        assert_eq!(fleet.executions(&key), 1, "{}", fleet.story());
    }
    fleet.dismiss();
}

#[test]
fn a_line_that_is_slower_than_the_time_limit_is_done_without() {
    let Some(fleet) = start("too late", &[hasty(), patient(), patient()]) else { return };
    fleet.proxy(0).set(Way::Answered, Passage::Late(Duration::from_millis(700)));
    for round in 0..5 {
        let key = format!("k{round}");
        let calls = fleet.call_all("whole", &key, 3, &Task::value(50));
        all_have_values(&fleet, calls);
        // Its own, and one of the others.
        assert!(fleet.executions(&key) <= 2, "{}", fleet.story());
    }
    assert!(fleet.stats(0, "whole").of("backend_failures") >= 3);
    fleet.proxy(0).set_both(Passage::Free);
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_question_that_was_cut_in_the_middle_is_as_if_it_was_not_asked() {
    let Some(fleet) = start("half asked", &[(); 2].map(|()| long(patient()))) else { return };
    fleet.proxy(0).cut_at(ACQUIRE, CutAfter::Half);
    let calls = fleet.call(0, "whole", "k", 3, &Task::value(50));
    all_have_values(&fleet, calls);
    assert!(!fleet.proxy(0).is_to_cut());
    let calls = fleet.call(1, "whole", "k", 3, &Task::value(50));
    all_have_values(&fleet, calls);
    assert!(fleet.executions("k") <= 2, "{}", fleet.story());
    fleet.again_until("no lease is left", || fleet.leases().is_empty());
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_lease_that_was_won_and_not_heard_of_is_given_back() {
    let Some(fleet) = start("not heard of", &[(); 2].map(|()| long(patient()))) else { return };
    fleet.proxy(0).cut_at(ACQUIRE, CutAfter::Whole);
    let alone = fleet.call(0, "whole", "k", 3, &Task::value(50));
    all_have_values(&fleet, alone);
    // It would have to wait for ten minutes.
    let calls = fleet.call(1, "whole", "k", 3, &Task::value(50));
    all_have_values(&fleet, calls);
    assert!(fleet.executions("k") <= 2, "{}", fleet.story());
    fleet.again_until("no lease is left", || fleet.leases().is_empty());
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_value_that_was_kept_and_not_heard_of_is_everybodys() {
    let Some(fleet) = start("kept, not heard of", &[(); 3].map(|()| long(patient()))) else { return };
    let calls = one_leads(&fleet, &Task::value(50));
    fleet.proxy(0).cut_at(COMMIT, CutAfter::Whole);
    fleet.open(0);
    let got = all_have_values(&fleet, calls);
    assert_eq!(fleet.executions("k"), 1, "{}", fleet.story());
    assert!(got.windows(2).all(|pair| pair[0] == pair[1]), "{got:?}");
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_value_that_did_not_arrive_holds_up_nobody() {
    let Some(fleet) = start("half kept", &[(); 3].map(|()| long(patient()))) else { return };
    let calls = one_leads(&fleet, &Task::value(50));
    fleet.proxy(0).cut_at(COMMIT, CutAfter::Half);
    fleet.open(0);
    all_have_values(&fleet, calls);
    // The lease is given back through the next connection, and one of the others leads.
    assert!(fleet.executions("k") <= 2, "{}", fleet.story());
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_process_that_is_parted_from_the_others_is_alone_and_overwrites_nothing() {
    let setup = |setup| Setup { lease: 1_000, ..setup };
    let Some(fleet) = start("parted", &[setup(hasty()), setup(patient()), setup(patient())]) else { return };
    let calls = one_leads(&fleet, &Task::value(50));
    let kept = fleet.call(0, "whole", "memory", 1, &Task::value(0));
    let kept = all_have_values(&fleet, kept);
    let _ = fleet.stats_now(0, "whole");
    fleet.again_until("it is kept", || fleet.leases().len() == 1);
    fleet.proxy(0).set_both(Passage::Held);
    let others = all_have_values(&fleet, calls[3..].to_vec());
    assert!(others.iter().all(|got| got.number() == Some(fleet.numbers("k")[1])), "{others:?}");
    // What the others take out, it still has: it hears of nothing.
    assert!(fleet.invalidate(1, "whole", "memory"));
    let newer = fleet.call(1, "whole", "memory", 1, &Task::value(0));
    let newer = all_have_values(&fleet, newer)[0].number().expect("it is a value");
    let alone = fleet.call(0, "whole", "alone", 3, &Task::value(0));
    all_have_values(&fleet, alone);
    fleet.open(0);
    let own = all_have_values(&fleet, calls[..3].to_vec());
    assert!(own.iter().all(|got| got.number() == Some(fleet.numbers("k")[0])), "{own:?}");
    let old = fleet.call(0, "whole", "memory", 1, &Task::value(0));
    let old = all_have_values(&fleet, old);
    fleet.note(format_args!("memory said {:?}, kept {:?}, newer {newer}", old[0], kept[0]));
    fleet.proxy(0).set_both(Passage::Free);
    until_it_says(&fleet, 0, "memory", "memory is dropped", |number| number >= newer);
    let made = fleet.numbers("k")[1];
    until_it_says(&fleet, 0, "k", "it has nothing older than the others made", |number| number >= made);
    assert_eq!(fleet.fresh(1, "whole", "k", &Task::value(0)).number(), Some(made));
    // One more if it was asked before it had noticed that the server answers again.
    assert!(fleet.executions("k") <= 3, "{}", fleet.story());
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_line_that_brings_no_answers_leaves_no_lease_behind() {
    let Some(fleet) = start("no answers", &[(); 2].map(|()| long(hasty()))) else { return };
    fleet.proxy(0).set(Way::Answered, Passage::Held);
    let alone = fleet.call(0, "whole", "k", 3, &Task::value(50));
    all_have_values(&fleet, alone);
    // It won the lease without hearing of it, and what gives that back arrives.
    let calls = fleet.call(1, "whole", "k", 3, &Task::value(50));
    all_have_values(&fleet, calls);
    assert!(fleet.executions("k") <= 2, "{}", fleet.story());
    fleet.proxy(0).set(Way::Answered, Passage::Free);
    shares_again(&fleet);
    fleet.again_until("no lease is left", || fleet.leases().is_empty());
    fleet.dismiss();
}

#[test]
fn a_line_that_brings_no_questions_is_done_without() {
    let Some(fleet) = start("no questions", &[(); 2].map(|()| long(hasty()))) else { return };
    fleet.proxy(0).set(Way::Asked, Passage::Held);
    let calls = fleet.call_all("whole", "k", 3, &Task::value(50));
    all_have_values(&fleet, calls);
    assert!(fleet.executions("k") <= 2, "{}", fleet.story());
    fleet.proxy(0).set(Way::Asked, Passage::Free);
    shares_again(&fleet);
    fleet.again_until("no lease is left", || fleet.leases().is_empty());
    fleet.dismiss();
}

#[test]
fn who_hears_no_wake_up_looks_by_itself() {
    let Some(fleet) = start("no wake-ups", &[(); 3].map(|()| long(patient()))) else { return };
    fleet.proxy(1).set(Way::Answered, Passage::WithoutMessages("stampede:wake"));
    let before = [1, 2].map(|process| fleet.stats(process, "whole").of("push_wakeups"));
    let calls = one_leads(&fleet, &Task::value(0));
    fleet.open(0);
    all_have_values(&fleet, calls);
    assert_eq!(fleet.executions("k"), 1, "{}", fleet.story());
    let stats = fleet.stats(1, "whole");
    assert_eq!(stats.of("push_wakeups"), before[0], "nothing was heard: {}", *stats);
    assert!(stats.of("poll_wakeups") >= 1, "{}", *stats);
    fleet.dismiss();
}

#[test]
fn memory_that_hears_of_nothing_ends_with_its_ttl() {
    let setup = Setup { ttl: 3_000, ..patient() };
    let Some(fleet) = start("no news, ttl", &[setup.clone(), setup]) else { return };
    fleet.proxy(1).set(Way::Answered, Passage::WithoutMessages("stampede:news"));
    let newer = outdated(&fleet, 1, 0, "k");
    until_it_says(&fleet, 1, "k", "its ttl ends", |number| number >= newer);
    assert_eq!(fleet.proxy(1).attempts(), 1, "through one connection");
    fleet.dismiss();
}

#[test]
fn memory_that_missed_news_is_old_at_the_next_connection() {
    // The ttl is far longer than a test.
    let Some(fleet) = start("no news, reconnect", &[(); 2].map(|()| Setup { ttl: 600_000, ..patient() })) else {
        return;
    };
    fleet.proxy(1).set(Way::Answered, Passage::WithoutMessages("stampede:news"));
    let newer = outdated(&fleet, 1, 0, "k");
    let call = fleet.call(1, "whole", "k", 1, &Task::value(0));
    assert!(fleet.got(call[0]).number() < Some(newer), "it was not told\n{}", fleet.story());
    fleet.proxy(1).cut();
    until_it_says(&fleet, 1, "k", "memory is dropped", |number| number >= newer);
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    fleet.dismiss();
}

#[test]
fn a_line_that_died_without_a_word_is_noticed_though_nobody_asks() {
    let Some(fleet) = start("half open", &[(); 2].map(|()| Setup { ttl: 600_000, ..hasty() })) else { return };
    let calls = fleet.call(1, "whole", "k", 1, &Task::value(0));
    all_have_values(&fleet, calls);
    let _ = fleet.stats(1, "whole");
    fleet.proxy(1).forget();
    let newer = outdated(&fleet, 0, 0, "k");
    fleet.again_until("there is another connection", || fleet.proxy(1).attempts() == 2);
    until_it_says(&fleet, 1, "k", "memory is dropped", |number| number >= newer);
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_line_that_closes_at_one_end_first_is_made_again() {
    let Some(fleet) = start("half closed", &[(); 3].map(|()| long(patient()))) else { return };
    let calls = one_leads(&fleet, &Task::value(0));
    for process in 0..3 {
        fleet.proxy(process).end_answers();
    }
    fleet.open(0);
    let got = all_have_values(&fleet, calls);
    assert!(fleet.executions("k") <= 3, "{}", fleet.story());
    assert!(got[..3].iter().all(|got| got.number() == Some(fleet.numbers("k")[0])), "{got:?}");
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn a_line_that_turns_bits_over_makes_no_value_another() {
    let Some(fleet) = start("spoilt", &[(); 2].map(|()| hasty())) else { return };
    for (round, every) in [31, 101, 257, 1009].into_iter().enumerate() {
        fleet.proxy(0).set(Way::Answered, Passage::Spoilt(every));
        for key in 0..25 {
            let key = format!("{key} of {round}");
            let calls = fleet.call_all("whole", &key, 2, &Task { bytes: 100, ..Task::value(5) });
            let got = all_have_values(&fleet, calls);
            let is_whole = |got: &Got| matches!(got, Got::Value(made) if made.padding == "x".repeat(100));
            assert!(got.iter().all(is_whole), "{}", fleet.story());
            assert!(fleet.executions(&key) <= 2, "{}", fleet.story());
        }
    }
    fleet.proxy(0).set_both(Passage::Free);
    fleet.proxy(0).cut();
    shares_again(&fleet);
    fleet.dismiss();
}
