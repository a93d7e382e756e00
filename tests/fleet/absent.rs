//! No server at all.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::events::{Got, Setup, Task};
use super::host::Fleet;

#[test]
fn without_a_server_each_process_shares_within_itself_and_says_so_once() {
    let fleet = Fleet::of("no server", None, 2, &Setup::default());
    for function in ["whole", "texts", "maybe", "passing", "sync"] {
        let calls = fleet.call_all(function, function, 20, &Task::value(300));
        let got = fleet.got_all(calls);
        assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
        assert_eq!(fleet.executions(function), 2, "one in each\n{}", fleet.story());
        for process in 0..2 {
            let stats = fleet.stats(process, function);
            stats.add_up();
            assert_eq!((stats.of("redis_failures"), stats.of("requests")), (1, 20), "{}", *stats);
            assert_eq!(stats["backend_state"], "missing");
        }
    }
    assert!(fleet.invalidate(0, "whole", "whole"), "there is nobody to tell");
    let again = fleet.call(0, "whole", "whole", 1, &Task::value(0));
    fleet.got(again[0]);
    assert_eq!(fleet.executions("whole"), 3);
    for process in 0..2 {
        let said = fleet.logged(process);
        assert_eq!(said.len(), 1, "{said:?}");
    }
    fleet.dismiss();
}

/// Calls with a hundred keys, one after the other: each alone would wait for a time limit.
fn costs_little(name: &str, url: &str) {
    let setup = Setup { url: Some(url.to_owned()), patience: None, ..Setup::default() };
    let fleet = Fleet::of(name, None, 2, &setup);
    let calls = fleet.call_all("whole", "k", 50, &Task::value(100));
    let got = fleet.got_all(calls);
    assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
    assert_eq!(fleet.executions("k"), 2, "{}", fleet.story());
    let begun = Instant::now();
    for number in 0..100 {
        let call = fleet.call(0, "whole", &format!("k{number}"), 1, &Task::value(0));
        fleet.got(call[0]);
    }
    fleet.note(format_args!("100 calls one after the other took {:.0?}", begun.elapsed()));
    assert!(begun.elapsed() < Duration::from_secs(15), "each pays for the server that is not there");
    let stats = fleet.stats(0, "whole");
    stats.add_up();
    assert_eq!(stats.of("redis_failures"), 101, "{}", *stats);
    assert!(stats.of("backend_faults.resting") >= 1, "{}", *stats);
    assert_ne!(stats["backend_state"], "closed");
    assert_eq!(fleet.logged(0).len(), 1, "{:?}", fleet.logged(0));
    fleet.dismiss();
}

#[test]
fn a_server_that_is_not_there_costs_little() {
    costs_little("not there", "redis://127.0.0.1:1");
}

#[test]
fn a_server_that_never_answers_costs_little() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("an address").port();
    costs_little("silent", &format!("redis://127.0.0.1:{port}"));
}
