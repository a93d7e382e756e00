//! Invalidation wins, and the newer of two answers.

use super::{BEFORE, Put, Trial, Verdict, checks};
use crate::semantic::Partition;

checks! {
    a_removal_wins_over_what_began_before,
    a_removal_of_the_near_wins_over_what_began_before,
    a_clear_wins_over_what_began_before,
    what_began_later_wins,
}

/// What was under way when it was invalidated is not put; what begins afterwards is.
async fn refuses_the_late(trial: &Trial, of: &Partition, name: &str, when: &str) -> Verdict {
    let to = trial.direction(1);
    for began in [BEFORE, BEFORE / 2] {
        if trial.put(of, &Put { began, ..Put::new(name, &to) }).await? {
            return Err(format!("{when}, `put` kept what began {began:?} ago"));
        }
        trial.expect(of, name, None, when).await?;
        trial.expect_near(of, &to, 10, &[], when).await?;
    }
    trial.keep(of, &Put { response: "\"new\"", ..Put::new(name, &to) }).await?;
    trial.expect(of, name, Some("\"new\""), &format!("{when} and `put` of what began later")).await?;
    trial.remove(of, name).await?;
    Ok(())
}

async fn a_removal_wins_over_what_began_before(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    let to = trial.direction(1);
    trial.keep(&f, &Put::new("a", &to)).await?;
    trial.remove(&f, "a").await?;
    refuses_the_late(trial, &f, "a", "after `remove`").await?;
    // Also where nothing was kept yet: the first execution is under way.
    trial.remove(&f, "never").await?;
    refuses_the_late(trial, &f, "never", "after `remove` of what was not there").await?;
    trial.keep(&f, &Put { began: BEFORE, ..Put::new("other", &to) }).await?;
    trial.expect(&f, "other", Some("other"), "after `remove` of others").await
}

async fn a_removal_of_the_near_wins_over_what_began_before(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    trial.keep(&f, &Put::new("far", &trial.at(1, 0.1, 1))).await?;
    trial.keep(&f, &Put::new("a", &trial.direction(1))).await?;
    trial.remove_near(&f, &trial.direction(1), 0.9).await?;
    let refresh = Put { began: BEFORE, ..Put::new("a", &trial.direction(1)) };
    if trial.put(&f, &refresh).await? {
        return Err("after `remove_near`, `put` kept what was removed and began before".to_owned());
    }
    trial.expect(&f, "a", None, "after `remove_near`").await?;
    // Also what had not been put yet, if it is near.
    let (near, far) = (trial.direction(1), trial.at(1, 0.1, 2));
    if trial.put(&f, &Put { began: BEFORE, ..Put::new("never", &near) }).await? {
        return Err("after `remove_near`, `put` kept what is near and began before".to_owned());
    }
    trial.expect(&f, "never", None, "after `remove_near`").await?;
    trial.keep(&f, &Put { began: BEFORE, ..Put::new("far away", &far) }).await?;
    trial.remove(&f, "far away").await?;
    trial.keep(&f, &Put::new("a", &trial.direction(1))).await?;
    trial.remove(&f, "far").await?;
    trial.expect(&f, "a", Some("a"), "after `remove_near` and another `put`").await
}

async fn a_clear_wins_over_what_began_before(trial: &Trial) -> Verdict {
    let [f, other] = ["f", "f%"].map(|function| trial.partition(function));
    let tenant = Partition { tenant: "tenant".into(), ..f.clone() };
    trial.keep(&f, &Put::new("a", &trial.direction(1))).await?;
    trial.clear(&f.namespace).await?;
    for partition in [&f, &tenant] {
        for name in ["a", "never"] {
            refuses_the_late(trial, partition, name, "after `clear`").await?;
        }
    }
    trial.keep(&other, &Put { began: BEFORE, ..Put::new("a", &trial.direction(1)) }).await?;
    trial.expect(&other, "a", Some("a"), "after `clear` of another function").await
}

async fn what_began_later_wins(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    let (to, away) = (trial.direction(1), trial.direction(2));
    let put = |response, embedding, began| Put { response, began, ..Put::new("a", embedding) };
    trial.keep(&f, &put("\"old\"", &to, BEFORE)).await?;
    trial.keep(&f, &put("\"newer\"", &to, BEFORE / 2)).await?;
    trial.expect(&f, "a", Some("\"newer\""), "after `put` of what began later").await?;
    if trial.put(&f, &put("\"old\"", &away, BEFORE)).await? {
        return Err("`put` said that it kept what began before what is kept".to_owned());
    }
    trial.expect(&f, "a", Some("\"newer\""), "after `put` of what began earlier").await?;
    let near = trial.nearest(&f, &to, 10).await?;
    if near.len() != 1 || near[0].similarity < 0.99 {
        return Err("`put` of what began earlier has changed what is near".to_owned());
    }
    trial.keep(&f, &put("\"newest\"", &to, std::time::Duration::ZERO)).await?;
    trial.expect(&f, "a", Some("\"newest\""), "after `put` of what began last").await
}
