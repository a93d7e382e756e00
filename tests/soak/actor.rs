//! What those who use the functions do.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::Poll;

use fastrand::Rng;
use tokio::task::{JoinSet, yield_now};

use super::body::{Script, Seen};
use super::function::Pending;
use super::leave::somehow;
use super::truth::{KEYS, TRUTH};
use super::watch::{Wait, Watched};

/// What is called, with what.
#[derive(Clone, Copy)]
pub(crate) struct Aim {
    pub(crate) function: usize,
    pub(crate) key: usize,
    pub(crate) refresh: bool,
    /// How many bodies it is inside of.
    pub(crate) depth: usize,
    pub(crate) seed: u64,
}

impl Aim {
    /// Any function, and some keys much more often than others.
    pub(crate) fn any(random: &mut Rng) -> Aim {
        let function = random.usize(..TRUTH.functions().len());
        Aim { function, key: popular(random), refresh: random.u32(..12) == 0, depth: 0, seed: random.u64(..) }
    }
}

/// A key by Zipf's law.
fn popular(random: &mut Rng) -> usize {
    static SHARES: LazyLock<Vec<f64>> = LazyLock::new(|| {
        let mut sum = 0.0;
        (1..=KEYS)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect()
    });
    let at = random.f64() * SHARES[KEYS - 1];
    SHARES.partition_point(|share| *share < at).min(KEYS - 1)
}

/// Calls, and checks what comes of it. Boxed, since bodies call too.
pub(crate) fn call(aim: Aim) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let Aim { function, key, refresh, depth, seed } = aim;
        let _watched = Watched::begin(Wait { refresh, function, key, depth });
        let floor = TRUTH.floor(function, key);
        let table = &TRUTH.functions()[function];
        let script = Script { function, seed, depth, token: TRUTH.argument_token() };
        let pending = if refresh {
            TRUTH.refresh_begins(function, depth);
            (table.refresh)(TRUTH.key(key), script)
        } else {
            TRUTH.call_begins(function);
            (table.call)(TRUTH.key(key), script)
        };
        TRUTH.check(function, key, floor, &ended(pending).await);
    })
}

/// How a call ends, be it by a panic.
async fn ended(mut pending: Pending) -> Seen {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| pending.as_mut().poll(cx))) {
        Ok(poll) => poll,
        Err(panic) => {
            let text = panic.downcast_ref::<&'static str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Poll::Ready(Seen::Panic(text.unwrap_or_else(|| "a panic without text".to_owned())))
        }
    })
    .await
}

/// One thing after the other, so many times.
pub(crate) async fn act(seed: u64, acts: usize) {
    let mut random = Rng::with_seed(seed);
    for _ in 0..acts {
        let aim = Aim::any(&mut random);
        let Aim { function, key, .. } = aim;
        match random.u32(..200) {
            0..16 => TRUTH.invalidate(function, key),
            16 | 17 => TRUTH.clear(function),
            18 if random.u32(..8) == 0 => TRUTH.clear_all(),
            19..26 => TRUTH.insert(function, key, random.u64(..)),
            26..40 => TRUTH.peek(function, key),
            40..50 => crowd(aim, &mut random).await,
            50 => drop(call(aim)),
            _ => somehow(call(aim), &mut random).await,
        }
        // What is ready at once would never let others have a turn.
        yield_now().await;
    }
}

/// Many at once for one key, some of whom leave.
async fn crowd(aim: Aim, random: &mut Rng) {
    let mut crowd = JoinSet::new();
    for _ in 0..random.usize(2..20) {
        let mut random = random.fork();
        let aim = Aim { seed: random.u64(..), ..aim };
        crowd.spawn(async move { somehow(call(aim), &mut random).await });
    }
    while crowd.join_next().await.is_some() {}
}
