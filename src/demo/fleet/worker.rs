//! A worker: one process of several, with callers that all call at once when it is told to.

use std::sync::Arc;
use std::time::Instant;

use stampede_runtime::store::{Backend as _, RedisBackend};
use stampede_runtime::{Config, configure};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, Stdin};
use tokio::task::JoinSet;

use super::wire::{Counted, Ended, Job, Said, places};
use crate::demo::api::Api;
use crate::demo::functions::weather_for_all;
use crate::failure::Failure;

/// Works until nobody says anything any more: a worker never outlives the demo.
pub(super) async fn work() -> Result<(), Failure> {
    let mut told = BufReader::new(tokio::io::stdin()).lines();
    let job: Option<Job> = next(&mut told).await.and_then(|line| serde_json::from_str(&line).ok());
    let Some(job) = job else {
        return Err(Failure::Usage("only `stampede demo --processes` starts a worker".to_owned()));
    };
    let _ = rlimit::increase_nofile_limit(u64::from(job.callers) + 100);
    if let Err(why) = meet(&job.redis).await {
        return say(&Said::Failed(why)).await;
    }
    say(&Said::Ready).await?;
    let job = Arc::new(job);
    let api = Api::new(job.api).of_process(job.process);
    while next(&mut told).await.is_some() {
        say(&Said::Round(round(&job, &api).await)).await?;
    }
    Ok(())
}

/// Has everything shared through this Redis, which has to be there.
async fn meet(url: &str) -> Result<(), String> {
    let redis = RedisBackend::new(url).map_err(super::no_url)?;
    redis.ping().await.map_err(|error| super::no_redis(&error))?;
    let config = Config::builder().backend("redis", redis).build().map_err(|error| error.to_string())?;
    configure(config).map_err(|error| error.to_string())
}

/// All callers at once, each with a place of its own or the next best.
async fn round(job: &Arc<Job>, api: &Api) -> Ended {
    let places: Arc<[_]> = places(job.keys).collect();
    let mut callers = JoinSet::new();
    for caller in 0..usize::from(job.callers) {
        let (job, api, places) = (Arc::clone(job), api.clone(), Arc::clone(&places));
        callers.spawn(async move {
            let (country, zip) = &places[caller % places.len()];
            let called = Instant::now();
            let answer = weather_for_all(api, &job.run, country, zip).await;
            match answer {
                Ok(weather) if (&*weather.country, &weather.zip) == (*country, zip) => Ok(called.elapsed()),
                Ok(_) => Err("a caller was given the answer to another question".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        });
    }
    let (mut took_micros, mut failures) = (Vec::new(), Vec::new());
    for ending in callers.join_all().await {
        match ending {
            Ok(took) => took_micros.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            Err(why) => failures.push(why),
        }
    }
    Ended {
        answered: took_micros.len() as u64,
        failed: failures.len() as u64,
        first_failure: failures.into_iter().next(),
        took_micros,
        counted: Counted::from(weather_for_all::stats()),
    }
}

async fn next(told: &mut Lines<BufReader<Stdin>>) -> Option<String> {
    told.next_line().await.ok().flatten()
}

async fn say(said: &Said) -> Result<(), Failure> {
    let deaf = |error| Failure::Failed(format!("a worker is not heard: {error}"));
    let mut line = serde_json::to_vec(said).expect("plain data");
    line.push(b'\n');
    let mut stdout = tokio::io::stdout();
    stdout.write_all(&line).await.map_err(deaf)?;
    stdout.flush().await.map_err(deaf)
}
