//! Several processes in one test, and a server in memory for them. All time is the test's, so that spans can be compared.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use stampede_runtime::store::conformance;
use stampede_runtime::testing::{self, Host, MemoryClient, MemoryServer, Network};
use stampede_runtime::{Config, Stats, cached, distributed_coalesce, invalidate_tags, shutdown};
use tokio::time::{Instant, sleep};

const LEASE: Duration = Duration::from_secs(5);
const BODY: Duration = Duration::from_secs(2);

#[distributed_coalesce(namespace = "hosts", ttl = "1m", lease = "5s")]
async fn slow(id: u32) -> u32 {
    sleep(BODY).await;
    id
}

#[distributed_coalesce(namespace = "hosts", ttl = "1m")]
async fn fails(id: u32) -> Result<u32, String> {
    sleep(BODY).await;
    Err(format!("no {id}"))
}

#[distributed_coalesce(namespace = "hosts", ttl = "1m", tags("row:{id}"))]
async fn row(id: u32) -> u32 {
    id
}

#[cached(ttl = "1m")]
async fn inner(id: u32) -> u32 {
    id
}

#[cached(ttl = "1m")]
async fn outer(id: u32) -> u32 {
    sleep(BODY).await;
    inner(id).await
}

/// A host, and the connection that it has.
fn host(server: &MemoryServer) -> (Host, MemoryClient) {
    let client = server.client();
    let config = Config::builder().backend("redis", client.clone()).build().expect("nothing is wrong with it");
    (Host::new(config), client)
}

fn stats(host: &Host, stats: fn() -> Stats) -> Stats {
    host.within(stats)
}

#[tokio::test(start_paused = true)]
async fn a_client_keeps_what_every_backend_promises() {
    conformance::check(async || MemoryServer::new().client()).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_far_away_keeps_it_too() {
    let network = Network { latency: Duration::from_millis(4), ..Network::default() };
    let make = async || {
        let server = MemoryServer::new();
        server.network(network);
        server.client()
    };
    conformance::check(make).await;
}

#[tokio::test(start_paused = true)]
async fn one_host_executes_and_the_other_waits() {
    let server = MemoryServer::new();
    let ((one, _), (other, _)) = (host(&server), host(&server));
    let begun = Instant::now();
    assert_eq!(tokio::join!(one.run(slow(7)), other.run(slow(7))), (7, 7));
    // Woken by a message, and not by the next look.
    assert!(begun.elapsed() < BODY + Duration::from_millis(5), "{:?}", begun.elapsed());
    let (leader, waiter) = (stats(&one, slow::stats), stats(&other, slow::stats));
    assert_eq!((leader.executions, waiter.executions), (1, 0));
    assert_eq!((leader.lock_acquired, waiter.lock_waited, waiter.push_wakeups), (1, 1, 1));
    assert_eq!(slow::stats().requests, 0, "the test itself is in no host");
}

#[tokio::test(start_paused = true)]
async fn an_error_reaches_the_other_and_the_next_call_tries_again() {
    let server = MemoryServer::new();
    let ((one, _), (other, _)) = (host(&server), host(&server));
    let no = Err("no 7".to_owned());
    assert_eq!(tokio::join!(one.run(fails(7)), other.run(fails(7))), (no.clone(), no.clone()));
    let executions = || stats(&one, fails::stats).executions + stats(&other, fails::stats).executions;
    assert_eq!(executions(), 1);
    assert_eq!(other.run(fails(7)).await, no);
    assert_eq!(executions(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_body_may_take_longer_than_its_lease() {
    #[distributed_coalesce(namespace = "hosts", ttl = "1m", lease = "1s")]
    async fn long(id: u32) -> u32 {
        sleep(Duration::from_secs(60)).await;
        id
    }
    let server = MemoryServer::new();
    let ((one, _), (other, _)) = (host(&server), host(&server));
    tokio::join!(one.run(long(7)), other.run(long(7)));
    assert_eq!(stats(&one, long::stats).executions + stats(&other, long::stats).executions, 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_long_looks_seldom_and_finds_out_in_as_long_again_where_every_message_is_lost() {
    #[distributed_coalesce(namespace = "hosts", ttl = "1h", lease = "5s")]
    async fn takes(seconds: u64) -> u64 {
        sleep(Duration::from_secs(seconds)).await;
        seconds
    }
    for seed in 0..20 {
        fastrand::seed(seed);
        let server = MemoryServer::new();
        server.network(Network { lost_messages: 1.0, ..Network::default() });
        let ((one, _), (other, _)) = (host(&server), host(&server));
        for seconds in [1, 2, 60] {
            let before = stats(&other, takes::stats).poll_wakeups;
            let begun = Instant::now();
            tokio::join!(one.run(takes(seconds)), async {
                sleep(Duration::from_millis(1)).await;
                other.run(takes(seconds)).await
            });
            let body = Duration::from_secs(seconds);
            // Twice as long each time, a quarter more at random; and half of the lease at most.
            let most = (body * 3 + Duration::from_secs(1)).min(body + LEASE * 5 / 8);
            assert!(begun.elapsed() <= most, "seed {seed}: {:?} for {body:?}", begun.elapsed());
            let looks = stats(&other, takes::stats).poll_wakeups - before;
            assert!(looks <= 3 + seconds * 8 / 15, "seed {seed}: {looks} looks within {body:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_is_replaced_within_a_lease_and_cannot_overwrite() {
    static BODIES: AtomicU32 = AtomicU32::new(0);
    #[distributed_coalesce(namespace = "hosts", ttl = "1m", lease = "5s")]
    async fn numbered(_id: u32) -> u32 {
        let number = BODIES.fetch_add(1, SeqCst);
        sleep(if number == 0 { 3 * LEASE } else { BODY }).await;
        number
    }
    let server = MemoryServer::new();
    let ((one, client), (other, _)) = (host(&server), host(&server));
    let begun = Instant::now();
    let second = async {
        sleep(Duration::from_millis(10)).await;
        client.cut();
        let value = other.run(numbered(7)).await;
        let took = begun.elapsed();
        client.mend();
        (value, took)
    };
    let (first, (second, took)) = tokio::join!(one.run(numbered(7)), second);
    assert_eq!((first, second), (0, 1), "the callers of each have what it made");
    // The lease and what is added to it at random, once the last of it was written down; and the body.
    let most = LEASE + Duration::from_millis(40) + BODY;
    assert!((LEASE + BODY..most).contains(&took), "{took:?}");
    one.run(testing::settled()).await;
    assert_eq!(stats(&one, numbered::stats).fenced_writes, 1);
    // A third finds the newer one.
    let (third, _) = host(&server);
    assert_eq!(third.run(numbered(7)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_server_each_is_alone_and_later_not_any_more() {
    let server = MemoryServer::new();
    let ((one, _), (other, _)) = (host(&server), host(&server));
    server.stop();
    assert_eq!(tokio::join!(one.run(slow(7)), other.run(slow(7))), (7, 7));
    assert_eq!(stats(&one, slow::stats).executions + stats(&other, slow::stats).executions, 2);
    server.start();
    server.forget();
    // The breaker has to notice.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(tokio::join!(one.run(slow(8)), other.run(slow(8))), (8, 8));
    assert_eq!(stats(&one, slow::stats).executions + stats(&other, slow::stats).executions, 3);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_server_that_dies_goes_on_alone_at_once() {
    let server = MemoryServer::new();
    let ((one, _), (other, _)) = (host(&server), host(&server));
    let begun = Instant::now();
    let stop = async {
        sleep(Duration::from_secs(1)).await;
        server.stop();
    };
    let (_, _, ()) = tokio::join!(one.run(slow(7)), other.run(slow(7)), stop);
    let most = Duration::from_secs(1) + BODY + Duration::from_millis(5);
    assert!(begun.elapsed() < most, "{:?}", begun.elapsed());
    assert_eq!(stats(&one, slow::stats).executions + stats(&other, slow::stats).executions, 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_server_leases_nothing() {
    let server = MemoryServer::new();
    let ((one, _), (other, _)) = (host(&server), host(&server));
    server.set_full(true);
    tokio::join!(one.run(slow(7)), other.run(slow(7)));
    assert_eq!(stats(&one, slow::stats).executions + stats(&other, slow::stats).executions, 2);
    assert_eq!(stats(&one, slow::stats).backend_faults.out_of_memory, 1);
}

#[tokio::test(start_paused = true)]
async fn what_one_invalidates_is_gone_from_the_memory_of_the_other() {
    let server = MemoryServer::new();
    let ((one, _), (other, _)) = (host(&server), host(&server));
    for host in [&one, &other] {
        host.run(row(7)).await;
        host.run(row(8)).await;
    }
    let executions = || stats(&one, row::stats).executions + stats(&other, row::stats).executions;
    assert_eq!(executions(), 2);
    one.run(async { invalidate_tags(["row:7"]).await }).await.unwrap();
    // A message is taken by a task of its own.
    sleep(Duration::from_millis(1)).await;
    assert_eq!(other.run(async { (row::peek(7), row::peek(8)) }).await, (None, Some(8)));
    other.run(row(7)).await;
    assert_eq!(executions(), 3);
    one.run(async { row::invalidate(8).await }).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(other.run(async { row::peek(8) }).await, None);
}

#[tokio::test(start_paused = true)]
async fn lost_commands_and_messages_cost_time_and_no_value() {
    for seed in 0..50 {
        fastrand::seed(seed);
        let server = MemoryServer::new();
        let hosts: Vec<_> = (0..5).map(|_| host(&server).0).collect();
        server.network(Network {
            latency: Duration::from_millis(3),
            lost_commands: 0.1,
            lost_answers: 0.1,
            lost_messages: 0.5,
            reconnects_within: Duration::ZERO,
        });
        let calls = hosts.iter().map(|host| async { host.run(slow(7)).await });
        let mut calls: Vec<_> = calls.map(Box::pin).collect();
        let begun = Instant::now();
        for call in &mut calls {
            assert_eq!(call.await, 7);
        }
        assert!(begun.elapsed() < 10 * (LEASE + BODY), "seed {seed}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn calls_inside_of_bodies_are_in_the_host_as_well() {
    let hosts = [Host::new(Config::default()), Host::new(Config::default())];
    for host in &hosts {
        assert_eq!(host.run(outer(7)).await, 7);
        assert_eq!(host.within(inner::stats).executions, 1);
    }
    assert_eq!(inner::stats().requests, 0);
    assert_eq!(hosts[0].run(shutdown(Duration::from_secs(1))).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_host_may_have_a_clock_of_its_own() {
    let hosts = [Host::new(Config::default()), Host::new(Config::default())];
    let clock = hosts[0].clock();
    for host in &hosts {
        host.run(inner(7)).await;
    }
    clock.advance(Duration::from_secs(61));
    for host in &hosts {
        host.run(inner(7)).await;
    }
    assert_eq!(hosts.each_ref().map(|host| host.within(inner::stats).executions), [2, 1]);
}
