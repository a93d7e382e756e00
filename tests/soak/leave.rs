//! The ways in which a caller waits, or does not.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::truth::{TRUTH, count};

/// Waits for a call in some way. Returns whether it has seen the end.
pub(crate) async fn somehow(call: impl Future<Output = ()> + Send + 'static, random: &mut Rng) {
    let moment = Duration::from_micros(random.u64(..3_000));
    let turns = random.usize(..5);
    let ended = match random.u32(..16) {
        0..6 => {
            call.await;
            true
        }
        6 | 7 => for_turns(call, turns).await,
        8 => timeout(moment, call).await.is_ok(),
        9 | 10 => {
            let call = tokio::spawn(call);
            for _ in 0..turns {
                yield_now().await;
            }
            call.abort();
            call.await.is_ok()
        }
        11 => tokio::select! {
            biased;
            () = sleep(moment) => false,
            () = call => true,
        },
        12 => tokio::select! {
            () = turn(turns) => false,
            () = call => true,
        },
        // Polled once, then not for a while.
        13 => parked(call, moment).await,
        // Somebody else's from now on.
        14 => {
            drop(tokio::spawn(call));
            true
        }
        _ => tokio::spawn(call).await.is_ok(),
    };
    if !ended {
        count(&TRUTH.told.cancels);
    }
}

async fn turn(turns: usize) {
    for _ in 0..turns {
        yield_now().await;
    }
}

/// Polls a call so many times, at every wake, and drops it.
async fn for_turns(call: impl Future<Output = ()>, turns: usize) -> bool {
    let (mut call, mut polls) = (pin!(call), 0);
    poll_fn(|cx| {
        if polls == turns {
            return Poll::Ready(false);
        }
        polls += 1;
        // Does not wait for the call to say that there is something new.
        cx.waker().wake_by_ref();
        call.as_mut().poll(cx).map(|()| true)
    })
    .await
}

async fn parked(call: impl Future<Output = ()>, moment: Duration) -> bool {
    let mut call = pin!(call);
    if poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await {
        sleep(moment).await;
        call.await;
    }
    true
}
