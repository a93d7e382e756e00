//! Where calls are made: a runtime that stays, runtimes that come and go, threads that belong to none.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::actor::{Aim, act, call};
use super::truth::{TRUTH, count};

/// Ends everything that goes on.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn now(&self) {
        self.0.store(true, SeqCst);
    }

    fn is_now(&self) -> bool {
        self.0.load(SeqCst)
    }
}

pub(crate) struct Places {
    at_home: JoinSet<()>,
    threads: Vec<JoinHandle<()>>,
}

pub(crate) fn open(home: &Runtime, seed: u64, stop: &Stop) -> Places {
    let mut random = Rng::with_seed(seed);
    let mut at_home = JoinSet::new();
    for _ in 0..24 {
        let (stop, mut random) = (stop.clone(), random.fork());
        let stays = async move {
            while !stop.is_now() {
                act(random.u64(..), 100).await;
            }
        };
        at_home.spawn_on(stays, home.handle());
    }
    let mut threads = Vec::new();
    for _ in 0..3 {
        let (stop, mut random) = (stop.clone(), random.fork());
        threads.push(thread::spawn(move || {
            while !stop.is_now() {
                comes_and_goes(&mut random);
            }
        }));
    }
    let (stop, handle, mut random) = (stop.clone(), home.handle().clone(), random.fork());
    threads.push(thread::spawn(move || {
        while !stop.is_now() {
            let _home = handle.enter();
            block_on(call(Aim::any(&mut random)));
        }
    }));
    Places { at_home, threads }
}

pub(crate) fn close(home: &Runtime, mut places: Places) {
    home.block_on(async { while places.at_home.join_next().await.is_some() {} });
    for thread in places.threads {
        thread.join().unwrap_or_else(|_| TRUTH.fault("a thread has panicked".to_owned()));
    }
}

/// A runtime that ends while its calls and bodies are under way.
fn comes_and_goes(random: &mut Rng) {
    let has_threads = random.bool();
    let mut builder = if has_threads { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    let runtime = builder.worker_threads(1).enable_all().build().expect("threads can be had");
    for _ in 0..random.usize(1..6) {
        runtime.spawn(act(random.u64(..), random.usize(1..200)));
    }
    runtime.block_on(act(random.u64(..), random.usize(1..60)));
    if has_threads && random.bool() {
        // Of this thread's call, only the body is lost.
        let guard = runtime.enter();
        let lasting = call(Aim::any(random));
        let mut lasting = pin!(lasting);
        let begun = lasting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        drop(guard);
        runtime.shutdown_background();
        if begun {
            let elsewhere = Builder::new_current_thread().enable_all().build().expect("no resources are needed");
            elsewhere.block_on(lasting);
        }
    } else if random.bool() {
        runtime.shutdown_background();
    } else {
        runtime.shutdown_timeout(Duration::from_millis(random.u64(..3)));
    }
    count(&TRUTH.told.runtimes);
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits without a runtime's help.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
