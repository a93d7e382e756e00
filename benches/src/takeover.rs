//! A process is killed (`kill -9`) in the middle of its body: how long until a caller in another process has its value? The
//! lease of the dead has to run out first; whoever waits then leads, runs a body of 20 ms, and has it.
//!
//! Each sample is a process of its own that leads a key of its own, killed at a random moment between two renewals.

use std::time::Duration;

use crate::measure::{Effort, quantile};
use crate::redis::redis_server::RedisServer;
use crate::report::{Row, Section};
use crate::workers::{Ask, Said, start};

const LEASES: [(Duration, &str); 3] = [
    (Duration::from_millis(500), "lease 0.5 s"),
    (Duration::from_secs(2), "lease 2 s"),
    (Duration::from_secs(5), "lease 5 s, which it is unless one says otherwise"),
];
/// So many are killed side by side.
const AT_ONCE: usize = 20;

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    // Says so where there is none.
    let Some(server) = RedisServer::start("takeover") else { return Vec::new() };
    let url = server.url();
    let mut first = 1;
    let rows = LEASES.map(|(lease, name)| {
        let mut samples = Vec::new();
        for _ in 0..effort.of(6, 1) {
            samples.extend(killed(&url, lease, first));
            first += 1_000;
        }
        let at = |share| quantile(&samples, |seconds| *seconds, share);
        let mut row = Row::new(name, [samples.len() as f64, at(0.0), at(0.5), at(0.99), at(1.0)]);
        let limit = lease.as_secs_f64() + 0.5;
        row.goal(format!("p99 ≤ {limit} s"), at(0.99) <= limit);
        row
    });
    vec![Section {
        name: "takeover",
        title: "kill -9 in the body, to the value elsewhere".to_owned(),
        columns: vec!["kills", "least s", "p50 s", "p99 s", "max s"],
        rows: rows.into(),
    }]
}

/// Seconds from each kill to the value.
fn killed(url: &str, lease: Duration, first: u64) -> Vec<f64> {
    let (mut leaders, of_leaders) = start(AT_ONCE, url, lease);
    let (mut waiters, of_waiters) = start(1, url, lease);
    for (leader, key) in leaders.iter_mut().zip(first..) {
        leader.tell(&Ask::Lead { first: key, keys: 1 });
    }
    let mut leading = 0;
    while leading < AT_ONCE {
        leading += usize::from(matches!(of_leaders.recv().expect("they speak").1, Said::Leads(_)));
    }
    waiters[0].tell(&Ask::Call { first, keys: AT_ONCE as u64, callers: 10 });
    while !matches!(of_waiters.recv().expect("it speaks").1, Said::Waiting(flights) if flights == AT_ONCE as u64) {}
    // Renewals are not in step with one another, and neither are the kills with them.
    std::thread::sleep(lease / 3);
    let mut kills = vec![0; AT_ONCE];
    for (leader, kill) in leaders.iter_mut().zip(&mut kills) {
        std::thread::sleep((lease / 3).mul_f64(fastrand::f64()) / 10);
        *kill = leader.kill();
    }
    let mut seconds = Vec::new();
    while seconds.len() < AT_ONCE {
        if let (_, Said::Got { key, at }) = of_waiters.recv().expect("it speaks") {
            let kill = kills[usize::try_from(key - first).expect("one of these keys")];
            seconds.push((at - kill) as f64 / 1e9);
        }
    }
    seconds
}
