//! Beside a function stands an item of the same name: invalidate, peek, refresh, insert, clear, stats.

use std::sync::Arc;

use stampede_runtime::coalesce;
use tokio::task::yield_now;

use super::help::{World, all, alone, boarded, crowd, settle};

#[coalesce(ttl = "1h", skip(world))]
async fn load(_topic: &str, _page: u32, world: Arc<World>) -> usize {
    world.body().await
}

mod elsewhere {
    use stampede_runtime::coalesce;

    #[coalesce(ttl = "1h")]
    pub(super) async fn imported(key: u32) -> u32 {
        key
    }

    #[coalesce(ttl = "1h", companion = Answers)]
    pub(super) async fn renamed(key: u32) -> u32 {
        key
    }

    #[coalesce(ttl = "1h", companion = none)]
    pub(super) async fn alone(key: u32) -> u32 {
        key
    }
}

#[tokio::test(start_paused = true)]
async fn peek_shows_what_is_kept_and_nothing_else() {
    alone(async {
        let world = World::new();
        assert_eq!(load::peek("a", 1), None);
        let call = boarded(load("a", 1, Arc::clone(&world))).await;
        assert_eq!(load::peek("a", 1), None, "what is in the air is not there yet");
        world.open_all();
        call.await.expect("no panic");
        assert_eq!(load::peek("a", 1), Some(1));
        assert_eq!((load::peek("a", 2), load::peek("b", 1)), (None, None));
        assert_eq!(load::stats().requests, 1, "to look is no request");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn invalidate_takes_one_key_and_clear_takes_all() {
    alone(async {
        let world = World::at_ease();
        for page in 1..=3 {
            load("a", page, Arc::clone(&world)).await;
        }
        let done = load::invalidate("a", 1);
        assert_eq!(done.removed(), 1);
        // It has happened already; there are no outside tiers to wait for.
        assert!(done.await.is_ok());
        assert_eq!(load::invalidate("a", 1).removed(), 0);
        assert_eq!((load::peek("a", 1), load::peek("a", 2)), (None, Some(2)));
        assert_eq!(load::clear().removed(), 2);
        assert_eq!(load::peek("a", 2), None);
        assert_eq!(load::clear().removed(), 0);
        assert_eq!(load("a", 2, world).await, 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn clear_counts_keys_also_while_one_is_refreshed() {
    alone(async {
        let world = World::new();
        world.open(1);
        load("a", 1, Arc::clone(&world)).await;
        let refresh = boarded(load::refresh("a", 1, Arc::clone(&world))).await;
        assert_eq!(load::clear().removed(), 1, "it is one key, with a value and a flight");
        world.open_all();
        assert_eq!(refresh.await.expect("no panic"), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn insert_keeps_a_value_as_though_the_body_had_returned_it() {
    #[coalesce(ttl = "1h")]
    async fn fallible(_key: u32) -> Result<String, String> {
        Err("not asked".to_owned())
    }

    alone(async {
        let world = World::at_ease();
        load::insert("a", 1, 100);
        assert_eq!(load("a", 1, Arc::clone(&world)).await, 100);
        load::insert("a", 1, 101);
        assert_eq!(load("a", 1, Arc::clone(&world)).await, 101);
        assert_eq!((world.runs(), load::stats().cache_size), (0, 1));

        // The value, or the whole result.
        fallible::insert(1, "value".to_owned());
        fallible::insert(2, Ok("value".to_owned()));
        fallible::insert(3, Err("failure".to_owned()));
        assert_eq!(fallible(1).await, fallible(2).await);
        assert_eq!(fallible::peek(3), None, "an error is never kept");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn refresh_executes_anew_and_meanwhile_the_kept_value_is_served() {
    alone(async {
        let world = World::new();
        world.open(1);
        load("a", 1, Arc::clone(&world)).await;
        let refreshes = crowd(3, || load::refresh("a", 1, Arc::clone(&world))).await;
        assert_eq!(load("a", 1, Arc::clone(&world)).await, 1);
        assert_eq!(load::peek("a", 1), Some(1));
        world.open_all();
        assert_eq!(all(refreshes).await, [2; 3], "concurrent refreshes share one execution");
        assert_eq!(load("a", 1, Arc::clone(&world)).await, 2);
        assert_eq!((world.runs(), load::stats().cache_size), (2, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_is_abandoned_leaves_the_kept_value() {
    alone(async {
        let world = World::new();
        world.open(1);
        load("a", 1, Arc::clone(&world)).await;
        boarded(load::refresh("a", 1, Arc::clone(&world))).await.abort();
        settle().await;
        world.gone(2).await;
        assert_eq!(load("a", 1, Arc::clone(&world)).await, 1);
        assert_eq!(load::stats().in_flight, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_one_call_and_not_those_inside_it() {
    #[coalesce(ttl = "1h", skip(world))]
    async fn outer(_key: u32, world: Arc<World>) -> usize {
        yield_now().await;
        world.begin();
        inner(1, world).await
    }

    #[coalesce(ttl = "1h", skip(world))]
    async fn inner(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    /// Calls itself, with another key.
    #[coalesce(ttl = "1h", skip(world))]
    async fn nested(key: u32, world: Arc<World>) -> usize {
        world.begin();
        if key > 0 { Box::pin(nested(key - 1, world)).await } else { 0 }
    }

    alone(async {
        let world = World::at_ease();
        outer(1, Arc::clone(&world)).await;
        outer::refresh(1, Arc::clone(&world)).await;
        assert_eq!((outer::stats().refreshes, inner::stats().refreshes), (1, 0));
        assert_eq!(inner::stats().executions, 1, "what the body calls is answered from memory");

        nested(3, Arc::clone(&world)).await;
        nested::refresh(3, Arc::clone(&world)).await;
        assert_eq!((nested::stats().executions, nested::stats().refreshes), (5, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_it_began_makes_no_other_a_refresh() {
    alone(async {
        let world = World::at_ease();
        load("a", 1, Arc::clone(&world)).await;
        drop(load::refresh("a", 1, Arc::clone(&world)));
        assert_eq!(load("a", 1, Arc::clone(&world)).await, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_import_brings_both_and_companions_can_be_renamed_or_left_out() {
    use elsewhere::{Answers, imported, renamed};

    alone(async {
        imported(1).await;
        assert_eq!(imported::peek(1), Some(1));
        renamed(2).await;
        assert_eq!(Answers::peek(2), Some(2));
        assert_eq!(elsewhere::alone(3).await, 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_companion_takes_the_arguments_that_the_key_mentions() {
    struct User {
        id: u64,
        #[expect(dead_code, reason = "not part of the key")]
        name: &'static str,
    }

    #[coalesce(ttl = "1h", key(id / 10, kind))]
    async fn by_expression(id: u64, kind: &str, _trace: u64) -> String {
        format!("{kind} {id}")
    }

    #[coalesce(ttl = "1h", key = "user:{id}")]
    async fn by_text(id: u64, _trace: u64) -> u64 {
        id
    }

    #[coalesce(ttl = "1h", key(user.id))]
    async fn by_field(user: Arc<User>, _trace: u64) -> u64 {
        user.id
    }

    alone(async {
        by_expression(41, "cat", 1).await;
        assert_eq!(by_expression::peek(49, "cat"), Some("cat 41".to_owned()));
        assert_eq!(by_expression::peek(50, "cat"), None);
        by_text(7, 1).await;
        assert_eq!(by_text::peek(7), Some(7));
        by_field(Arc::new(User { id: 3, name: "a" }), 1).await;
        assert_eq!(by_field::peek(Arc::new(User { id: 3, name: "b" })), Some(3));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn functions_without_arguments_have_one_key() {
    #[coalesce(ttl = "1h")]
    async fn answer() -> u32 {
        42
    }

    alone(async {
        assert_eq!(answer::peek(), None);
        assert_eq!(answer().await, 42);
        assert_eq!(answer::peek(), Some(42));
        assert_eq!(answer::refresh().await, 42);
        assert_eq!(answer::invalidate().removed(), 1);
    })
    .await;
}
