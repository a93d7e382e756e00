//! Entries have their time, and their room.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{GRACE, LONG, Put, SHORT, Trial, Verdict, checks};

checks! {
    keeps_an_entry_until_its_ttl,
    lets_go_of_an_entry_at_its_ttl,
    old_entries_are_exact_and_never_near,
    replaces_the_ttl,
    asking_does_not_prolong,
    the_longest_ttl_keeps,
    those_made_first_make_room,
    room_is_made_in_one_partition,
    what_is_over_takes_no_room,
}

async fn keeps_an_entry_until_its_ttl(trial: &Trial) -> Verdict {
    let (f, to) = (trial.partition("f"), trial.direction(1));
    for ttl in [SHORT, Duration::from_millis(1500), Duration::from_micros(900_500)] {
        let name = format!("{ttl:?}");
        let begun = Instant::now();
        trial.keep(&f, &Put { ttl, ..Put::new(&name, &to) }).await?;
        let mut looks = 0;
        loop {
            let (exact, near) = (trial.exact(&f, &name).await?, trial.nearest(&f, &to, 10).await?);
            // The index's time began after ours: what is answered within the ttl must be there.
            let passed = begun.elapsed();
            if passed >= ttl {
                break;
            }
            let (exact, near) = (exact.is_some(), near.iter().any(|near| near.entry.question == name));
            if !exact || !near {
                return Err(format!("{passed:?} after `put` for {ttl:?}: `exact` {exact}, `nearest` {near}"));
            }
            looks += 1;
            sleep(Duration::from_millis(20)).await;
        }
        if looks == 0 {
            return Err(format!("one `put` and one look took longer than {ttl:?}; nothing could be seen"));
        }
    }
    Ok(())
}

async fn lets_go_of_an_entry_at_its_ttl(trial: &Trial) -> Verdict {
    let (f, to) = (trial.partition("f"), trial.direction(1));
    for ttl in [Duration::from_millis(1), SHORT, Duration::from_millis(1100)] {
        let name = format!("{ttl:?}");
        trial.keep(&f, &Put { ttl, ..Put::new(&name, &to) }).await?;
        sleep(ttl + GRACE).await;
        let when = format!("{GRACE:?} after a ttl of {ttl:?}");
        trial.expect(&f, &name, None, &when).await?;
        trial.expect_near(&f, &to, 10, &[], &when).await?;
        let counted = (trial.remove_near(&f, &to, 0.5).await?, trial.remove(&f, &name).await?);
        if counted != (0, false) {
            return Err(format!("{when}, it was removed as if it were there: {counted:?}"));
        }
        trial.keep(&f, &Put { ttl: LONG, ..Put::new(&name, &to) }).await?;
        trial.expect(&f, &name, Some(&name), "after an entry was over and put again").await?;
        trial.remove(&f, &name).await?;
    }
    trial.keep(&f, &Put { ttl: SHORT, ..Put::new("last", &to) }).await?;
    sleep(SHORT + GRACE).await;
    let counted = trial.clear(&f.namespace).await?;
    if counted == 0 { Ok(()) } else { Err(format!("`clear` counted {counted} entries that were over")) }
}

async fn old_entries_are_exact_and_never_near(trial: &Trial) -> Verdict {
    let (f, to) = (trial.partition("f"), trial.direction(1));
    let retention = Duration::from_secs(1);
    trial.keep(&f, &Put { ttl: SHORT, retention, ..Put::new("old", &to) }).await?;
    let put = Instant::now();
    trial.keep(&f, &Put::new("fresh", &trial.at(1, 0.3, 2))).await?;
    sleep(SHORT + GRACE).await;
    trial.expect_near(&f, &to, 10, &["fresh"], "when a nearer entry was old").await?;
    trial.expect_near(&f, &to, 1, &["fresh"], "when a nearer entry was old").await?;
    let old = trial.exact(&f, "old").await?;
    if put.elapsed() < SHORT + retention {
        let old = old.ok_or("`exact` found no entry within its retention")?;
        let passed = put.elapsed() + GRACE;
        if !old.fresh.is_zero() || old.past.is_zero() || old.past > passed || old.age < SHORT || old.age > passed {
            let times = (old.fresh, old.past, old.age);
            return Err(format!("of an old entry, `exact` says of fresh, past and age {times:?}"));
        }
    }
    sleep(retention).await;
    trial.expect(&f, "old", None, "after the retention").await?;
    // What is old and kept is taken out as what is fresh.
    trial.keep(&f, &Put { ttl: Duration::from_millis(1), retention: LONG, ..Put::new("older", &to) }).await?;
    sleep(GRACE).await;
    let removed = trial.remove_near(&f, &to, 0.9).await?;
    trial.expect(&f, "older", None, "after `remove_near` of an old entry").await?;
    if removed == 1 { Ok(()) } else { Err(format!("`remove_near` of one old entry counted {removed}")) }
}

async fn replaces_the_ttl(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    let (longer, shorter) = (trial.direction(1), trial.direction(2));
    trial.keep(&f, &Put { ttl: SHORT, ..Put::new("longer", &longer) }).await?;
    trial.keep(&f, &Put { ttl: LONG, retention: LONG, ..Put::new("shorter", &shorter) }).await?;
    trial.keep(&f, &Put { ttl: LONG, ..Put::new("longer", &longer) }).await?;
    trial.keep(&f, &Put { ttl: SHORT, ..Put::new("shorter", &shorter) }).await?;
    sleep(SHORT + GRACE).await;
    trial.expect(&f, "longer", Some("longer"), "after a longer ttl replaced a shorter one, which is over").await?;
    trial.expect(&f, "shorter", None, "after a shorter ttl, which is over, replaced a longer one").await?;
    trial.expect_near(&f, &shorter, 10, &["longer"], "after a shorter ttl, which is over, replaced a longer one").await
}

async fn asking_does_not_prolong(trial: &Trial) -> Verdict {
    let (f, to) = (trial.partition("f"), trial.direction(1));
    trial.keep(&f, &Put { ttl: SHORT, ..Put::new("a", &to) }).await?;
    let due = Instant::now() + SHORT + GRACE;
    while Instant::now() < due {
        trial.exact(&f, "a").await?;
        trial.nearest(&f, &to, 1).await?;
        trial.hit(&f, "a").await?;
        sleep_until(due.min(Instant::now() + Duration::from_millis(50))).await;
    }
    trial.expect(&f, "a", None, "after the ttl, within which it was asked for and hit often").await
}

async fn the_longest_ttl_keeps(trial: &Trial) -> Verdict {
    const DAY: u64 = 86_400;
    let f = trial.partition("f");
    let century = Duration::from_secs(100 * 365 * DAY);
    for (seed, ttl) in (0..).zip([Duration::from_secs(DAY), century, Duration::from_secs(u64::MAX), Duration::MAX]) {
        let (name, to) = (format!("{ttl:?}"), trial.direction(seed));
        trial.keep(&f, &Put { ttl, retention: ttl, ..Put::new(&name, &to) }).await?;
        trial.expect(&f, &name, Some(&name), "after `put` for very long").await?;
        trial.expect_near(&f, &to, 1, &[&name], "after `put` for very long").await?;
    }
    Ok(())
}

async fn those_made_first_make_room(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    let put = |name, seed, capacity| Put { capacity, ..Put::new(name, &trial.direction(seed)) };
    let left = async |expected: &[&str], when: &str| {
        for (seed, name) in (0..).zip(["a", "b", "c", "d", "e"]) {
            let is_left = expected.contains(&name);
            trial.expect(&f, name, is_left.then_some(name), when).await?;
            let near = trial.nearest(&f, &trial.direction(seed), 1).await?;
            if near.first().is_some_and(|near| near.entry.question == name) != is_left {
                return Err(format!("{when}, `nearest` does not agree with `exact` of `{name}`"));
            }
        }
        Ok(())
    };
    for (name, seed) in [("a", 0), ("b", 1), ("c", 2)] {
        trial.keep(&f, &put(name, seed, 3)).await?;
    }
    left(&["a", "b", "c"], "after `put` of as many as there is room for").await?;
    // Being used saves nobody; being made again does.
    trial.exact(&f, "b").await?;
    trial.hit(&f, "b").await?;
    trial.keep(&f, &put("a", 0, 3)).await?;
    left(&["a", "b", "c"], "after `put` of one that was there").await?;
    trial.keep(&f, &put("d", 3, 3)).await?;
    left(&["a", "c", "d"], "after `put` of one more than there is room for").await?;
    trial.keep(&f, &put("e", 4, 2)).await?;
    left(&["d", "e"], "after `put` into less room").await?;
    trial.keep(&f, &put("a", 0, 1)).await?;
    left(&["a"], "after `put` into room for one").await
}

async fn room_is_made_in_one_partition(trial: &Trial) -> Verdict {
    let [f, other] = ["f", "fx"].map(|function| trial.partition(function));
    let tenant = crate::semantic::Partition { tenant: "tenant".into(), ..f.clone() };
    let to = trial.direction(1);
    for partition in [&other, &tenant] {
        trial.keep(partition, &Put { capacity: 1, ..Put::new("a", &to) }).await?;
    }
    for name in ["a", "b", "c"] {
        trial.keep(&f, &Put { capacity: 1, ..Put::new(name, &to) }).await?;
    }
    trial.expect(&f, "c", Some("c"), "after room was made for it").await?;
    for partition in [&other, &tenant] {
        trial.expect(partition, "a", Some("a"), "after room was made in another partition").await?;
    }
    Ok(())
}

async fn what_is_over_takes_no_room(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    let put = |name, seed| Put { capacity: 2, ..Put::new(name, &trial.direction(seed)) };
    trial.keep(&f, &put("a", 1)).await?;
    trial.keep(&f, &Put { ttl: SHORT, ..put("brief", 2) }).await?;
    sleep(SHORT + GRACE).await;
    trial.keep(&f, &put("b", 3)).await?;
    trial.expect(&f, "a", Some("a"), "when a later one was over and one was put").await?;
    trial.expect(&f, "b", Some("b"), "when another was over").await
}
