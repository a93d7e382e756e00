//! What is near is found, as near as it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::busy::joined;
use super::{GRACE, Put, SHORT, TOLERANCE, Trial, Verdict, checks, whole};
use crate::semantic::{Embedding, Partition};

checks! {
    similarity_is_the_cosine,
    nearest_come_first,
    nearest_however_near,
    another_number_of_dimensions_is_never_near,
    removes_what_is_near_and_counts,
    finds_few_among_many,
    finds_fresh_among_old,
}

async fn similarity_is_the_cosine(trial: &Trial) -> Verdict {
    let (f, to) = (trial.partition("f"), trial.direction(1));
    let cosines = [1.0, 0.9953, 0.9537, 0.9246, 0.5051, 0.0144, 0.0, -0.3065, -0.9853, -1.0];
    for (aside, cosine) in (0..).zip(cosines) {
        trial.keep(&f, &Put::new(&cosine.to_string(), &trial.at(1, cosine, aside))).await?;
    }
    let near = trial.nearest(&f, &to, cosines.len()).await?;
    if near.len() != cosines.len() {
        return Err(format!("`nearest` gave {} of {} entries", near.len(), cosines.len()));
    }
    for near in near {
        let cosine: f32 = near.entry.question.parse().map_err(|_| "`nearest` gave an unknown question")?;
        let expected = (cosine - TOLERANCE).max(-1.0)..=(cosine + TOLERANCE).min(1.0);
        // What is no number is in no range.
        if !expected.contains(&near.similarity) {
            return Err(format!("the cosine is {cosine}, and `nearest` says {}", near.similarity));
        }
    }
    Ok(())
}

async fn nearest_come_first(trial: &Trial) -> Verdict {
    let (f, to) = (trial.partition("f"), trial.direction(1));
    // Not in the order in which they are to come.
    for (aside, name) in (0..).zip(["0.5", "0.9", "-0.5", "0.7", "0.8"]) {
        trial.keep(&f, &Put::new(name, &trial.at(1, name.parse().expect("a number"), aside))).await?;
    }
    let all = ["0.9", "0.8", "0.7", "0.5", "-0.5"];
    for limit in [0, 1, 2, 3, 4, 5, 6, 100] {
        trial.expect_near(&f, &to, limit, &all[..limit.min(5)], "among five entries").await?;
    }
    let opposite = trial.at(1, -1.0, 0);
    trial.expect_near(&f, &opposite, 2, &["-0.5", "0.5"], "of the opposite of what was asked before").await?;
    trial.keep(&f, &Put::new("0.85", &trial.at(1, 0.85, 9))).await?;
    trial.expect_near(&f, &to, 3, &["0.9", "0.85", "0.8"], "after another `put`").await?;
    trial.remove(&f, "0.9").await?;
    trial.expect_near(&f, &to, 3, &["0.85", "0.8", "0.7"], "after `remove` of the nearest").await
}

/// Whether it is near enough is not for the index to say.
async fn nearest_however_near(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    trial.keep(&f, &Put::new("opposite", &trial.at(1, -1.0, 1))).await?;
    trial.expect_near(&f, &trial.direction(1), 1, &["opposite"], "with nothing nearer").await
}

async fn another_number_of_dimensions_is_never_near(trial: &Trial) -> Verdict {
    let (f, to) = (trial.partition("f"), trial.direction(1));
    let numbers = to.as_slice();
    let others: Vec<Embedding> = [&numbers[..numbers.len() - 1], &numbers[..numbers.len() / 2], &numbers[..1]]
        .into_iter()
        .map(<[f32]>::to_vec)
        .chain([[numbers, &[0.0]].concat(), [numbers, numbers].concat()])
        .map(|numbers| Embedding::new(numbers, 0).expect("part of an embedding"))
        .collect();
    trial.keep(&f, &Put::new("a", &trial.at(1, 0.9, 1))).await?;
    for (number, other) in others.iter().enumerate() {
        let when = format!("with embeddings of {} and {} dimensions", trial.dimensions, other.dimensions());
        let near = trial.index.nearest(&f, other, 10).await;
        if near.is_ok_and(|near| near.iter().any(|near| near.entry.question == "a")) {
            return Err(format!("{when}, one was near the other"));
        }
        let removed = trial.index.remove_near(&f, other, -1.0).await;
        trial.expect(&f, "a", Some("a"), &format!("{when}, after `remove_near`")).await?;
        if let Ok(1..) = removed {
            return Err(format!("{when}, `remove_near` counted {removed:?}"));
        }
        // To refuse it is allowed.
        let _ = trial.index.put(&f, Put::new(&number.to_string(), other).new_of()).await;
        trial.expect_near(&f, &to, 10, &["a"], &when).await?;
        let _ = trial.index.remove(&f, &super::hash(&number.to_string())).await;
    }
    Ok(())
}

async fn removes_what_is_near_and_counts(trial: &Trial) -> Verdict {
    let [f, other] = ["f", "fx"].map(|function| trial.partition(function));
    let to = trial.direction(1);
    let names = ["1", "0.95", "0.9", "0.8", "0", "-1"];
    for (aside, name) in (0..).zip(names) {
        let put = Put::new(name, &trial.at(1, name.parse().expect("a number"), aside));
        trial.keep(&f, &put).await?;
        trial.keep(&other, &put).await?;
    }
    for (similarity, expected, left) in [(0.93, 2, 4), (0.93, 0, 4), (0.5, 2, 2), (-1.0, 2, 0), (-1.0, 0, 0)] {
        // A little less than nothing is away: the least similarity has to count with its tolerance.
        let removed = trial.remove_near(&f, &to, similarity - if similarity < 0.0 { TOLERANCE } else { 0.0 }).await?;
        if removed != expected {
            return Err(format!("`remove_near` down to {similarity} counted {removed} instead of {expected}"));
        }
        let when = format!("after `remove_near` down to {similarity}");
        trial.expect_near(&f, &to, 10, &names[6 - left..], &when).await?;
        for (at, name) in names.iter().enumerate() {
            trial.expect(&f, name, (at >= 6 - left).then_some(name), &when).await?;
        }
    }
    trial.expect_near(&other, &to, 10, &names, "after `remove_near` in another partition").await
}

/// Nearer entries by the hundred that are of no concern: an index that filters what it has found finds nothing.
async fn finds_few_among_many(trial: &Trial) -> Verdict {
    const MANY: u64 = 1980;
    const FEW: u64 = 20;
    let f = trial.partition("f");
    let others: Vec<Partition> = (1..100).map(|number| Partition { arguments: [number; 32], ..f.clone() }).collect();
    let puts = (0..MANY).map(|number| {
        let other = &others[usize::try_from(number).expect("it is small") % others.len()];
        (other.clone(), number.to_string(), trial.at(1, 0.95, number), Duration::from_secs(600))
    });
    put_many(trial, puts).await?;
    let few = (0..FEW).map(|number| {
        let cosine = if number == 7 { 0.9 } else { 0.3 };
        (f.clone(), format!("own {number}"), trial.at(1, cosine, MANY + number), Duration::from_secs(600))
    });
    put_many(trial, few).await?;
    found(trial, &f, FEW, "own 7", "among a hundred times as many of other partitions").await
}

async fn finds_fresh_among_old(trial: &Trial) -> Verdict {
    const OLD: u64 = 990;
    let f = trial.partition("f");
    let old = (0..OLD)
        .map(|number| (f.clone(), format!("old {number}"), trial.at(1, 0.95, number), Duration::from_millis(1)));
    put_many(trial, old).await?;
    let fresh = (0..10).map(|number| {
        let cosine = if number == 7 { 0.9 } else { 0.3 };
        (f.clone(), format!("own {number}"), trial.at(1, cosine, OLD + number), Duration::from_secs(600))
    });
    put_many(trial, fresh).await?;
    sleep(GRACE).await;
    found(trial, &f, 10, "own 7", "among a hundred times as many old ones").await
}

/// The nearest one, and any number of the others.
async fn found(trial: &Trial, f: &Partition, count: u64, nearest: &str, when: &str) -> Verdict {
    let to = trial.direction(1);
    trial.expect_near(f, &to, 1, &[nearest], when).await?;
    let limit = usize::try_from(count).expect("it is small");
    for limit in [limit / 2, limit] {
        let near = trial.nearest(f, &to, limit).await?;
        let own = near.iter().filter(|near| near.entry.question.starts_with("own")).count();
        if own != limit || near.len() != limit || near[0].entry.question != nearest {
            return Err(format!(
                "{when}, `nearest` with limit {limit} gave {own} of {count}, and {} in all",
                near.len()
            ));
        }
    }
    Ok(())
}

/// Puts entries that stay old for long, some at a time: a pool's queue is not what is tried here.
async fn put_many(trial: &Trial, puts: impl Iterator<Item = (Partition, String, Embedding, Duration)>) -> Verdict {
    let mut all = tokio::task::JoinSet::new();
    for (of, name, embedding, ttl) in puts {
        let index = Arc::clone(&trial.index);
        all.spawn(async move {
            let put = Put { ttl, retention: SHORT * 1000, ..Put::new(&name, &embedding) };
            index.put(&of, put.new_of()).await.map_err(|error| format!("`put` failed: {}", whole(&error)))
        });
        if all.len() >= 20 {
            joined(&mut all).await??;
        }
    }
    while !all.is_empty() {
        joined(&mut all).await??;
    }
    Ok(())
}
