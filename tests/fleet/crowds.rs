//! Many at once: callers, messages, processes that come back.

use super::events::{Got, Setup, Task, What};
use super::host::Fleet;
use super::server::shares_again;

#[test]
fn ten_thousand_waiters_of_one_process_ask_as_one() {
    const CALLERS: usize = 10_000;
    let Some(fleet) = Fleet::start("ten thousand", 2, &Setup { lease: 600_000, ..Setup::default() }) else { return };
    let warm = fleet.call_all("whole", "warm", 1, &Task::value(0));
    let _ = fleet.got_all(warm);
    let leads = fleet.call(0, "whole", "k", 1, &Task::value(0).gated());
    fleet.started("k", 1);
    let before = fleet.stats(1, "whole");
    fleet.server().ask(&["CONFIG", "RESETSTAT"]);
    let crowd = fleet.crowd(1, "whole", "k", CALLERS, &Task::value(0));
    fleet.waiting(1);
    fleet.find("all of them wait", |event| matches!(event.what, What::Gathered { .. }).then_some(()));
    fleet.open(0);
    let (got, decoded) = fleet.of_crowd(crowd);
    assert_eq!(got, fleet.got(leads[0]));
    assert_eq!((fleet.executions("k"), decoded), (1, 1), "{}", fleet.story());
    let stats = fleet.stats(1, "whole");
    let polls = stats.of("poll_wakeups") - before.of("poll_wakeups");
    assert_eq!(stats.of("lock_waited") - before.of("lock_waited"), 1, "{}", *stats);
    // It learns that somebody leads, leaves its name, and has the value; and looks now and then, in case it was forgotten. The
    // other end says that the value is there.
    let asked = fleet.asked("evalsha");
    assert!(asked <= 3 + 1 + polls, "{asked} questions with {polls} looks");
    assert_eq!(fleet.asked("subscribe"), 0, "the one subscription of a process is there");
    fleet.note(format_args!("{CALLERS} waiters: {asked} questions, {polls} of them looks"));
    fleet.dismiss();
}

#[test]
fn a_storm_of_messages_delays_nobody_for_long_and_drops_no_value_of_the_server() {
    let Some(fleet) = Fleet::start("storm", 3, &Setup::default()) else { return };
    let kept = fleet.call_all("whole", "kept", 1, &Task::value(0));
    let kept = fleet.got_all(kept);
    // More than are ever waiting to be taken, of every kind and of none.
    let storm = "for i = 1, 4000 do \
         redis.call('PUBLISH', 'stampede:news', 'x k stampede:{whole::whole:v0:#' .. i .. '}') \
         redis.call('PUBLISH', 'stampede:news', 'x t tag' .. i) \
         redis.call('PUBLISH', 'stampede:news', 'x c stampede:{others' .. i) end \
         for i = 1, 100 do redis.call('PUBLISH', 'stampede:news', 'nothing that anybody says') end";
    for round in 0..2 {
        fleet.server().ask(&["EVAL", storm, "0"]);
        let key = format!("k{round}");
        let calls = fleet.call_all("whole", &key, 20, &Task::value(200));
        let got = fleet.got_all(calls);
        assert!(got.iter().all(|got| matches!(got, Got::Value(_))), "{got:?}");
        assert!(fleet.executions(&key) <= 3, "{}", fleet.story());
    }
    let again = fleet.call_all("whole", "kept", 1, &Task::value(0));
    assert_eq!(fleet.got_all(again), kept, "memory may have been dropped; the server has it");
    assert_eq!(fleet.executions("kept"), 1, "{}", fleet.story());
    shares_again(&fleet);
    fleet.dismiss();
}

#[test]
fn twenty_processes_come_back_to_a_server_one_attempt_at_a_time() {
    const PROCESSES: usize = 20;
    let setup = Setup { patience: None, has_proxy: true, ..Setup::default() };
    let Some(mut fleet) = Fleet::start("thundering", PROCESSES, &setup) else { return };
    let warm = fleet.call_all("whole", "warm", 1, &Task::value(200));
    let _ = fleet.got_all(warm);
    let attempts = |fleet: &Fleet| (0..PROCESSES).map(|process| fleet.proxy(process).attempts()).collect::<Vec<_>>();
    // One each, unless the machine was too busy for the first to be in time.
    let before = attempts(&fleet);
    fleet.server_mut().kill();
    let down = std::time::Instant::now();
    // Everybody goes on asking meanwhile.
    for round in 0..10 {
        let calls = fleet.call_all("whole", &format!("down {round}"), 3, &Task::value(100));
        assert!(fleet.got_all(calls).iter().all(|got| matches!(got, Got::Value(_))));
    }
    let since = |fleet: &Fleet| {
        let both = attempts(fleet).into_iter().zip(&before);
        both.map(|(now, before)| now - before).collect::<Vec<_>>()
    };
    let (down, meanwhile) = (down.elapsed(), since(&fleet));
    fleet.server_mut().restart();
    shares_again(&fleet);
    let connections = || fleet.server().ask(&["CLIENT", "LIST"]).lines().filter(|line| line.contains("resp=3")).count();
    fleet.again_until("all are back", || connections() == PROCESSES);
    let afterwards = since(&fleet);
    let most = (0..PROCESSES).map(|process| fleet.proxy(process).most_at_once()).max();
    // One that is lost, or was too late, may still be counted while the next one is made.
    assert!(most <= Some(3), "{most:?} connections of one process at once");
    // At once, and then after pauses that double, from 25 ms up to a second at least.
    let most_attempts = 8 + usize::try_from(down.as_secs()).expect("a while");
    for attempts in &meanwhile {
        assert!(*attempts <= most_attempts, "{meanwhile:?} in {down:.1?}");
    }
    fleet.note(format_args!(
        "{} to {} attempts per process while it was down for {down:.1?}, {} to {} until all were back",
        meanwhile.iter().min().expect("some"),
        meanwhile.iter().max().expect("some"),
        afterwards.iter().min().expect("some"),
        afterwards.iter().max().expect("some"),
    ));
    fleet.dismiss();
}
