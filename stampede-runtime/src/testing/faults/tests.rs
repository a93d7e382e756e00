use std::pin::pin;
use std::task::Poll;

use super::Fault::{Fail, Hang, Lose};
use super::*;

/// How a call goes that would be answered with 1. `None`: it does not answer.
async fn call(script: &Script) -> Option<Result<u8, BackendErrorKind>> {
    let mut call = pin!(script.act(async { Ok(1) }));
    let polled = std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
    match polled {
        Poll::Ready(answer) => Some(answer.map_err(|error| error.kind())),
        Poll::Pending => None,
    }
}

const DOWN: BackendErrorKind = BackendErrorKind::Unreachable;
const FULL: BackendErrorKind = BackendErrorKind::OutOfMemory;

#[tokio::test]
async fn the_next_come_in_their_order_and_then_what_is_always_so() {
    let script = Script::new();
    script.always(Fail(FULL));
    script.next(2, Fail(DOWN));
    script.next(0, Hang);
    script.next(1, Fault::None);
    let mut calls = Vec::new();
    for _ in 0..5 {
        calls.push(call(&script).await.unwrap());
    }
    assert_eq!(calls, [Err(DOWN), Err(DOWN), Ok(1), Err(FULL), Err(FULL)]);
    assert_eq!(script.asked(), 5);
    script.heal();
    assert_eq!(call(&script).await, Some(Ok(1)));
}

#[tokio::test]
async fn from_a_call_on() {
    let script = Script::new();
    script.next(9, Hang);
    script.from(3, Fail(DOWN));
    for expected in [Ok(1), Ok(1), Err(DOWN), Err(DOWN)] {
        assert_eq!(call(&script).await, Some(expected));
    }
    script.from(1, Lose);
    assert_eq!(call(&script).await, Some(Ok(0)));
}

#[tokio::test]
async fn what_hangs_never_answers_and_healing_is_for_those_to_come() {
    let script = Script::new();
    script.next(1, Hang);
    let mut hangs = pin!(script.act(async { Ok(1) }));
    let poll = |cx: &mut std::task::Context<'_>| Poll::Ready(hangs.as_mut().poll(cx).is_ready());
    let mut poll = poll;
    assert!(!std::future::poll_fn(&mut poll).await);
    script.heal();
    assert!(!std::future::poll_fn(&mut poll).await);
    assert_eq!(call(&script).await, Some(Ok(1)));
}

#[tokio::test]
async fn a_late_failure_has_done_its_work() {
    let script = Script::new();
    let done = std::cell::Cell::new(false);
    let work = || async {
        done.set(true);
        Ok(1_u8)
    };
    for (fault, is_done) in [(Fail(DOWN), false), (Lose, false), (Fault::FailLate(DOWN), true)] {
        script.always(fault.clone());
        done.set(false);
        let _ = script.act(work()).await;
        assert_eq!(done.get(), is_done, "{fault:?}");
    }
    assert_eq!(script.act(work()).await.unwrap_err().kind(), DOWN);
}

#[tokio::test]
async fn who_is_held_is_let_go_of_and_those_to_come_with_it() {
    let script = Arc::new(Script::new());
    for (fault, is_done_before) in [(Fault::HoldCall, false), (Fault::HoldAnswer, true)] {
        let asked = script.asked();
        let done = Arc::new(Mutex::new(false));
        script.always(fault);
        let held = tokio::spawn({
            let (script, done) = (Arc::clone(&script), Arc::clone(&done));
            async move {
                let work = async {
                    *done.lock().unwrap() = true;
                    Ok(1_u8)
                };
                script.act(work).await.unwrap()
            }
        });
        script.arrived(asked + 1).await;
        assert_eq!((*done.lock().unwrap(), held.is_finished()), (is_done_before, false));
        script.release();
        assert_eq!(held.await.unwrap(), 1);
        assert_eq!(call(&script).await, Some(Ok(1)), "released already");
        // Said again, it holds again; and healing lets go.
        script.always(Fault::HoldCall);
        let mut held = pin!(script.act(async { Ok(1_u8) }));
        assert!(std::future::poll_fn(|cx| Poll::Ready(held.as_mut().poll(cx))).await.is_pending());
        script.heal();
        assert_eq!(held.await.unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_one_of_tokios_clock() {
    let script = Script::new();
    script.next(1, Fault::Delay(Duration::from_secs(3)));
    let start = tokio::time::Instant::now();
    assert_eq!(script.act(async { Ok(1_u8) }).await.unwrap(), 1);
    assert_eq!(start.elapsed(), Duration::from_secs(3));
}

#[tokio::test]
#[should_panic(expected = "a fault of the script")]
async fn it_panics_when_told_to() {
    let script = Script::new();
    script.next(1, Fault::Panic);
    let _ = script.act(async { Ok(1_u8) }).await;
}
