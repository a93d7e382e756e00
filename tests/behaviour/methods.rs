//! Methods say what of `self` identifies a call; their bodies own a `self` of their own.

use std::sync::Arc;

use stampede_runtime::coalesce;

use super::help::{World, all, alone, crowd};

/// Not `Clone`.
struct Store {
    id: u32,
    world: Arc<World>,
}

impl Store {
    fn new(id: u32, world: &Arc<World>) -> Arc<Store> {
        Arc::new(Store { id, world: Arc::clone(world) })
    }

    #[coalesce(ttl = "1h", key(self.id, topic), companion = load)]
    async fn load(self: Arc<Self>, topic: &str) -> (u32, String, usize) {
        (self.id, topic.to_owned(), self.world.body().await)
    }

    #[coalesce(ttl = "1h", skip(self))]
    async fn same_for_all(self: Arc<Self>, key: u32) -> (u32, usize) {
        (key, self.world.body().await)
    }

    #[coalesce(ttl = "1h", method)]
    async fn without_receiver(key: u32) -> u32 {
        key
    }
}

/// A cheap handle.
#[derive(Clone)]
struct Client(Arc<Store>);

impl Client {
    #[coalesce(ttl = "1h", key(self.0.id, topic))]
    async fn load(&self, topic: &str) -> (u32, String, usize) {
        let this = &self.0;
        (this.id, topic.to_owned(), this.world.body().await)
    }

    #[coalesce(key(self.0.id))]
    async fn used_up(self) -> usize {
        self.0.world.body().await
    }
}

/// An `impl` with a parameter: its instantiations share nothing.
#[derive(Clone)]
struct Typed<T>(T);

impl<T: Clone + Send + Sync + 'static> Typed<T> {
    #[coalesce(ttl = "1h", skip(self))]
    async fn inner(&self, _key: u32) -> T {
        self.0.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_self_is_told_apart_by_what_the_key_says() {
    alone(async {
        let world = World::new();
        let (one, two) = (Store::new(1, &world), Store::new(2, &world));
        let mut calls = crowd(3, || Arc::clone(&one).load("a")).await;
        calls.extend(crowd(3, || Arc::clone(&two).load("a")).await);
        world.open_all();
        let results = all(calls).await;
        assert!(results[..3].iter().all(|result| *result == (1, "a".to_owned(), 1)));
        assert!(results[3..].iter().all(|result| *result == (2, "a".to_owned(), 2)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn siblings_stand_in_for_the_companion() {
    alone(async {
        let world = World::at_ease();
        let store = Store::new(1, &world);
        let value = Arc::clone(&store).load("a").await;
        assert_eq!(Arc::clone(&store).load_peek("a"), Some(value));
        assert_eq!(Arc::clone(&store).load_refresh("a").await.2, 2);
        Arc::clone(&store).load_insert("a", (1, "put".to_owned(), 0));
        assert_eq!(Arc::clone(&store).load("a").await.1, "put");
        assert_eq!(Arc::clone(&store).load_invalidate("a").removed(), 1);
        assert_eq!(Store::load_clear().removed(), 0);
        assert_eq!(Store::load_stats().executions, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_skipped_self_is_not_in_the_key() {
    alone(async {
        let world = World::at_ease();
        assert_eq!(Store::new(1, &world).same_for_all(7).await, (7, 1));
        assert_eq!(Store::new(2, &world).same_for_all(7).await, (7, 1));
        assert_eq!(Store::without_receiver(3).await, 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_borrowed_self_that_is_a_handle_is_cloned() {
    alone(async {
        let world = World::new();
        let client = Client(Store::new(1, &world));
        let calls = crowd(3, || {
            let client = client.clone();
            async move { client.load("a").await }
        });
        let mut calls = calls.await;
        // The one who brought the body leaves, and takes nothing that the body needs.
        calls.remove(0).abort();
        drop(client);
        world.open_all();
        assert_eq!(all(calls).await, vec![(1, "a".to_owned(), 1); 2]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_self_by_value_is_moved_into_the_body() {
    alone(async {
        let world = World::new();
        let calls = crowd(3, || Client(Store::new(1, &world)).used_up()).await;
        world.open_all();
        assert_eq!(all(calls).await, [1; 3]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn instantiations_of_a_generic_impl_share_nothing() {
    alone(async {
        assert_eq!(Typed("text").inner(1).await, "text");
        assert_eq!(Typed(7).inner(1).await, 7);
        assert_eq!(Typed("other").inner(1).await, "text");
    })
    .await;
}
