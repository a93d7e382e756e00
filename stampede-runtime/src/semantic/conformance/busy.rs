//! Many at once, and calls that nobody waits for.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tokio::task::JoinSet;

use super::{Put, Trial, Verdict, checks, hash, whole};
use crate::semantic::{Index, Partition};

checks! {
    a_hundred_at_once,
    one_question_at_once_is_kept_once,
    room_is_kept_by_many_at_once,
    never_answers_with_another_entry,
    a_dropped_call_disturbs_no_other,
}

pub(super) async fn joined<T: 'static>(all: &mut JoinSet<T>) -> Result<T, String> {
    let ended = all.join_next().await.ok_or("no task was left")?;
    ended.map_err(|error| format!("a task ended with {error}"))
}

async fn end(mut all: JoinSet<Verdict>) -> Verdict {
    while !all.is_empty() {
        joined(&mut all).await??;
    }
    Ok(())
}

/// Puts an entry and asks for it both ways.
async fn put_and_find(index: &dyn Index, of: &Partition, put: &Put<'_>) -> Verdict {
    index.put(of, put.new_of()).await.map_err(|error| format!("`put` failed: {}", whole(&error)))?;
    let exact = index.exact(of, &hash(put.name)).await.map_err(|error| format!("`exact` failed: {}", whole(&error)))?;
    let near = index.nearest(of, &put.embedding, 1).await;
    let near = near.map_err(|error| format!("`nearest` failed: {}", whole(&error)))?;
    let seen = (exact.map(|entry| entry.response), near.first().map(|near| near.entry.response.as_str()));
    if seen.0.as_deref() == Some(put.response) && seen.1 == Some(put.response) {
        return Ok(());
    }
    Err(format!("of entry `{}`, `exact` and `nearest` gave {seen:?} while others were busy", put.name))
}

async fn a_hundred_at_once(trial: &Trial) -> Verdict {
    let mut all = JoinSet::new();
    for number in 0..100 {
        let (index, of, to) = (Arc::clone(&trial.index), trial.partition("f"), trial.direction(number));
        all.spawn(async move { put_and_find(&*index, &of, &Put::new(&number.to_string(), &to)).await });
    }
    end(all).await
}

async fn one_question_at_once_is_kept_once(trial: &Trial) -> Verdict {
    let (f, to) = (trial.partition("f"), trial.direction(1));
    let mut all = JoinSet::new();
    for number in 0..50 {
        let (index, of, to) = (Arc::clone(&trial.index), f.clone(), to.clone());
        all.spawn(async move {
            let response = number.to_string();
            let put = index.put(&of, Put { response: &response, ..Put::new("a", &to) }.new_of()).await;
            put.map(|_| ()).map_err(|error| format!("`put` failed: {}", whole(&error)))
        });
    }
    end(all).await?;
    trial.expect_near(&f, &to, 10, &["a"], "after fifty `put`s of one question at once").await?;
    let (exact, near) = (trial.exact(&f, "a").await?, trial.nearest(&f, &to, 1).await?);
    if exact.map(|entry| entry.response) != near.first().map(|near| near.entry.response.clone()) {
        return Err("after fifty `put`s of one question at once, `exact` and `nearest` do not agree".to_owned());
    }
    match trial.clear(&f.namespace).await? {
        1 => Ok(()),
        counted => Err(format!("after fifty `put`s of one question at once, there were {counted} entries")),
    }
}

async fn room_is_kept_by_many_at_once(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    let mut all = JoinSet::new();
    for number in 0..60 {
        let (index, of, to) = (Arc::clone(&trial.index), f.clone(), trial.direction(number));
        all.spawn(async move {
            let put = index.put(&of, Put { capacity: 10, ..Put::new(&number.to_string(), &to) }.new_of()).await;
            put.map(|_| ()).map_err(|error| format!("`put` failed: {}", whole(&error)))
        });
    }
    end(all).await?;
    // Those that ran at once may have counted without one another; the next one counts them all.
    trial.keep(&f, &Put { capacity: 10, ..Put::new("last", &trial.direction(99)) }).await?;
    trial.expect(&f, "last", Some("last"), "after `put` into a full partition").await?;
    match trial.nearest(&f, &trial.direction(1), 100).await?.len() {
        10 => Ok(()),
        seen => Err(format!("there are {seen} entries where there is room for 10")),
    }
}

async fn never_answers_with_another_entry(trial: &Trial) -> Verdict {
    const ENTRIES: u64 = 40;
    let f = trial.partition("f");
    for number in 0..ENTRIES {
        trial.keep(&f, &Put::new(&number.to_string(), &trial.direction(number))).await?;
    }
    let mut all = JoinSet::new();
    for task in 0..20 {
        let (index, of) = (Arc::clone(&trial.index), f.clone());
        let meanings: Vec<_> = (0..ENTRIES).map(|number| trial.direction(number)).collect();
        all.spawn(async move {
            for step in 0..ENTRIES {
                let number = usize::try_from((task * 7 + step) % ENTRIES).expect("there are forty");
                let (name, to) = (number.to_string(), &meanings[number]);
                if task % 4 == 0 {
                    put_and_find(&*index, &of, &Put::new(&name, to)).await?;
                } else if task % 4 == 1 {
                    // Others come and go.
                    let own = format!("{task}-{step}");
                    let put = Put::new(&own, to);
                    let at = Partition { tenant: own.as_str().into(), ..of.clone() };
                    put_and_find(&*index, &at, &put).await?;
                    index.remove(&at, &hash(&own)).await.map_err(|error| whole(&error))?;
                }
                let exact = index.exact(&of, &hash(&name)).await.map_err(|error| whole(&error))?;
                let near = index.nearest(&of, to, 1).await.map_err(|error| whole(&error))?;
                let seen = [exact.map(|entry| entry.response), near.into_iter().next().map(|near| near.entry.response)];
                if seen.iter().any(|seen| seen.as_deref() != Some(&*name)) {
                    return Err(format!("`exact` and `nearest` of {name} gave {seen:?} while others were busy"));
                }
            }
            Ok(())
        });
    }
    end(all).await
}

async fn a_dropped_call_disturbs_no_other(trial: &Trial) -> Verdict {
    let f = trial.partition("f");
    let [dropped, kept] = [1, 2].map(|seed| trial.direction(seed));
    trial.keep(&f, &Put::new("dropped", &dropped)).await?;
    trial.keep(&f, &Put::new("kept", &kept)).await?;
    for round in 0..20 {
        let mut exact = trial.index.exact(&f, const { &[7; 32] });
        let mut near = trial.index.nearest(&f, &dropped, 1);
        poll_fn(|context| {
            let _ = (exact.as_mut().poll(context), near.as_mut().poll(context));
            Poll::Ready(())
        })
        .await;
        drop((exact, near));
        let when = format!("after {} dropped calls", round + 1);
        trial.expect(&f, "kept", Some("kept"), &when).await?;
        trial.expect_near(&f, &kept, 1, &["kept"], &when).await?;
        trial.expect_near(&f, &dropped, 1, &["dropped"], &when).await?;
    }
    Ok(())
}
