//! What a test asks of a fleet.

use std::ops::Deref;
use std::sync::atomic::Ordering::SeqCst;

use super::events::{Command, Got, Task, What};
use super::host::Fleet;

impl Fleet {
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, SeqCst)
    }

    /// Has a worker call so often at once.
    pub(super) fn call(&self, process: usize, function: &str, key: &str, count: usize, task: &Task) -> Vec<u64> {
        let calls: Vec<_> = (0..count).map(|_| self.number()).collect();
        let (function, key) = (function.to_owned(), key.to_owned());
        self.tell(process, &Command::Call { calls: calls.clone(), function, key, task: task.clone() });
        calls
    }

    /// Has all workers call.
    pub(super) fn call_all(&self, function: &str, key: &str, count: usize, task: &Task) -> Vec<u64> {
        self.living().into_iter().flat_map(|process| self.call(process, function, key, count, task)).collect()
    }

    /// Has a crowd of callers call in a worker.
    pub(super) fn crowd(&self, process: usize, function: &str, key: &str, count: usize, task: &Task) -> u64 {
        let done = self.number();
        let (function, key) = (function.to_owned(), key.to_owned());
        self.tell(process, &Command::Crowd { done, function, key, count, task: task.clone() });
        done
    }

    /// Waits until a crowd has its result, which is one for all. How often it was read from bytes.
    pub(super) fn of_crowd(&self, done: u64) -> (Got, u64) {
        self.find("a crowd has its result", |event| match &event.what {
            What::Crowd { done: of, got, others, decoded } if *of == done => {
                assert_eq!(*others, 0, "not all got {got:?}");
                Some((got.clone(), *decoded))
            }
            _ => None,
        })
    }

    /// How often the server was asked since its statistics were reset, by command.
    pub(super) fn asked(&self, command: &str) -> u64 {
        let info = self.server().ask(&["INFO", "commandstats"]);
        let of = format!("cmdstat_{command}:calls=");
        let calls = info.lines().find_map(|line| line.strip_prefix(&of)?.split(',').next()?.parse().ok());
        calls.unwrap_or(0)
    }

    /// Has a worker call where nothing is in memory, and waits for the result.
    pub(super) fn fresh(&self, process: usize, function: &str, key: &str, task: &Task) -> Got {
        let call = self.begin_fresh(process, function, key, task);
        self.got(call)
    }

    /// The same without waiting.
    pub(super) fn begin_fresh(&self, process: usize, function: &str, key: &str, task: &Task) -> u64 {
        let call = self.number();
        let (function, key) = (function.to_owned(), key.to_owned());
        self.tell(process, &Command::Fresh { call, function, key, task: task.clone() });
        call
    }

    /// Has a worker call in a runtime that ends after so long.
    pub(super) fn doomed(&self, process: usize, key: &str, task: &Task, after: u64) -> u64 {
        let call = self.number();
        let (function, key) = ("whole".to_owned(), key.to_owned());
        self.tell(process, &Command::Doomed { call, function, key, task: task.clone(), after });
        call
    }

    /// Lets the bodies of a worker go on that wait for it.
    pub(super) fn open(&self, process: usize) {
        self.tell(process, &Command::Gate { is_open: true });
    }

    /// Has the bodies to come of a worker wait again.
    pub(super) fn close(&self, process: usize) {
        self.tell(process, &Command::Gate { is_open: false });
    }

    pub(super) fn cancel(&self, process: usize) {
        self.tell(process, &Command::Cancel);
    }

    /// Begins an invalidation.
    pub(super) fn begin_invalidating(&self, process: usize, function: &str, key: &str) -> u64 {
        let done = self.number();
        let (function, key) = (function.to_owned(), key.to_owned());
        self.tell(process, &Command::Invalidate { done, function, key, then: None });
        done
    }

    /// Invalidates; whether the servers were told.
    pub(super) fn invalidate(&self, process: usize, function: &str, key: &str) -> bool {
        let done = self.begin_invalidating(process, function, key);
        self.done(done)
    }

    /// Invalidates, and calls at once. Returns the call.
    pub(super) fn invalidate_then(&self, process: usize, function: &str, key: &str, task: &Task) -> u64 {
        let (done, call) = (self.number(), self.number());
        let (function, key) = (function.to_owned(), key.to_owned());
        self.tell(process, &Command::Invalidate { done, function, key, then: Some((call, task.clone())) });
        call
    }

    /// Begins to take everything out.
    pub(super) fn begin_clearing(&self, process: usize, function: &str) -> u64 {
        let done = self.number();
        self.tell(process, &Command::Clear { done, function: function.to_owned() });
        done
    }

    pub(super) fn clear(&self, process: usize, function: &str) -> bool {
        let done = self.begin_clearing(process, function);
        self.done(done)
    }

    pub(super) fn refresh(&self, process: usize, function: &str, key: &str, task: &Task) -> u64 {
        let call = self.number();
        let (function, key) = (function.to_owned(), key.to_owned());
        self.tell(process, &Command::Refresh { call, function, key, task: task.clone() });
        call
    }

    /// Begins to put a value in.
    pub(super) fn begin_inserting(&self, process: usize, function: &str, key: &str) -> u64 {
        let done = self.number();
        let (function, key) = (function.to_owned(), key.to_owned());
        self.tell(process, &Command::Insert { done, function, key });
        done
    }

    /// Puts a value in. Returns its number when it is there.
    pub(super) fn insert(&self, process: usize, function: &str, key: &str) -> u64 {
        let inserting = self.begin_inserting(process, function, key);
        self.find("the insertion is reported", |event| match event.what {
            What::Inserts { done, number, .. } if done == inserting => Some(number),
            _ => None,
        })
    }

    /// Waits until an invalidation is over; whether the servers were told.
    pub(super) fn done(&self, done: u64) -> bool {
        self.find(&format!("{done} is done"), |event| match event.what {
            What::Done { done: of, has_arrived } if of == done => Some(has_arrived),
            _ => None,
        })
    }

    /// What a worker counted for a function, once nothing is under way there.
    pub(super) fn stats(&self, process: usize, function: &str) -> Counted {
        self.stats_when(process, function, true)
    }

    /// What it has counted so far.
    pub(super) fn stats_now(&self, process: usize, function: &str) -> Counted {
        self.stats_when(process, function, false)
    }

    fn stats_when(&self, process: usize, function: &str, is_idle: bool) -> Counted {
        let done = self.number();
        self.tell(process, &Command::Stats { done, function: function.to_owned(), is_idle });
        let stats = self.find("stats are told", |event| match &event.what {
            What::Stats { done: of, stats } if *of == done => Some(stats.clone()),
            _ => None,
        });
        Counted(stats)
    }

    /// What all living workers counted, one field, together.
    pub(super) fn total(&self, function: &str, field: &str) -> u64 {
        self.living().into_iter().map(|process| self.stats(process, function).of(field)).sum()
    }

    /// The leases that the server knows of, by their keys.
    pub(super) fn leases(&self) -> Vec<String> {
        let keys = self.server().ask(&["KEYS", "*"]);
        keys.lines().filter(|key| key.ends_with(":lease")).map(ToOwned::to_owned).collect()
    }

    /// How many flights wait for other processes.
    pub(super) fn waiters(&self) -> usize {
        let of = |lease: &String| self.server().ask(&["HKEYS", lease]).matches("w:").count();
        self.leases().iter().map(of).sum()
    }

    /// Waits until so many flights wait for other processes.
    pub(super) fn waiting(&self, count: usize) {
        // The first look says that somebody leads, the second leaves the waiter's name.
        self.again_until(&format!("{count} flights wait"), || self.waiters() >= count);
    }
}

/// The stats of a worker.
pub(super) struct Counted(serde_json::Value);

impl Counted {
    pub(super) fn of(&self, field: &str) -> u64 {
        let mut value = &self.0;
        for part in field.split('.') {
            value = &value[part];
        }
        value.as_u64().unwrap_or_else(|| panic!("`{field}` is no number in {}", self.0))
    }

    /// That the sums are right, and what is saved has not been executed.
    pub(super) fn add_up(&self) {
        let sum = |fields: &[&str]| fields.iter().map(|field| self.of(field)).sum::<u64>();
        let saved = sum(&["cache_hits", "stale_hits", "coalesce_hits"]);
        assert_eq!(self.of("requests"), saved + sum(&["led", "bypassed", "refused"]), "{}", self.0);
        assert_eq!(self.of("executions"), sum(&["led", "refreshes", "retries"]), "{}", self.0);
        assert!(saved + self.of("led") <= self.of("requests"), "{}", self.0);
    }
}

impl Deref for Counted {
    type Target = serde_json::Value;

    fn deref(&self) -> &serde_json::Value {
        &self.0
    }
}
