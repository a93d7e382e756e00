//! Sends a round of traffic and notes, for each call, how it was served and how long its caller waited.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::api::{Api, ApiError};
use super::functions::{complete, complete_alone, weather, weather_alone};
use super::plan::{City, Plan, Question};
use super::progress::Bar;
use super::prompts;

/// Which of the two functions the callers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The plain one.
    Without,
    /// The one with the attribute.
    With,
}

impl Way {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Without => "without",
            Self::With => "with",
        }
    }
}

/// One call, as its caller saw it.
#[derive(Debug)]
pub(crate) struct Call {
    /// An index into the plan's questions.
    pub(crate) question: usize,
    pub(crate) served: Served,
    pub(crate) ending: Ending,
    pub(crate) took: Duration,
}

/// Where an answer (or an error) came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// A call went out on this caller's behalf.
    Called,
    /// No call went out, and the caller had to wait: it joined a flight.
    Joined,
    /// No call went out, and the result was there at once.
    Hit,
}

/// What the caller got.
#[derive(Debug)]
pub(crate) enum Ending {
    Answered,
    Refused,
    Failed(String),
}

/// Sends one round, all callers at the same time; returns every call.
pub(crate) async fn send(plan: &Arc<Plan>, api: &Api, way: Way, bar: &Bar) -> Vec<Call> {
    let start = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..plan.callers {
        let (plan, api, bar, next) = (Arc::clone(plan), api.clone(), bar.clone(), Arc::clone(&next));
        callers.spawn(async move {
            let mut calls = Vec::new();
            while let Some(request) = plan.requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                tokio::time::sleep_until(start + request.after).await;
                let call = call(&plan, request.question, &api, way).await;
                bar.show(&call);
                calls.push(call);
            }
            calls
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

async fn call(plan: &Plan, question: usize, api: &Api, way: Way) -> Call {
    let api = api.for_one_caller();
    let start = Instant::now();
    let mut answer = pin!(ask(&plan.questions[question], api.clone(), way));
    // A stored result is ready at the first look; everything else makes its caller wait.
    let first_look = poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await;
    let (answer, at_once) = match first_look {
        Poll::Ready(answer) => (answer, true),
        Poll::Pending => (answer.await, false),
    };
    let took = start.elapsed();
    let served = match (api.sent(), at_once) {
        (1.., _) => Served::Called,
        (0, false) => Served::Joined,
        (0, true) => Served::Hit,
    };
    let ending = match answer {
        Ok(true) => Ending::Answered,
        Ok(false) => Ending::Failed("a caller was given the answer to another question".to_owned()),
        Err(ApiError::RateLimited { .. }) => Ending::Refused,
        Err(error) => Ending::Failed(error.to_string()),
    };
    Call { question, served, ending, took }
}

/// Asks the question; says whether the answer is the answer to it.
async fn ask(question: &Question, api: Api, way: Way) -> Result<bool, ApiError> {
    match question {
        Question::Weather(City { country, zip, .. }) => {
            let weather = match way {
                Way::Without => weather_alone(api, country, zip).await?,
                Way::With => weather(api, country, zip).await?,
            };
            Ok(weather.country == *country && weather.zip == *zip)
        }
        Question::Completion(prompt) => {
            let completion = match way {
                Way::Without => complete_alone(api, prompt).await?,
                Way::With => complete(api, prompt).await?,
            };
            Ok(prompts::content(&completion.prompt) == prompts::content(prompt))
        }
    }
}
