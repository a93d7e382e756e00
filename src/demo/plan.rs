//! The traffic of one round: who asks for what, and when. Fixed seeds, so every half and every run sends the same.

use std::time::Duration;

use serde::Serialize;

/// Cities arrive over this time: well within the latency of one call, so a cold round is one stampede per city.
const ARRIVALS: Duration = Duration::from_millis(100);
/// The exponent of the prompts' Zipf distribution: a few of them are asked for all the time, most of them hardly ever.
const SKEW: f64 = 1.1;
const SEED: u64 = 0x5eed;

/// One round of traffic.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    /// What is asked for at least once; each is one key.
    pub(crate) questions: Vec<Question>,
    /// In the order in which callers take them.
    pub(crate) requests: Vec<Request>,
    /// How many callers work through the requests at the same time.
    pub(crate) callers: usize,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Cities,
    Prompts,
}

/// One call to make.
#[derive(Debug)]
pub(crate) struct Request {
    /// An index into the plan's questions.
    pub(crate) question: usize,
    /// Not before this time has passed in the round.
    pub(crate) after: Duration,
}

/// Something to ask the API.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    Weather(City),
    Completion(String),
}

/// A place the demo knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct City {
    pub(crate) name: &'static str,
    pub(crate) country: &'static str,
    pub(crate) zip: &'static str,
}

const CITIES: [City; 5] = [
    City { name: "Nairobi", country: "KE", zip: "00100" },
    City { name: "Berlin", country: "DE", zip: "10115" },
    City { name: "Tokyo", country: "JP", zip: "100-0001" },
    City { name: "New York", country: "US", zip: "10001" },
    City { name: "São Paulo", country: "BR", zip: "01310-000" },
];

impl Plan {
    /// `threads` callers for each of `cities` cities, all within [`ARRIVALS`].
    pub(crate) fn cities(cities: u8, threads: u16) -> Self {
        let mut luck = fastrand::Rng::with_seed(SEED);
        let questions: Vec<_> = CITIES.into_iter().take(cities.into()).map(Question::Weather).collect();
        let mut requests: Vec<_> = (0..questions.len() * usize::from(threads))
            .map(|caller| Request { question: caller % questions.len(), after: ARRIVALS.mul_f64(luck.f64()) })
            .collect();
        requests.sort_by_key(|request| request.after);
        Self { kind: Kind::Cities, callers: requests.len(), questions, requests }
    }

    /// `requests` calls for `prompts`, most for the first of them, by `threads` callers who each wait for their answer.
    pub(crate) fn prompts(prompts: &[String], requests: u16, threads: u16) -> Self {
        let mut luck = fastrand::Rng::with_seed(SEED);
        let zipf = Zipf::new(prompts.len(), SKEW);
        let ranks: Vec<usize> = (0..requests).map(|_| zipf.draw(&mut luck)).collect();

        let mut drawn = ranks.clone();
        drawn.sort_unstable();
        drawn.dedup();
        let place = |rank| drawn.binary_search(&rank).expect("every rank was drawn");
        let requests: Vec<_> =
            ranks.iter().map(|&rank| Request { question: place(rank), after: Duration::ZERO }).collect();
        let questions = drawn.iter().map(|&rank| Question::Completion(prompts[rank].clone())).collect();
        let callers = usize::from(threads).min(requests.len());
        Self { kind: Kind::Prompts, questions, requests, callers }
    }

    /// How many calls the API's rate limit lets through at once: enough to ask each question once, and two thirds of
    /// the traffic. A client that asks for nothing twice is never refused; one that does has to be lucky.
    pub(crate) fn burst(&self) -> u32 {
        let burst = self.questions.len().max(self.requests.len() * 2 / 3);
        u32::try_from(burst).expect("a round has at most 10,000 requests")
    }
}

impl Kind {
    /// The price of an answered call, in whole cents: money is added up as integers.
    pub(crate) fn price_cents(self) -> u64 {
        match self {
            Self::Cities => 1,
            Self::Prompts => 3,
        }
    }

    /// One of them, in words.
    pub(crate) fn one(self) -> &'static str {
        match self {
            Self::Cities => "city",
            Self::Prompts => "prompt",
        }
    }

    /// The line that makes the difference, as it stands in `functions.rs`.
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::Cities => r#"#[coalesce(ttl = "1h", skip(api))]"#,
            Self::Prompts => r#"#[coalesce_by_content(fields = [prompt], ttl = "1h", capacity = 20_000)]"#,
        }
    }
}

impl Question {
    /// What the API counts the call under.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Weather(City { country, zip, .. }) => format!("{country}/{zip}"),
            Self::Completion(prompt) => prompt.clone(),
        }
    }

    /// What a person calls it.
    pub(crate) fn label(&self) -> &str {
        match self {
            Self::Weather(city) => city.name,
            Self::Completion(prompt) => prompt,
        }
    }
}

/// Ranks 0, 1, 2 … with probabilities that fall as 1, 1/2^s, 1/3^s …
struct Zipf {
    /// The weights of all ranks up to each.
    cumulative: Vec<f64>,
}

impl Zipf {
    fn new(ranks: usize, exponent: f64) -> Self {
        let weights = (1..=ranks).map(|rank| (rank as f64).powf(-exponent));
        let cumulative = weights.scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self { cumulative: cumulative.collect() }
    }

    fn draw(&self, luck: &mut fastrand::Rng) -> usize {
        let total = self.cumulative.last().expect("there is at least one rank");
        let point = luck.f64() * total;
        self.cumulative.partition_point(|&sum| sum <= point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_city_gets_its_callers() {
        let plan = Plan::cities(3, 10);
        assert_eq!((plan.questions.len(), plan.callers), (3, 30));
        for city in 0..3 {
            assert_eq!(plan.requests.iter().filter(|request| request.question == city).count(), 10);
        }
    }

    #[test]
    fn every_question_of_a_plan_is_asked_and_earlier_prompts_more_often() {
        let prompts: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
        let plan = Plan::prompts(&prompts, 500, 50);
        let asked = |question| plan.requests.iter().filter(|request| request.question == question).count();
        assert_eq!(plan.requests.len(), 500);
        assert!((0..plan.questions.len()).all(|question| asked(question) > 0));
        assert_eq!(plan.questions[0].label(), "0");
        // One over the 1000th harmonic number of order 1.1, of 500: about 90.
        assert!((60..120).contains(&asked(0)), "{} of 500", asked(0));
    }

    #[test]
    fn the_same_traffic_every_time() {
        let prompts: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let order = |plan: Plan| plan.requests.iter().map(|request| request.question).collect::<Vec<_>>();
        assert_eq!(order(Plan::prompts(&prompts, 100, 5)), order(Plan::prompts(&prompts, 100, 5)));
    }

    #[test]
    fn the_rate_limit_never_stands_in_the_way_of_one_call_for_each_question() {
        assert_eq!(Plan::cities(3, 10).burst(), 20);
        assert_eq!(Plan::cities(5, 1).burst(), 5);
    }
}
