//! `Cache::get_or_set` and `get_or_set_many`: one execution of a key, whoever asks for it and with whom.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use stampede_runtime::ttl::HOUR;
use stampede_runtime::{Cache, bypass, refresh};

use super::help::{World, add_up, all, alone, boarded, crowd, panic_of, settle};

type Users = Cache<usize>;

fn users() -> Users {
    Cache::builder("users").ttl(HOUR).build()
}

fn one(users: &Users, key: &'static str, world: &Arc<World>) -> impl Future<Output = Result<usize, String>> + use<> {
    let (users, world) = (users.clone(), Arc::clone(world));
    async move { users.get_or_set(key, || async move { Ok(world.body().await) }).await }
}

/// What each load was asked for.
type Asked = Arc<Mutex<Vec<Vec<String>>>>;

/// Loads as many as there are, each as the number of the load.
fn many(
    users: &Users,
    keys: &'static [&'static str],
    world: &Arc<World>,
    asked: &Asked,
) -> impl Future<Output = Result<HashMap<String, usize>, String>> + Send + use<> {
    let (users, world, asked) = (users.clone(), Arc::clone(world), Arc::clone(asked));
    async move {
        let load = |missing: Vec<String>| {
            asked.lock().unwrap().push(missing.clone());
            let world = Arc::clone(&world);
            async move {
                let number = world.body().await;
                Ok(missing.into_iter().map(move |key| (key, number)))
            }
        };
        users.get_or_set_many(keys.iter().copied(), load).await
    }
}

fn asked(asked: &Asked) -> Vec<Vec<String>> {
    asked.lock().unwrap().clone()
}

fn pairs(expected: &[(&str, usize)]) -> HashMap<String, usize> {
    expected.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
}

#[tokio::test(start_paused = true)]
async fn all_who_miss_a_key_share_one_execution() {
    alone(async {
        let (users, world) = (users(), World::new());
        let mut calls = crowd(100, || one(&users, "1", &world)).await;
        // Nobody owns it.
        calls.remove(0).abort();
        assert_eq!(users.get("1").await, None, "a look-up does not wait");
        world.open_all();
        assert!(all(calls).await.iter().all(|result| *result == Ok(1)));
        assert_eq!(users.get("1").await, Some(1));
        let stats = users.stats();
        add_up(&stats);
        assert_eq!((stats.executions, stats.coalesce_hits, stats.misses), (1, 99, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn errors_are_shared_and_not_kept_and_those_of_others_are_not_understood() {
    alone(async {
        let (users, world) = (users(), World::new());
        let fails = |users: Users, world: Arc<World>| async move {
            users.get_or_set("1", || async move { Err::<usize, _>(format!("failure {}", world.body().await)) }).await
        };
        let calls = crowd(3, || fails(users.clone(), Arc::clone(&world))).await;
        let other = {
            let users = users.clone();
            boarded(async move { users.get_or_set("1", || async { Err::<usize, _>(7_u8) }).await }).await
        };
        world.open_all();
        assert!(all(calls).await.iter().all(|result| *result == Err("failure 1".to_owned())));
        assert_eq!(other.await.unwrap(), Err(7));
        assert_eq!(one(&users, "1", &world).await, Ok(2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_set_or_deleted_meanwhile_wins() {
    alone(async {
        let (users, world) = (users(), World::new());
        let call = boarded(one(&users, "1", &world)).await;
        users.set("1", 100).await.unwrap();
        let deleted = boarded(one(&users, "2", &world)).await;
        assert!(!users.delete("2").await.unwrap(), "nothing was kept");
        world.open_all();
        assert_eq!((call.await.unwrap(), deleted.await.unwrap()), (Ok(1), Ok(2)));
        assert_eq!((users.get("1").await, users.get("2").await), (Some(100), None));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_load_has_all_that_is_missing() {
    alone(async {
        let (users, world, log) = (users(), World::at_ease(), Asked::default());
        users.set("2", 20).await.unwrap();
        let found = many(&users, &["1", "2", "3", "1"], &world, &log).await;
        assert_eq!(found, Ok(pairs(&[("1", 1), ("2", 20), ("3", 1)])));
        assert_eq!(asked(&log), [["1", "3"]]);
        // What was loaded is kept, and where nothing is missing nothing is loaded.
        assert_eq!(many(&users, &["1", "2", "3"], &world, &log).await, found);
        assert_eq!(world.runs(), 1);
        let stats = users.stats();
        add_up(&stats);
        assert_eq!((stats.requests, stats.cache_hits, stats.led, stats.misses), (6, 4, 2, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_two_miss_at_once_is_loaded_once() {
    alone(async {
        let (users, world, log) = (users(), World::new(), Asked::default());
        let first = boarded(many(&users, &["1", "2"], &world, &log)).await;
        let second = boarded(many(&users, &["2", "3"], &world, &log)).await;
        let third = boarded(many(&users, &["1", "3"], &world, &log)).await;
        let alone = boarded(one(&users, "3", &world)).await;
        assert_eq!(asked(&log), [&["1", "2"][..], &["3"]]);
        world.open_all();
        assert_eq!(first.await.unwrap(), Ok(pairs(&[("1", 1), ("2", 1)])));
        assert_eq!(second.await.unwrap(), Ok(pairs(&[("2", 1), ("3", 2)])));
        assert_eq!(third.await.unwrap(), Ok(pairs(&[("1", 1), ("3", 2)])));
        assert_eq!(alone.await.unwrap(), Ok(2));
        assert_eq!(world.runs(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_load_goes_on_for_those_who_wait_for_any_of_its_keys() {
    alone(async {
        let (users, world, log) = (users(), World::new(), Asked::default());
        let first = boarded(many(&users, &["1", "2"], &world, &log)).await;
        let second = boarded(one(&users, "2", &world)).await;
        first.abort();
        settle().await;
        world.open_all();
        assert_eq!(second.await.unwrap(), Ok(1));
        assert_eq!(world.ended(), 1, "it was not begun anew");
        // Nobody waited for the other key.
        assert_eq!((users.get("1").await, users.get("2").await), (None, Some(1)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_load_that_nobody_waits_for_ends() {
    alone(async {
        let (users, world, log) = (users(), World::new(), Asked::default());
        let call = boarded(many(&users, &["1", "2"], &world, &log)).await;
        call.abort();
        world.gone(1).await;
        assert_eq!((world.ended(), users.stats().in_flight), (0, 0));
        world.open_all();
        assert_eq!(many(&users, &["1"], &world, &log).await, Ok(pairs(&[("1", 2)])));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_load_reaches_all_its_keys_and_is_not_kept() {
    alone(async {
        let (users, world) = (users(), World::new());
        let fails = |keys: [&'static str; 2]| {
            let (users, world) = (users.clone(), Arc::clone(&world));
            async move {
                let load = |_| {
                    let world = Arc::clone(&world);
                    async move { Err::<Vec<_>, _>(format!("failure {}", world.body().await)) }
                };
                users.get_or_set_many(keys, load).await
            }
        };
        let first = boarded(fails(["1", "2"])).await;
        let second = boarded(fails(["2", "1"])).await;
        world.open_all();
        assert_eq!(first.await.unwrap(), Err("failure 1".to_owned()));
        assert_eq!(second.await.unwrap(), Err("failure 1".to_owned()));
        let log = Asked::default();
        assert_eq!(many(&users, &["1"], &world, &log).await, Ok(pairs(&[("1", 2)])));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_load_reaches_all_who_wait() {
    alone(async {
        for is_at_once in [true, false] {
            let (users, world) = (users(), World::new());
            let panics = {
                let (users, world) = (users.clone(), Arc::clone(&world));
                async move {
                    let load = |_| {
                        let world = Arc::clone(&world);
                        async move {
                            if !is_at_once {
                                world.body().await;
                            }
                            panic!("broken");
                            #[allow(unreachable_code, reason = "it has a type")]
                            Ok::<Vec<(String, usize)>, String>(Vec::new())
                        }
                    };
                    users.get_or_set_many(["1", "2"], load).await
                }
            };
            let first = tokio::spawn(panics);
            settle().await;
            let second = (!is_at_once).then(|| tokio::spawn(one(&users, "2", &world)));
            settle().await;
            world.open_all();
            assert_eq!(panic_of(first).await, "broken");
            if let Some(second) = second {
                assert_eq!(panic_of(second).await, "broken");
            }
            assert!(one(&users, "1", &world).await.is_ok(), "the key is free");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_loader_leaves_out_is_not_there() {
    alone(async {
        let users = users();
        let load = |missing: Vec<String>| async move {
            let all = missing.into_iter().map(|key| (key, 1)).chain([("other".to_owned(), 1)]);
            Ok::<_, String>(all.filter(|(key, _)| key != "2"))
        };
        assert_eq!(users.get_or_set_many(["1", "2", "3"], load).await, Ok(pairs(&[("1", 1), ("3", 1)])));
        assert_eq!((users.get("2").await, users.get("other").await), (None, None));
        assert_eq!(one(&users, "2", &World::at_ease()).await, Ok(1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_load_that_asks_for_its_own_keys_does_not_wait_for_itself() {
    alone(async {
        let users = users();
        let load = |missing: Vec<String>| {
            let users = users.clone();
            async move {
                tokio::task::yield_now().await;
                let inner = users.get_or_set("2", || async { Ok::<_, String>(7) }).await?;
                let again = users.get_or_set_many(["1", "2"], |keys: Vec<String>| async move {
                    Ok::<_, String>(keys.into_iter().map(|key| (key, 8)))
                });
                assert_eq!(again.await?.len(), 2);
                Ok::<_, String>(missing.into_iter().map(move |key| (key, inner)))
            }
        };
        assert_eq!(users.get_or_set_many(["1", "2"], load).await, Ok(pairs(&[("1", 7), ("2", 7)])));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_error_of_another_type_has_the_key_loaded_alone() {
    alone(async {
        let (users, world, log) = (users(), World::new(), Asked::default());
        let other = {
            let (users, world) = (users.clone(), Arc::clone(&world));
            boarded(async move {
                let work = || async move {
                    world.body().await;
                    Err::<usize, _>(7_u8)
                };
                users.get_or_set("1", work).await
            })
            .await
        };
        let call = boarded(many(&users, &["1", "2"], &world, &log)).await;
        world.open_all();
        assert_eq!(other.await.unwrap(), Err(7));
        assert_eq!(call.await.unwrap(), Ok(pairs(&[("1", 3), ("2", 2)])));
        assert_eq!(asked(&log), [["2"], ["1"]]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_to_be_newest_or_unshared_is() {
    alone(async {
        let (users, world, log) = (users(), World::at_ease(), Asked::default());
        users.set_many([("1", 100), ("2", 100)]).await.unwrap();
        assert_eq!(bypass(one(&users, "1", &world)).await, Ok(1));
        assert_eq!(bypass(many(&users, &["1", "2"], &world, &log)).await, Ok(pairs(&[("1", 2), ("2", 2)])));
        assert_eq!(users.get("1").await, Some(100));
        assert_eq!(refresh(one(&users, "1", &world)).await, Ok(3));
        assert_eq!(users.get("1").await, Some(3));
        assert_eq!(refresh(many(&users, &["1", "2"], &world, &log)).await, Ok(pairs(&[("1", 4), ("2", 4)])));
        assert_eq!(users.get_many(["1", "2"]).await, pairs(&[("1", 4), ("2", 4)]));
        assert_eq!(asked(&log), [["1", "2"], ["1", "2"]]);
    })
    .await;
}

#[test]
fn who_waits_loads_anew_when_the_runtime_of_a_load_ends() {
    let users = users();
    let (world, log) = (World::new(), Asked::default());
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let [first, second] = [runtime(), runtime()];
    let begun = first.spawn(many(&users, &["1", "2"], &world, &log));
    second.block_on(world.begun(1));
    let waits = second.spawn(many(&users, &["2"], &world, &log));
    second.block_on(async {
        while users.stats().coalesce_hits == 0 {
            tokio::task::yield_now().await;
        }
    });
    first.shutdown_background();
    drop(begun);
    second.block_on(world.begun(2));
    world.open_all();
    assert_eq!(second.block_on(waits).unwrap(), Ok(pairs(&[("2", 2)])));
    assert_eq!(asked(&log), [&["1", "2"][..], &["2"]]);
}
