//! `Cache::load`, `write` and `warm`: through the cache to where values belong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use stampede_runtime::testing::FaultyBackend;
use stampede_runtime::ttl::HOUR;
use stampede_runtime::{Cache, Entry, Error, Loader, Progress, Writer, warm_up};
use tokio::sync::Notify;

use super::help::{World, all, alone, boarded, crowd, panic_of, settle};
use super::process::{DOWN, process};

/// A store of record.
#[derive(Default)]
struct Store {
    rows: Mutex<HashMap<String, u32>>,
    mood: Mutex<How>,
    /// Writes wait here after they are done, where they do.
    gate: Notify,
    loads: World,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum How {
    #[default]
    Well,
    /// Writes, and then fails: nobody knows that it has written.
    Fails,
    Panics,
    /// Writes, and answers when the gate is open.
    Lingers,
}

#[derive(Debug, PartialEq)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

impl Store {
    fn new() -> Arc<Store> {
        Arc::default()
    }

    fn is(&self, how: How) {
        *self.mood.lock().unwrap() = how;
    }

    fn row(&self, key: &str) -> Option<u32> {
        self.rows.lock().unwrap().get(key).copied()
    }

    async fn write(&self, key: String, value: u32) -> Result<(), Broken> {
        self.rows.lock().unwrap().insert(key, value);
        let how = *self.mood.lock().unwrap();
        match how {
            How::Well => Ok(()),
            How::Fails => Err(Broken),
            How::Panics => panic!("expected"),
            How::Lingers => {
                self.gate.notified().await;
                Ok(())
            }
        }
    }

    async fn load(&self, key: String) -> Result<u32, Broken> {
        let row = self.row(&key);
        self.loads.body().await;
        row.ok_or(Broken)
    }

    fn cache(self: &Arc<Self>) -> Cache<u32, Loader<u32>, Writer<u32>> {
        self.cache_with(Cache::builder("rows").ttl(HOUR))
    }

    fn cache_with(
        self: &Arc<Self>,
        builder: stampede_runtime::CacheBuilder<u32>,
    ) -> Cache<u32, Loader<u32>, Writer<u32>> {
        let (reads, writes) = (Arc::clone(self), Arc::clone(self));
        builder
            .loader(move |key| {
                let store = Arc::clone(&reads);
                async move { store.load(key).await }
            })
            .writer(move |key, value| {
                let store = Arc::clone(&writes);
                async move { store.write(key, value).await }
            })
            .build()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_loaded_once() {
    alone(async {
        let store = Store::new();
        let rows = store.cache();
        store.rows.lock().unwrap().insert("1".to_owned(), 10);
        let calls = crowd(10, || {
            let rows = rows.clone();
            async move { rows.load("1").await.map_err(|_| ()) }
        })
        .await;
        store.loads.open_all();
        assert_eq!(all(calls).await, [Ok(10); 10]);
        assert_eq!((rows.load("1").await.unwrap(), store.loads.runs()), (10, 1));

        let error = rows.load("2").await.unwrap_err();
        assert_eq!((error.downcast_ref(), error.to_string()), (Some(&Broken), "broken".to_owned()));
        store.rows.lock().unwrap().insert("2".to_owned(), 20);
        assert_eq!(rows.load("2").await.unwrap(), 20, "an error is not kept");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_write_is_kept_after_it_is_done() {
    alone(async {
        let store = Store::new();
        let rows = store.cache();
        rows.write("1", 1).await.unwrap();
        store.is(How::Lingers);
        let write = {
            let rows = rows.clone();
            boarded(async move { rows.write_with("1", 2, Entry::new().tags(["row"])).await }).await
        };
        assert_eq!((store.row("1"), rows.get("1").await), (Some(2), Some(1)));
        store.gate.notify_one();
        write.await.unwrap().unwrap();
        assert_eq!(rows.get("1").await, Some(2));
        assert_eq!(rows.invalidate_tags(["row"]).removed(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_write_of_which_nobody_knows_takes_the_key_out() {
    alone(async {
        for how in [How::Fails, How::Panics, How::Lingers] {
            let store = Store::new();
            let rows = store.cache();
            rows.write("1", 1).await.unwrap();
            store.is(how);
            let write = {
                let rows = rows.clone();
                tokio::spawn(async move { rows.write("1", 2).await })
            };
            settle().await;
            match how {
                How::Fails => {
                    let error = write.await.unwrap().unwrap_err();
                    assert!(matches!(&error, Error::Shared(_)) && error.downcast_ref() == Some(&Broken));
                }
                How::Panics => assert_eq!(panic_of(write).await, "expected"),
                How::Well | How::Lingers => {
                    write.abort();
                    settle().await;
                }
            }
            assert_eq!(rows.get("1").await, None);
            store.loads.open_all();
            assert_eq!(rows.load("1").await.unwrap(), 2);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_loaded_before_a_write_is_not_kept_after_it() {
    alone(async {
        let store = Store::new();
        let rows = store.cache();
        store.rows.lock().unwrap().insert("1".to_owned(), 1);
        let load = {
            let rows = rows.clone();
            boarded(async move { rows.load("1").await }).await
        };
        rows.write("1", 2).await.unwrap();
        store.loads.open_all();
        assert_eq!(load.await.unwrap().unwrap(), 1, "it was asked before");
        assert_eq!(rows.get("1").await, Some(2));
    })
    .await;
}

/// The one that answers last need not be the one that the store has.
#[tokio::test(start_paused = true)]
async fn two_writes_at_one_time_leave_nothing_behind() {
    alone(async {
        let store = Store::new();
        let rows = store.cache();
        store.is(How::Lingers);
        let write = |value| {
            let rows = rows.clone();
            boarded(async move { rows.write("1", value).await })
        };
        let (one, two) = (write(1).await, write(2).await);
        let apart = {
            let rows = rows.clone();
            boarded(async move { rows.write("2", 3).await }).await
        };
        store.gate.notify_one();
        one.await.unwrap().unwrap();
        assert_eq!(rows.get("1").await, None);
        store.gate.notify_waiters();
        two.await.unwrap().unwrap();
        apart.await.unwrap().unwrap();
        assert_eq!((rows.get("1").await, rows.get("2").await), (None, Some(3)));
        store.is(How::Well);
        rows.write("1", 4).await.unwrap();
        assert_eq!(rows.get("1").await, Some(4), "alone again, it is kept");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn writes_reach_the_backend_and_do_not_fail_with_it() {
    let (store, fake) = (Store::new(), FaultyBackend::new());
    let cache = |store: &Arc<Store>| store.cache_with(Cache::builder("rows").ttl(HOUR).backend("main"));
    process(&fake, async { cache(&store).write("1", 1).await.unwrap() }).await;
    process(&fake, async {
        let rows = cache(&store);
        assert_eq!(rows.load("1").await.unwrap(), 1, "it came from there");
        assert_eq!(store.loads.runs(), 0);
        fake.always(DOWN);
        rows.write("1", 2).await.unwrap();
        assert_eq!((store.row("1"), rows.get("1").await), (Some(2), Some(2)));
        fake.heal();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn warming_up_loads_what_is_missing_some_at_a_time() {
    alone(async {
        let store = Store::new();
        let rows = store.cache();
        store.rows.lock().unwrap().extend((0..10).map(|key| (key.to_string(), key)));
        rows.write("0", 0).await.unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let warming = {
            let (rows, seen) = (rows.clone(), Arc::clone(&seen));
            boarded(async move {
                let keys: Vec<String> = (0..11).map(|key| key.to_string()).collect();
                rows.warm(keys, 3, |progress| seen.lock().unwrap().push(*progress)).await
            })
            .await
        };
        assert_eq!(store.loads.runs(), 3, "no more at once");
        store.loads.open(1);
        store.loads.begun(4).await;
        settle().await;
        assert_eq!(store.loads.runs(), 4);
        store.loads.open_all();
        let ended = warming.await.unwrap();
        let figures = |it: &Progress| (it.done, it.failed, it.executed, it.total);
        assert_eq!(figures(&ended), (11, 1, 10, Some(11)));
        assert_eq!(seen.lock().unwrap().iter().map(|it| it.done).collect::<Vec<_>>(), (1..=11).collect::<Vec<_>>());
        assert_eq!(rows.stats().cache_size, 10);
        let ended = rows.warm(["1", "2"], 0, |_| ()).await;
        assert_eq!(figures(&ended), (2, 0, 0, Some(2)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn any_calls_can_be_made_to_warm_up() {
    alone(async {
        let world = World::new();
        let calls = (0..5).map(|number| {
            let world = Arc::clone(&world);
            async move {
                world.body().await;
                assert_ne!(number, 1, "expected");
                if number == 2 { Err(Broken) } else { Ok(number) }
            }
        });
        // How many there are it does not say.
        let calls = calls.filter(|_| true);
        let mut warming = Box::pin(warm_up(calls, 2, |_| ()));
        let first = std::future::poll_fn(|cx| std::task::Poll::Ready(warming.as_mut().poll(cx))).await;
        assert!(first.is_pending());
        assert_eq!(world.runs(), 2);
        world.open_all();
        let ended = warming.await;
        assert_eq!((ended.done, ended.failed, ended.total), (5, 2, None));
        assert_eq!(world.runs(), 5);
    })
    .await;
}
