//! A panic is caught, reaches every caller as a panic with the same message, and frees the key.

use std::sync::Arc;

use stampede_runtime::coalesce;

use super::help::{World, alone, boarded, crowd, panic_of, settle};

#[coalesce(ttl = "1h", skip(world, text))]
async fn panics(_key: u32, text: Option<String>, world: Arc<World>) -> usize {
    let number = world.body().await;
    match text {
        Some(text) => std::panic::panic_any(text),
        None if number == 1 => panic!("a text that is static"),
        None => number,
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_reaches_every_caller_with_its_message() {
    alone(async {
        for (key, text) in [(1, None), (2, Some("a text that is not static"))] {
            let world = World::new();
            let callers = crowd(10, || panics(key, text.map(str::to_owned), Arc::clone(&world))).await;
            world.open_all();
            for caller in callers {
                assert_eq!(panic_of(caller).await, text.unwrap_or("a text that is static"));
            }
            assert_eq!(world.runs(), 1);
        }
        assert_eq!(panics::stats().panics, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_next_call_after_a_panic_succeeds() {
    alone(async {
        let world = World::at_ease();
        assert!(tokio::spawn(panics(1, None, Arc::clone(&world))).await.is_err());
        assert_eq!(panics::peek(1), None);
        assert_eq!(panics(1, None, Arc::clone(&world)).await, 2);
        assert_eq!(panics(1, None, Arc::clone(&world)).await, 2, "and is kept");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_without_text_is_a_panic_all_the_same() {
    #[coalesce(skip(world))]
    async fn odd(_key: u32, world: Arc<World>) {
        world.body().await;
        std::panic::panic_any(7_u32);
    }

    alone(async {
        let world = World::new();
        let callers = crowd(3, || odd(1, Arc::clone(&world))).await;
        world.open_all();
        for caller in callers {
            assert!(caller.await.expect_err("it panics").is_panic());
        }
        assert_eq!(odd::stats().in_flight, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_reaches_the_others_when_the_first_caller_has_left() {
    alone(async {
        let world = World::new();
        let mut callers = crowd(3, || panics(1, None, Arc::clone(&world))).await;
        callers.remove(0).abort();
        world.open_all();
        for caller in callers {
            assert_eq!(panic_of(caller).await, "a text that is static");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_one_key_leaves_the_others_alone() {
    alone(async {
        let worlds = [World::new(), World::new()];
        let good = boarded(panics(1, None, Arc::clone(&worlds[0]))).await;
        let bad = boarded(panics(2, Some("bad".to_owned()), Arc::clone(&worlds[1]))).await;
        worlds[1].open_all();
        assert_eq!(panic_of(bad).await, "bad");
        worlds[0].begin();
        worlds[0].open_all();
        // The first run of its world panics by design; the point is that it ran to its own end.
        assert_eq!(panic_of(good).await, "a text that is static");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_panicking_body_held_is_dropped() {
    #[coalesce(skip(token))]
    async fn holds(_key: u32, token: Arc<()>) -> usize {
        tokio::task::yield_now().await;
        assert!(Arc::strong_count(&token) == 0, "held");
        1
    }

    alone(async {
        let token = Arc::new(());
        assert_eq!(panic_of(tokio::spawn(holds(1, Arc::clone(&token)))).await, "held");
        settle().await;
        assert_eq!(Arc::strong_count(&token), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_inside_a_nested_flight_reaches_both_circles_of_callers() {
    #[coalesce(skip(world))]
    async fn outer(_key: u32, world: Arc<World>) -> usize {
        panics(1, None, world).await
    }

    alone(async {
        let world = World::new();
        let mut callers = crowd(2, || outer(1, Arc::clone(&world))).await;
        callers.extend(crowd(2, || panics(1, None, Arc::clone(&world))).await);
        world.open_all();
        for caller in callers {
            assert_eq!(panic_of(caller).await, "a text that is static");
        }
        assert_eq!(world.runs(), 1);
        assert_eq!((outer::stats().panics, panics::stats().panics), (1, 1));
    })
    .await;
}
