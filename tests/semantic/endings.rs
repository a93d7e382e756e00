//! However an execution ends, whoever asked the same in other words hears of it once, and the question is free.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use stampede_runtime::{Outcome, outcome, semantic_coalesce};
use tokio::task::JoinHandle;
use tokio::time::advance;

use super::help::{Mood, Service, Trouble, boarded, ending, said, settle};
use super::parts::{Parts, add_up, patient};

#[semantic_coalesce(namespace = "endings", guard = none, skip(service))]
async fn ask(question: &str, service: Arc<Service>) -> Result<usize, Trouble> {
    let _ = question;
    service.answer().await
}

#[semantic_coalesce(namespace = "endings", guard = none, timeout = "2s", skip(service))]
async fn timed(question: &str, service: Arc<Service>) -> Result<usize, Trouble> {
    let _ = question;
    service.answer().await
}

/// Not kept.
#[semantic_coalesce(namespace = "endings", guard = none, cache_if = |_| false, skip(service))]
async fn picky(question: &str, service: Arc<Service>) -> Result<usize, Trouble> {
    let _ = question;
    service.answer().await
}

/// Blocks its thread.
#[semantic_coalesce(namespace = "endings", guard = none, timeout = "100ms", skip(service))]
fn blocking(question: String, service: Arc<Service>) -> Result<usize, Trouble> {
    let _ = question;
    service.answer_now()
}

fn closed(mood: Mood) -> Arc<Service> {
    let service = Service::new();
    service.world.open(0);
    service.is(mood);
    service
}

async fn crowd_of(service: &Arc<Service>) -> Vec<JoinHandle<Result<usize, Trouble>>> {
    let mut calls = vec![boarded(ask("@0 one", Arc::clone(service))).await];
    for at in 0..50 {
        let service = Arc::clone(service);
        // Half of them are pairs of equal ones.
        calls.push(boarded(async move { ask(&format!("@{} other {}", at % 20, at / 2), service).await }).await);
    }
    calls
}

async fn endings(calls: Vec<JoinHandle<Result<usize, Trouble>>>) -> Vec<String> {
    let mut endings = Vec::new();
    for call in calls {
        endings.push(ending(call).await);
    }
    endings
}

#[tokio::test(start_paused = true)]
async fn an_error_is_everybodys_and_not_kept() {
    let parts = Parts::new();
    patient(&parts, async {
        let service = closed(Mood::Failing);
        let calls = crowd_of(&service).await;
        service.world.open_all();
        assert_eq!(endings(calls).await, vec!["fire"; 51]);
        assert_eq!((service.runs(), ask::stats().errors), (1, 1));
        // Nobody else hears of it.
        service.is(Mood::Well);
        assert_eq!(said(ask("@10 later", Arc::clone(&service))).await, "value 2");
        assert_eq!(said(ask("@0 one", Arc::clone(&service))).await, "value 2");
        add_up(&ask::stats(), 53);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_everybodys_and_not_kept() {
    let parts = Parts::new();
    patient(&parts, async {
        let service = closed(Mood::Panicking);
        let calls = crowd_of(&service).await;
        service.world.open_all();
        assert_eq!(endings(calls).await, vec!["panic broken"; 51]);
        assert_eq!((service.runs(), ask::stats().panics), (1, 1));
        service.is(Mood::Well);
        assert_eq!(said(ask("@10 later", Arc::clone(&service))).await, "value 2");
        add_up(&ask::stats(), 52);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_everybodys_and_not_kept() {
    let parts = Parts::new();
    patient(&parts, async {
        let service = closed(Mood::Hanging);
        let first = boarded(timed("@0 one", Arc::clone(&service))).await;
        advance(Duration::from_secs(1)).await;
        let near = boarded(timed("@10 other", Arc::clone(&service))).await;
        assert_eq!((ending(first).await, ending(near).await), ("timeout".into(), "timeout".into()));
        assert_eq!((service.runs(), timed::stats().timeouts), (1, 1));
        service.is(Mood::Well);
        service.world.open_all();
        assert_eq!(said(timed("@10 other", Arc::clone(&service))).await, "value 2");
        assert_eq!(said(timed("@0 one", Arc::clone(&service))).await, "value 2");
        add_up(&timed::stats(), 4);
    })
    .await;
}

/// Whoever is woken by the end of `first` calls again at once, from inside the waking.
async fn first_and_again<F>(
    first: impl Future<Output = Result<usize, Trouble>> + Send + 'static,
    again: impl Fn() -> F + Send + 'static,
    end: impl AsyncFnOnce(),
) -> (String, String)
where
    F: Future<Output = Result<usize, Trouble>> + Send + 'static,
{
    type Second = Pin<Box<dyn Future<Output = Result<usize, Trouble>> + Send>>;

    struct Again {
        call: Box<dyn Fn() -> Second + Send + Sync>,
        second: Mutex<Option<Second>>,
    }

    impl Wake for Again {
        fn wake(self: Arc<Self>) {
            let mut second = self.second.lock().unwrap();
            if second.is_none() {
                let mut call = (self.call)();
                let first = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                // What was ready at once.
                *second = Some(match first {
                    Poll::Ready(result) => Box::pin(async { result }),
                    Poll::Pending => call,
                });
            }
        }
    }

    let again = Mutex::new(again);
    let call = Box::new(move || -> Second { Box::pin(again.lock().unwrap()()) });
    let waker = Arc::new(Again { call, second: Mutex::new(None) });
    let mut first = Box::pin(first);
    assert!(first.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&waker)))).is_pending());
    end().await;
    while waker.second.lock().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    let second = waker.second.lock().unwrap().take().unwrap();
    (ending(tokio::spawn(first)).await, ending(tokio::spawn(second)).await)
}

#[tokio::test(start_paused = true)]
async fn the_question_is_free_when_the_first_hears_of_an_error() {
    let parts = Parts::new();
    patient(&parts, async {
        for question in ["@0 one", "@10 other"] {
            let service = closed(Mood::Failing);
            let leader = boarded(ask("@0 one", Arc::clone(&service))).await;
            let (joined, next) = (Arc::clone(&service), Arc::clone(&service));
            let heard = first_and_again(
                ask("@0 one", joined),
                move || {
                    next.is(Mood::Well);
                    ask(question, Arc::clone(&next))
                },
                async || service.world.open_all(),
            );
            assert_eq!(heard.await, ("fire".into(), "value 2".into()));
            assert_eq!(ending(leader).await, "fire");
            ask::clear().await.unwrap();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_question_is_free_when_the_first_hears_of_a_value_that_is_not_kept() {
    let parts = Parts::new();
    patient(&parts, async {
        for question in ["@0 one", "@10 other"] {
            let service = closed(Mood::Well);
            let leader = boarded(picky("@0 one", Arc::clone(&service))).await;
            let (joined, next) = (Arc::clone(&service), Arc::clone(&service));
            let heard = first_and_again(
                picky("@0 one", joined),
                move || picky(question, Arc::clone(&next)),
                async || service.world.open_all(),
            );
            assert_eq!(heard.await, ("value 1".into(), "value 2".into()));
            assert_eq!(ending(leader).await, "value 1");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_question_is_free_when_the_first_hears_of_a_timeout() {
    let parts = Parts::new();
    patient(&parts, async {
        for question in ["@0 one", "@10 other"] {
            let service = closed(Mood::Hanging);
            service.world.open_all();
            let leader = boarded(timed("@0 one", Arc::clone(&service))).await;
            let (joined, next) = (Arc::clone(&service), Arc::clone(&service));
            let heard = first_and_again(
                timed("@0 one", joined),
                move || {
                    next.is(Mood::Well);
                    timed(question, Arc::clone(&next))
                },
                async || advance(Duration::from_secs(3)).await,
            );
            assert_eq!(heard.await, ("timeout".into(), "value 2".into()));
            assert_eq!(ending(leader).await, "timeout");
            timed::clear().await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_blocks_for_ever_keeps_no_question() {
    let parts = Parts::new();
    patient(&parts, async {
        let service = closed(Mood::Hanging);
        let call = |question: &str| {
            let (question, service) = (question.to_owned(), Arc::clone(&service));
            async move { tokio::task::spawn_blocking(move || blocking(question, service)).await.unwrap() }
        };
        assert_eq!(said(call("@0 one")).await, "timeout");
        service.is(Mood::Well);
        assert_eq!(said(call("@0 one")).await, "value 2");
        assert_eq!(said(call("@30 far")).await, "value 3");
        assert_eq!(said(call("@-10 other")).await, "value 2");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_joined_is_told_when_it_ends_well() {
    let parts = Parts::new();
    patient(&parts, async {
        let service = closed(Mood::Well);
        let first = boarded(outcome(ask("@0 one", Arc::clone(&service)))).await;
        let near = boarded(outcome(ask("@10 other", Arc::clone(&service)))).await;
        let equal = boarded(outcome(ask("@10 other", Arc::clone(&service)))).await;
        service.world.open_all();
        settle().await;
        assert_eq!(first.await.unwrap().1, Some(Outcome::Executed));
        for call in [near, equal] {
            let Some(Outcome::Joined { similarity }) = call.await.unwrap().1 else { panic!("it joined") };
            assert!((similarity - super::parts::cosine(10.0)).abs() < 1e-6);
        }
    })
    .await;
}
