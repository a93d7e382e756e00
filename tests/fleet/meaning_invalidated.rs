//! What is taken out in one process is gone for all, in Redis and in PostgreSQL, also what is being made just then.

use std::thread;
use std::time::Duration;

use super::events::{Setup, Task};
use super::host::Fleet;
use super::meaning::{Held, Servers, start};

const ONE: &str = "@0 one";
/// Near to it.
const OTHER: &str = "@15 other";

/// What is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Out {
    /// The question itself.
    It,
    /// One that is near to it.
    Other,
    All,
}

impl Out {
    /// The question, of a tenant of its own.
    fn one(self) -> String {
        format!("{self:?}/{ONE}")
    }

    /// What is answered anew after that.
    fn asked(self) -> String {
        format!("{self:?}/{}", if self == Out::Other { OTHER } else { ONE })
    }

    /// Has a process do it; whether all servers were told.
    fn take(self, fleet: &Fleet, process: usize) -> bool {
        match self {
            Out::It | Out::Other => fleet.invalidate(process, "meaning", &self.asked()),
            Out::All => fleet.clear(process, "meaning"),
        }
    }
}

/// Long enough that nothing here is decided by a lease, or a patience, that ran out.
fn long() -> Setup {
    Setup { lease: 600_000, patience: Some(30_000), ..Setup::default() }
}

fn each(name: &str, workers: usize, test: impl Fn(&Fleet, Servers, Out)) {
    for servers in Servers::ALL {
        let Some(fleet) = start(name, servers, workers, &long()) else { return };
        for out in [Out::It, Out::Other, Out::All] {
            test(&fleet, servers, out);
        }
        fleet.dismiss();
    }
}

#[test]
fn what_is_taken_out_in_one_process_is_made_anew_in_others() {
    each("taken out", 3, |fleet, _, out| {
        let made = fleet.ask(0, &out.one());
        assert!(out.take(fleet, 1));
        assert!(!fleet.keeps(&made), "{:?}", fleet.kept());
        let anew = fleet.fresh(2, "meaning", &out.asked(), &Task::value(0));
        assert!(anew.number() > made.number(), "{}", fleet.story());
        // Whoever has taken it out sees what has been made since.
        assert_eq!(fleet.ask(1, &out.asked()), anew, "{}", fleet.story());
    });
}

#[test]
fn what_others_have_in_memory_for_being_near_goes_with_what_it_was_taken_from() {
    let Some(fleet) = start("near elsewhere", Servers::Both, 3, &long()) else { return };
    for out in [Out::It, Out::All] {
        let (one, near) = (out.one(), format!("{out:?}/{OTHER}"));
        let made = fleet.ask(0, &one);
        assert_eq!(fleet.ask(1, &near), made);
        let hits = |fleet: &Fleet| fleet.stats(1, "meaning").of("cache_hits");
        let before = hits(&fleet);
        assert_eq!(fleet.ask(1, &near), made);
        assert_eq!(hits(&fleet), before + 1, "it is not in memory");
        assert!(out.take(&fleet, 2));
        fleet.again_until("the other process has heard of it", || fleet.ask(1, &near).number() > made.number());
    }
    fleet.dismiss();
}

#[test]
fn who_comes_after_it_was_taken_out_elsewhere_joins_nothing_that_began_before() {
    let Some(fleet) = start("no joining", Servers::Both, 2, &long()) else { return };
    for out in [Out::It, Out::All] {
        let (one, near, beside) = (out.one(), format!("{out:?}/{OTHER}"), format!("{out:?}/@120 beside"));
        let kept = fleet.ask(0, &beside);
        fleet.close(0);
        let own = fleet.call(0, "meaning", &one, 1, &Task::value(0).gated());
        fleet.started(&one, 1);
        assert!(out.take(&fleet, 1));
        // Messages come in their order, so the first has come when this one has.
        assert!(fleet.invalidate(1, "meaning", &beside));
        fleet.again_until("it has heard of both", || {
            let call = fleet.call(0, "meaning", &beside, 1, &Task::value(0));
            fleet.got(call[0]) != kept
        });
        let later = fleet.call(0, "meaning", &near, 1, &Task::value(0).gated());
        fleet.started(&near, 1);
        fleet.open(0);
        let (own, later) = (fleet.got(own[0]), fleet.got(later[0]));
        assert!(own.number() < later.number(), "{}", fleet.story());
    }
    fleet.dismiss();
}

#[test]
fn what_another_process_is_making_meanwhile_is_for_its_callers_alone() {
    each("meanwhile", 3, |fleet, servers, out| {
        fleet.close(0);
        let writes = |fleet: &Fleet| {
            let stats = fleet.stats(0, "meaning");
            let refused = stats.of("fenced_writes") + stats.of("lock_lost");
            [stats.of("backend_writes"), stats.of("semantic.index_writes"), refused]
        };
        let before = writes(fleet);
        let own = fleet.call(0, "meaning", &out.one(), 3, &Task::value(0).gated());
        fleet.started(&out.one(), 1);
        assert!(out.take(fleet, 1));
        fleet.open(0);
        let number = fleet.numbers(&out.one())[0];
        let own = fleet.got_all(own);
        assert!(own.iter().all(|got| got.number() == Some(number)), "{own:?}");
        assert!(!fleet.keeps(&own[0]), "{:?}\n{}", fleet.kept(), fleet.story());
        let after = writes(fleet);
        if out != Out::Other {
            // Where the message comes first, it does not even try.
            assert_eq!(after[..2], before[..2], "{}", fleet.story());
            assert!(after[2] - before[2] <= u64::from(servers.has_redis()), "{}", fleet.story());
        }
        let anew = fleet.fresh(2, "meaning", &out.asked(), &Task::value(0));
        assert!(anew.number() > Some(number), "{}", fleet.story());
    });
}

#[test]
fn what_the_same_process_is_making_meanwhile_answers_nobody_who_comes_later() {
    each("meanwhile here", 2, |fleet, servers, out| {
        fleet.close(0);
        let own = fleet.call(0, "meaning", &out.one(), 1, &Task::value(0).gated());
        fleet.started(&out.one(), 1);
        assert!(out.take(fleet, 0));
        // Nor does it join, but executes beside it.
        let beside = fleet.call(0, "meaning", &out.asked(), 1, &Task::value(0).gated());
        fleet.started(&out.asked(), if out == Out::Other { 1 } else { 2 });
        fleet.open(0);
        let (own, beside) = (fleet.got(own[0]), fleet.got(beside[0]));
        assert!(own.number() < beside.number(), "{}", fleet.story());
        let _ = fleet.stats(0, "meaning");
        assert_eq!(fleet.ask(0, &out.asked()), beside, "{}", fleet.story());
        let elsewhere = fleet.fresh(1, "meaning", &out.asked(), &Task::value(0));
        // Without a lease the key is taken out once more where both had something to say of it at once.
        let is_new = elsewhere.number() > beside.number() && !servers.has_redis();
        assert!(elsewhere == beside || is_new, "{}", fleet.story());
    });
}

#[test]
fn nothing_comes_back_between_the_two_servers() {
    for out in [Out::It, Out::All] {
        let Some(fleet) = start(&format!("{out:?} on its way"), Servers::Both, 3, &long()) else { return };
        assert_eq!(fleet.ask(0, ONE).number(), Some(1));
        let held = Held::hold(&fleet);
        let done = match out {
            Out::All => fleet.begin_clearing(1, "meaning"),
            _ => fleet.begin_invalidating(1, "meaning", ONE),
        };
        fleet.again_until("it is half way", || held.is_wanted());
        // Who asks now may get what is there. It must not be put where it is gone already.
        let between = fleet.fresh(2, "meaning", ONE, &Task::value(0));
        assert_eq!(between.number(), Some(1));
        drop(held);
        assert!(fleet.done(done));
        assert_eq!(fleet.fresh(2, "meaning", ONE, &Task::value(0)).number(), Some(2), "{}", fleet.story());
        fleet.dismiss();
    }
}

#[test]
fn what_a_process_keeps_to_itself_goes_too() {
    let Some(fleet) = start("to itself", Servers::Redis, 3, &long()) else { return };
    for out in [Out::It, Out::All] {
        let made = fleet.ask(0, &out.one());
        // Another one of its memory, from its own index.
        assert_eq!(fleet.ask(0, &format!("{out:?}/{OTHER}")), made);
        assert!(out.take(&fleet, 1));
        for question in ["@0  ONE", OTHER, "@10 third"] {
            let question = format!("{out:?}/{question}");
            fleet.again_until("it has heard of it", || fleet.ask(0, &question).number() > made.number());
        }
        let anew = fleet.fresh(2, "meaning", &out.one(), &Task::value(0));
        assert!(anew.number() > made.number(), "{}", fleet.story());
    }
    fleet.dismiss();
}

#[test]
fn what_a_process_keeps_to_itself_goes_when_messages_may_have_been_lost() {
    let Some(fleet) = start("lost to itself", Servers::Redis, 1, &long()) else { return };
    let made = fleet.ask(0, ONE);
    let mut spellings = 0;
    // In other words each time, which its memory knows nothing of.
    let mut again = || {
        spellings += 1;
        fleet.ask(0, &format!("@10 spelling {spellings}"))
    };
    assert_eq!(again(), made);
    fleet.server().ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    fleet.again_until("it begins anew", || again().number() > made.number());
    fleet.dismiss();
}

#[test]
fn a_question_is_taken_out_however_it_is_written() {
    for servers in Servers::ALL {
        let Some(fleet) = start("spelling", servers, 2, &long()) else { return };
        assert_eq!(fleet.ask(0, ONE).number(), Some(1));
        assert_eq!(fleet.ask(0, "@0  ONE").number(), Some(1));
        assert!(fleet.invalidate(0, "meaning", ONE));
        assert_eq!(fleet.ask(0, "@0  ONE").number(), Some(2), "{}", fleet.story());
        assert_eq!(fleet.ask(0, ONE).number(), Some(2), "{}", fleet.story());
        assert_eq!(fleet.fresh(1, "meaning", "@0 One", &Task::value(0)).number(), Some(2), "{}", fleet.story());
        fleet.dismiss();
    }
}

#[test]
fn what_is_put_in_meanwhile_stays() {
    for servers in Servers::ALL {
        let Some(fleet) = start("put in meanwhile", servers, 3, &long()) else { return };
        let own = fleet.call(0, "meaning", ONE, 1, &Task::value(0).gated());
        fleet.started(ONE, 1);
        // Without a lease, what began at the same moment as the body may be held to be older.
        thread::sleep(Duration::from_millis(200));
        let number = fleet.insert(1, "meaning", ONE);
        let _ = fleet.stats(1, "meaning");
        fleet.open(0);
        assert_eq!(fleet.got(own[0]).number(), Some(1));
        let _ = fleet.stats(0, "meaning");
        assert_eq!(fleet.fresh(2, "meaning", ONE, &Task::value(0)).number(), Some(number), "{}", fleet.story());
        if servers.has_postgres() {
            assert_eq!(fleet.kept(), [format!("{ONE} = {number}")]);
            assert_eq!(fleet.fresh(2, "meaning", OTHER, &Task::value(0)).number(), Some(number), "{}", fleet.story());
        }
        fleet.dismiss();
    }
}

#[test]
fn calls_right_after_an_invalidation_are_kept_and_found() {
    for servers in Servers::ALL {
        let Some(fleet) = start("right after", servers, 2, &long()) else { return };
        for round in 0..10 {
            let question = format!("t{round}/{ONE}");
            let first = fleet.ask(0, &question);
            let again = fleet.invalidate_then(0, "meaning", &question, &Task::value(0));
            let again = fleet.got(again);
            assert!(again.number() > first.number(), "{}", fleet.story());
            let _ = fleet.stats(0, "meaning");
            assert_eq!(fleet.fresh(1, "meaning", &question, &Task::value(0)), again, "{}", fleet.story());
            assert_eq!(fleet.executions(&question), 2);
        }
        fleet.dismiss();
    }
}
