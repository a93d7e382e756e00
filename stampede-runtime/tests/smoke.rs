use stampede_runtime::__private as p;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

static RUNS: AtomicUsize = AtomicUsize::new(0);

fn here()
-> p::Here<impl Fn() -> p::Options + Copy + Send + Sync + 'static, impl p::Share<Output = Result<String, String>>> {
    static SITE: p::Site = p::Site::new(module_path!(), "load");
    p::Here::new(&SITE, || p::Options::new().ttl(Duration::from_secs(60)), p::share!(Result<String, String>))
}

fn load<'a>(topic: &'a str, n: u32) -> impl Future<Output = Result<String, String>> + Send {
    async move {
        here()
            .board(p::Cons(p::part!(topic), p::Cons(p::part!(&n), p::Nil)))
            .fly(move || {
                let owned = (p::own(topic), n);
                async move {
                    let topic: &str = p::Borrow::borrow(&owned.0);
                    RUNS.fetch_add(1, SeqCst);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    if topic == "panic" {
                        panic!("oh no");
                    }
                    if topic == "err" {
                        return Err("bad".to_owned());
                    }
                    Ok(format!("{topic}{n}"))
                }
            })
            .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smoke() {
    let _iso = stampede_runtime::testing::isolate();
    let all: Vec<_> = (0..100).map(|_| tokio::spawn(async { load("a", 1).await })).collect();
    for t in all {
        assert_eq!(t.await.unwrap().unwrap(), "a1");
    }
    assert_eq!(RUNS.swap(0, SeqCst), 1);
    assert_eq!(load("a", 1).await.unwrap(), "a1");
    let all: Vec<_> = (0..100).map(|_| tokio::spawn(async { load("err", 1).await })).collect();
    for t in all {
        assert_eq!(t.await.unwrap().unwrap_err(), "bad");
    }
    assert_eq!(RUNS.swap(0, SeqCst), 1);
    let all: Vec<_> = (0..100).map(|_| tokio::spawn(async { load("panic", 1).await })).collect();
    for t in all {
        assert!(t.await.unwrap_err().is_panic());
    }
    assert_eq!(RUNS.swap(0, SeqCst), 1);
    // leader aborted
    let leader = tokio::spawn(async { load("b", 1).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let follower = tokio::spawn(async { load("b", 1).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    leader.abort();
    assert_eq!(follower.await.unwrap().unwrap(), "b1");
    assert_eq!(RUNS.swap(0, SeqCst), 1);
    // all gone
    let leader = tokio::spawn(async { load("c", 1).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    leader.abort();
    let _ = leader.await;
    println!("{}", here().stats());
    assert_eq!(here().stats().abandoned, 1);
    assert_eq!(here().stats().in_flight, 0);
    println!("{:?}", stampede_runtime::all_stats());
}

#[test]
fn two_runtimes() {
    RUNS.store(0, SeqCst);
    let a = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let b = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let first = a.spawn(async { load("z", 9).await });
    std::thread::sleep(Duration::from_millis(10));
    let second = b.spawn(async { load("z", 9).await });
    std::thread::sleep(Duration::from_millis(10));
    a.shutdown_background();
    assert_eq!(b.block_on(second).unwrap().unwrap(), "z9");
    assert_eq!(RUNS.load(SeqCst), 2);
    drop(first);
}
