//! Keys, values and closures that panic: the caller who meets them may panic; nobody hangs and nothing is spoilt.

use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use stampede_runtime::coalesce;

use super::help::{Bell, Token, World, all, alone, boarded, crowd, freed, panic_of, settle};

/// What panics when its fuse is lit. Every value of one test shares a fuse.
#[derive(Debug, Default)]
struct Fuse {
    hash: AtomicBool,
    eq: AtomicBool,
    clone: AtomicBool,
    drop: AtomicBool,
}

impl Fuse {
    fn check(lit: &AtomicBool, what: &str) {
        assert!(!lit.load(SeqCst) || std::thread::panicking(), "{what} panics");
    }
}

/// All keys collide, and every act on one may panic.
#[derive(Debug)]
struct Hostile(u32, Arc<Fuse>);

impl Hash for Hostile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Fuse::check(&self.1.hash, "hash");
        state.write_u8(0);
    }
}

impl PartialEq for Hostile {
    fn eq(&self, other: &Hostile) -> bool {
        Fuse::check(&self.1.eq, "eq");
        self.0 == other.0
    }
}

impl Eq for Hostile {}

impl Clone for Hostile {
    fn clone(&self) -> Hostile {
        Fuse::check(&self.1.clone, "clone");
        Hostile(self.0, Arc::clone(&self.1))
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        Fuse::check(&self.1.drop, "drop");
    }
}

#[coalesce(ttl = "1h", capacity = 3, skip(world))]
async fn by_key(key: Hostile, world: Arc<World>) -> (u32, usize) {
    (key.0, world.body().await)
}

/// Lights a fuse, does something that may panic, and puts the fuse out.
fn explode<T>(fuse: &AtomicBool, act: impl FnOnce() -> T) -> bool {
    fuse.store(true, SeqCst);
    let exploded = catch_unwind(AssertUnwindSafe(act)).is_err();
    fuse.store(false, SeqCst);
    exploded
}

#[tokio::test(start_paused = true)]
async fn a_key_that_panics_spoils_only_the_call_that_brought_it() {
    alone(async {
        let (fuse, other) = (Arc::<Fuse>::default(), Arc::<Fuse>::default());
        let fuses = [&fuse.hash, &fuse.eq, &fuse.clone];
        for (round, lit) in (0..).zip(fuses) {
            let world = World::new();
            let waiting = crowd(2, || by_key(Hostile(10 * round, Arc::clone(&other)), Arc::clone(&world))).await;
            let exploded = explode(lit, || {
                let mut call = Box::pin(by_key(Hostile(10 * round + 1, Arc::clone(&fuse)), Arc::clone(&world)));
                let _ = Bell::new().poll(call.as_mut());
            });
            assert!(exploded);
            // Neither the waiting nor the key itself is the worse for it.
            let again = boarded(by_key(Hostile(10 * round + 1, Arc::clone(&fuse)), Arc::clone(&world))).await;
            world.open_all();
            assert_eq!(all(waiting).await, [(10 * round, 1); 2]);
            assert_eq!(again.await.expect("no panic").0, 10 * round + 1);
            assert_eq!(by_key::stats().in_flight, 0);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_eq_that_panics_at_the_landing_keeps_nobody_waiting() {
    alone(async {
        let fuse = Arc::<Fuse>::default();
        let world = World::new();
        let kept = World::at_ease();
        for key in 0..3 {
            by_key(Hostile(key, Arc::clone(&fuse)), Arc::clone(&kept)).await;
        }
        let waiting = crowd(3, || by_key(Hostile(7, Arc::clone(&fuse)), Arc::clone(&world))).await;
        fuse.eq.store(true, SeqCst);
        world.open_all();
        let mut endings = 0;
        for call in waiting {
            // The value or a panic, but an ending.
            let _ = call.await;
            endings += 1;
        }
        fuse.eq.store(false, SeqCst);
        assert_eq!((endings, by_key::stats().in_flight), (3, 0));
        assert_eq!(by_key(Hostile(8, Arc::clone(&fuse)), Arc::clone(&kept)).await.0, 8);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drop_that_panics_at_the_landing_keeps_nobody_waiting() {
    alone(async {
        let fuse = Arc::<Fuse>::default();
        let harmless = Arc::<Fuse>::default();
        let (world, at_ease) = (World::new(), World::at_ease());
        // More than there is room for: each landing drops another's key.
        for key in 0..3 {
            by_key(Hostile(key, Arc::clone(&fuse)), Arc::clone(&at_ease)).await;
        }
        let mut flights = Vec::new();
        for key in 10..14 {
            flights.extend(crowd(3, || by_key(Hostile(key, Arc::clone(&harmless)), Arc::clone(&world))).await);
        }
        fuse.drop.store(true, SeqCst);
        world.open_all();
        for (at, call) in flights.into_iter().enumerate() {
            if let Ok((key, _)) = call.await {
                assert_eq!(key as usize, 10 + at / 3);
            }
        }
        fuse.drop.store(false, SeqCst);
        assert_eq!(by_key::stats().in_flight, 0);
        by_key::clear();
        assert_eq!(by_key(Hostile(1, Arc::clone(&fuse)), at_ease).await.0, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drop_that_panics_at_an_invalidation_spoils_nothing() {
    alone(async {
        let fuse = Arc::<Fuse>::default();
        let world = World::at_ease();
        by_key(Hostile(1, Arc::clone(&fuse)), Arc::clone(&world)).await;
        let look = Hostile(1, Arc::clone(&fuse));
        explode(&fuse.drop, || by_key::clear().removed());
        assert_eq!(by_key::peek(look), None);
        assert_eq!(by_key(Hostile(1, Arc::clone(&fuse)), Arc::clone(&world)).await, (1, 2));
        assert_eq!(by_key::stats().cache_size, 1);
    })
    .await;
}

/// A value that may panic when it is copied.
#[derive(Debug)]
struct Fragile(Arc<Fuse>, Token);

impl Clone for Fragile {
    fn clone(&self) -> Fragile {
        Fuse::check(&self.0.clone, "clone");
        Fragile(Arc::clone(&self.0), Arc::clone(&self.1))
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        Fuse::check(&self.0.drop, "drop");
    }
}

fn change_fragile() {
    fragile::insert(100, Fragile(Arc::default(), Token::default()));
    fragile::invalidate(100);
}

#[coalesce(ttl = "1h", capacity = 2, skip(fuse, token, world))]
async fn fragile(_key: u32, fuse: Arc<Fuse>, token: Token, world: Arc<World>) -> Fragile {
    world.body().await;
    Fragile(fuse, token)
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_copied_spoils_only_the_calls_that_want_it() {
    alone(async {
        let fuse = Arc::<Fuse>::default();
        let (world, token) = (World::new(), Token::default());
        let waiting = crowd(3, || fragile(1, Arc::clone(&fuse), Arc::clone(&token), Arc::clone(&world))).await;
        fuse.clone.store(true, SeqCst);
        world.open_all();
        for call in waiting {
            assert_eq!(panic_of(call).await, "clone panics");
        }
        let hit = tokio::spawn(fragile(1, Arc::clone(&fuse), Arc::clone(&token), Arc::clone(&world)));
        assert_eq!(panic_of(hit).await, "clone panics");
        fuse.clone.store(false, SeqCst);
        fragile(1, Arc::clone(&fuse), Arc::clone(&token), Arc::clone(&world)).await;
        assert_eq!(world.runs(), 1, "the value itself is as good as ever");
        assert_eq!(fragile::stats().in_flight, 0);
        fragile::clear();
        freed(&[&token], change_fragile).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_value_whose_drop_panics_keeps_nobody_waiting() {
    alone(async {
        let (fuse, harmless) = (Arc::<Fuse>::default(), Arc::<Fuse>::default());
        let (world, at_ease, token) = (World::new(), World::at_ease(), Token::default());
        for key in 0..2 {
            fragile(key, Arc::clone(&fuse), Arc::clone(&token), Arc::clone(&at_ease)).await;
        }
        let mut flights = Vec::new();
        for key in 10..14 {
            let call = || fragile(key, Arc::clone(&harmless), Arc::clone(&token), Arc::clone(&world));
            flights.extend(crowd(2, call).await);
        }
        fuse.drop.store(true, SeqCst);
        world.open_all();
        for call in flights {
            let _ = call.await;
        }
        fuse.drop.store(false, SeqCst);
        let stats = fragile::stats();
        assert_eq!((stats.in_flight, stats.cache_size), (0, 2));
        fragile::clear();
        freed(&[&token], change_fragile).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_an_abandoned_body_drops_may_panic() {
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "the bomb goes off");
        }
    }

    #[coalesce(skip(world))]
    async fn armed(_key: u32, world: Arc<World>) -> usize {
        let _bomb = Bomb;
        world.body().await
    }

    alone(async {
        let world = World::new();
        boarded(armed(1, Arc::clone(&world))).await.abort();
        settle().await;
        assert_eq!(armed::stats().in_flight, 0);
        let call = boarded(armed(1, Arc::clone(&world))).await;
        world.open_all();
        assert_eq!(panic_of(call).await, "the bomb goes off");
        assert_eq!((armed::stats().in_flight, armed::stats().panics), (0, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn closures_that_panic_end_the_flight_as_a_panic() {
    #[coalesce(ttl = "1h", cache_if = |_| panic!("cache_if panics"), skip(world))]
    async fn conditional(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    #[coalesce(ttl = |_| panic!("ttl panics"), skip(world))]
    async fn limited(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    alone(async {
        let world = World::new();
        let conditional_calls = crowd(3, || conditional(1, Arc::clone(&world))).await;
        let limited_calls = crowd(3, || limited(1, Arc::clone(&world))).await;
        world.open_all();
        for call in conditional_calls {
            assert_eq!(panic_of(call).await, "cache_if panics");
        }
        for call in limited_calls {
            assert_eq!(panic_of(call).await, "ttl panics");
        }
        assert_eq!((conditional::stats().in_flight, limited::stats().in_flight), (0, 0));
        assert_eq!((conditional::stats().panics, limited::stats().panics), (1, 1));
        // Nothing is left that would be in the way.
        assert_eq!(panic_of(tokio::spawn(limited(1, World::at_ease()))).await, "ttl panics");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn options_that_panic_spoil_only_the_calls_that_need_them() {
    static READY: AtomicBool = AtomicBool::new(false);

    fn when_ready() -> Duration {
        assert!(READY.load(SeqCst), "not ready");
        Duration::from_secs(1)
    }

    #[coalesce(ttl = when_ready())]
    async fn early(key: u32) -> u32 {
        key
    }

    alone(async {
        assert_eq!(panic_of(tokio::spawn(early(1))).await, "not ready");
        READY.store(true, SeqCst);
        assert_eq!(early(1).await, 1);
        assert_eq!(early::peek(1), Some(1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn values_may_call_the_function_while_they_are_copied_or_dropped() {
    /// Looks into its own function at every turn.
    #[derive(Debug)]
    struct Curious(u32);

    impl Clone for Curious {
        fn clone(&self) -> Curious {
            if self.0 > 0 {
                curious::invalidate(self.0 - 1);
                curious::peek(0);
            }
            Curious(self.0)
        }
    }

    impl Drop for Curious {
        fn drop(&mut self) {
            curious::invalidate(self.0 + 100);
            curious::stats();
        }
    }

    #[coalesce(ttl = "1h", capacity = 4)]
    async fn curious(key: u32) -> Curious {
        Curious(key)
    }

    alone(async {
        for round in 0..3 {
            for key in 0..20 {
                assert_eq!(curious(key).await.0, key, "round {round}");
            }
        }
        curious::insert(1, Curious(1));
        curious::invalidate(1);
        curious::clear();
        assert_eq!(curious::stats().cache_size, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_copy_of_one_value_delays_nobody() {
    use std::sync::Barrier;

    /// Its copy waits twice for the test.
    #[derive(Debug)]
    struct Slow(Option<Arc<Barrier>>, Token);

    impl Clone for Slow {
        fn clone(&self) -> Slow {
            if let Some(barrier) = &self.0 {
                barrier.wait();
                barrier.wait();
            }
            Slow(None, Arc::clone(&self.1))
        }
    }

    #[coalesce(ttl = "1h", skip(token))]
    async fn slow(_key: u32, token: Token) -> Slow {
        Slow(None, token)
    }

    alone(async {
        let (barrier, token, others) = (Arc::new(Barrier::new(2)), Token::default(), Token::default());
        slow::insert(1, Slow(Some(Arc::clone(&barrier)), Arc::clone(&token)));
        let runtime = tokio::runtime::Handle::current();
        let reader = std::thread::spawn(move || {
            let _inside = runtime.enter();
            slow::peek(1).is_some()
        });
        barrier.wait();
        // The copy is under way. Others read, write and take out what is being copied.
        slow(2, Arc::clone(&others)).await;
        assert!(slow::peek(2).is_some());
        assert_eq!(slow::invalidate(1).removed(), 1);
        slow(1, Arc::clone(&others)).await;
        slow::clear();
        barrier.wait();
        assert!(reader.join().expect("no panic"));
        // What a reader held up is freed by the next change.
        let change = || {
            slow::insert(3, Slow(None, Token::default()));
            slow::invalidate(3);
        };
        freed(&[&token, &others], change).await;
    })
    .await;
}
