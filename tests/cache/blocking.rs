//! `Cache::blocking`: the same cache from threads, in no runtime.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use stampede_runtime::testing::{Fault, FaultyBackend, Verb, isolate_with};
use stampede_runtime::ttl::HOUR;
use stampede_runtime::{Cache, Config};

use super::help::{World, in_time_blocking, until};
use super::process::DOWN;

fn users() -> Cache<usize> {
    Cache::builder("users").ttl(HOUR).stale(HOUR).build()
}

#[test]
fn it_needs_no_runtime() {
    in_time_blocking(|| {
        let users = users();
        let here = users.blocking();
        assert_eq!(here.get("1"), None);
        here.set("1", 1).unwrap();
        here.set_many([("2", 2)]).unwrap();
        assert_eq!((here.get("1"), here.exists("2"), here.get_many(["1", "2", "3"]).len()), (Some(1), true, 2));
        assert_eq!(here.get_or_set("1", || Err("not asked")), Ok(1));
        assert_eq!(here.get_or_set("3", || Ok::<_, ()>(3)), Ok(3));
        assert_eq!(here.get_or_set("4", || Err("down")), Err("down"));
        let load = |missing: Vec<String>| {
            assert_eq!(missing, ["4", "5"]);
            Ok::<_, ()>(missing.into_iter().map(|key| (key, 9)))
        };
        let found = here.get_or_set_many(["3", "4", "5"], load).unwrap();
        assert_eq!(found, HashMap::from([("3".to_owned(), 3), ("4".to_owned(), 9), ("5".to_owned(), 9)]));
        assert!(here.touch("1", HOUR).unwrap() && here.delete("1").unwrap() && !here.delete("1").unwrap());
    });
}

#[test]
fn threads_and_tasks_share_one_execution() {
    in_time_blocking(|| {
        let (users, world, runs) = (users(), World::new(), Arc::new(AtomicUsize::new(0)));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (users, runs) = (users.clone(), Arc::clone(&runs));
                let (world, gate) = (Arc::clone(&world), runtime.handle().clone());
                thread::spawn(move || {
                    users.blocking().get_or_set("1", move || {
                        runs.fetch_add(1, SeqCst);
                        let number = world.begin();
                        gate.block_on(world.gate(number));
                        Ok::<_, String>(number)
                    })
                })
            })
            .collect();
        until(|| users.stats().coalesce_hits == 3);
        let task = {
            let users = users.clone();
            runtime.spawn(async move { users.get_or_set("1", || async { Err("not asked".to_owned()) }).await })
        };
        until(|| users.stats().coalesce_hits == 4);
        world.open_all();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == Ok(1)));
        assert_eq!(runtime.block_on(task).unwrap(), Ok(1));
        assert_eq!(runs.load(SeqCst), 1);

        // And the other way round.
        let world = World::new();
        let task = {
            let (users, world) = (users.clone(), Arc::clone(&world));
            runtime.spawn(
                async move { users.get_or_set("2", || async move { Ok::<_, String>(world.body().await) }).await },
            )
        };
        until(|| world.runs() == 1);
        let before = users.stats().coalesce_hits;
        let other = {
            let users = users.clone();
            thread::spawn(move || users.blocking().get_or_set("2", || Err("not asked".to_owned())))
        };
        until(|| users.stats().coalesce_hits > before);
        world.open_all();
        assert_eq!((runtime.block_on(task).unwrap(), other.join().unwrap()), (Ok(1), Ok(1)));
    });
}

#[test]
fn a_panic_reaches_the_thread() {
    let panicked = thread::spawn(|| users().blocking().get_or_set("1", || -> Result<usize, ()> { panic!("expected") }));
    let panic = panicked.join().unwrap_err();
    assert_eq!(super::help::message(&*panic), "expected");
}

#[test]
fn it_may_be_called_inside_a_body_of_its_own() {
    in_time_blocking(|| {
        let users = users();
        let inner = users.clone();
        let outer = users
            .blocking()
            .get_or_set("1", move || inner.blocking().get_or_set("1", || Ok::<_, ()>(7)).map(|value| value + 1));
        assert_eq!(outer, Ok(8));
    });
}

#[test]
fn the_backend_is_asked_too() {
    in_time_blocking(|| {
        let fake = FaultyBackend::new();
        let config = || Config::builder().backend("main", fake.clone()).build().unwrap();
        let users = || -> Cache<usize> { Cache::builder("users").ttl(HOUR).backend("main").build() };
        {
            let _isolated = isolate_with(config());
            users().blocking().set("1", 1).unwrap();
            assert_eq!(users().blocking().get_or_set("2", || Ok::<_, ()>(2)), Ok(2));
        }
        let _isolated = isolate_with(config());
        let users = users();
        // On its way to the backend nobody waits.
        until(|| fake.on(Verb::Set).asked() == 2);
        assert_eq!((users.blocking().get("1"), users.blocking().get("2")), (Some(1), Some(2)));
        fake.on(Verb::Get).always(Fault::Delay(Duration::from_millis(10)));
        assert_eq!(users.blocking().get_or_set("3", || Ok::<_, ()>(3)), Ok(3), "on a thread of its own");
        fake.always(DOWN);
        assert!(users.blocking().delete("1").is_err());
        assert_eq!(users.blocking().get("1"), None);
    });
}

#[test]
fn loader_and_writer_are_driven_by_threads() {
    in_time_blocking(|| {
        let rows = Cache::builder("rows")
            .loader(|key: String| async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                key.parse::<usize>()
            })
            .writer(|key: String, value: usize| async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if key == "bad" { Err(format!("{value} is refused")) } else { Ok(()) }
            })
            .build();
        assert_eq!(rows.blocking().load("7").unwrap(), 7);
        assert!(rows.blocking().load("seven").is_err());
        rows.blocking().write("8", 80).unwrap();
        assert_eq!(rows.blocking().get("8"), Some(80));
        assert_eq!(rows.blocking().write("bad", 1).unwrap_err().to_string(), "1 is refused");
        let ended = rows.blocking().warm(["1", "2", "8"], 2, |_| ());
        assert_eq!((ended.done, ended.failed, ended.executed), (3, 0, 2));
    });
}
