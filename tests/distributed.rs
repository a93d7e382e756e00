//! Two processes' worth of one function, with a real server between them.

#[path = "../stampede-runtime/tests/support/redis_server.rs"]
mod redis_server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use redis_server::RedisServer;
use stampede_runtime::store::RedisBackend;
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, distributed_coalesce};

static EXECUTIONS: AtomicUsize = AtomicUsize::new(0);

#[distributed_coalesce(namespace = "smoke")]
async fn answer(question: String) -> Result<String, String> {
    let at = EXECUTIONS.fetch_add(1, SeqCst) + 1;
    tokio::time::sleep(Duration::from_millis(200)).await;
    if question.contains("fail") { Err(format!("no {question} {at}")) } else { Ok(format!("{question} {at}")) }
}

#[test]
fn two_processes_share_one_execution() {
    let Some(server) = RedisServer::start("smoke") else { return };
    let url = server.url();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let url = url.clone();
            thread::spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
                runtime.block_on(async {
                    let config = Config::builder().backend("redis", RedisBackend::new(url).unwrap()).build().unwrap();
                    let _isolated = isolate_with(config);
                    for question in ["a", "fail", "b"] {
                        let calls: Vec<_> = (0..50).map(|_| tokio::spawn(answer(question.to_owned()))).collect();
                        for call in calls {
                            println!("{:?}", call.await.unwrap());
                            break;
                        }
                    }
                    println!("{:#?}", answer::stats());
                    Arc::new(())
                })
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(EXECUTIONS.load(SeqCst), 3);
}
