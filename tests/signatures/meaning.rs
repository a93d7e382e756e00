//! Functions that compare meanings: what their question, their tenant and their body can be.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use axum::Json;
use axum::extract::Path;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stampede_runtime::semantic::LexicalEmbedder;
use stampede_runtime::testing::{Isolated, isolate_with};
use stampede_runtime::{Config, Outcome, outcome, semantic_coalesce};

/// What is asked, nearly the same, and something else.
const ASKED: &str = "How do I reset my password?";
const NEAR: &str = "how do i reset my pasword";
const OTHER: &str = "What is the capital of France?";

fn isolate() -> Isolated {
    isolate_with(Config::builder().embedder(LexicalEmbedder::new()).build().expect("it is right"))
}

/// The number of this run.
fn run() -> usize {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    RUNS.fetch_add(1, Relaxed)
}

/// A question that is near gets the answer, and one that is not does not.
async fn compares<F: Future<Output: Debug + PartialEq>>(ask: impl Fn(&'static str) -> F) {
    let _isolated = isolate();
    let first = ask(ASKED).await;
    let (near, became) = outcome(ask(NEAR)).await;
    assert_eq!(near, first);
    assert!(matches!(became, Some(Outcome::Semantic { .. })), "{became:?}");
    let (other, became) = outcome(ask(OTHER)).await;
    assert_ne!(other, first);
    assert_eq!(became, Some(Outcome::Executed));
}

/// The same for a sync function.
fn compares_now<T: Debug + PartialEq>(ask: impl Fn(&'static str) -> T) {
    let _isolated = isolate();
    let first = ask(ASKED);
    assert_eq!(ask(NEAR), first);
    assert_ne!(ask(OTHER), first);
}

#[tokio::test]
async fn a_question_by_str() {
    #[semantic_coalesce(threshold = 0.7)]
    async fn ask(model: u8, question: &str) -> (String, usize) {
        (format!("{model}{question}"), run())
    }

    compares(|question| ask(1, question)).await;
    let _isolated = isolate();
    assert_ne!(ask(1, ASKED).await, ask(2, NEAR).await, "another model");
}

#[tokio::test]
async fn a_question_by_string() {
    #[semantic_coalesce(threshold = 0.7)]
    async fn value(mut question: String) -> (String, usize) {
        question.push('!');
        (question, run())
    }

    #[semantic_coalesce(threshold = 0.7)]
    #[allow(clippy::ptr_arg)]
    async fn reference(question: &String) -> (usize, usize) {
        (question.len(), run())
    }

    #[semantic_coalesce(threshold = 0.7)]
    async fn for_ever(question: &'static str) -> (usize, usize) {
        (question.len(), run())
    }

    compares(|question| value(question.to_owned())).await;
    compares(async |question| reference(&question.to_owned()).await).await;
    compares(for_ever).await;
}

#[tokio::test]
async fn a_question_of_any_type_that_is_a_text() {
    #[semantic_coalesce(threshold = 0.7, query = question)]
    async fn cow(question: Cow<'_, str>) -> (usize, usize) {
        (question.len(), run())
    }

    #[semantic_coalesce(threshold = 0.7, query = question)]
    async fn arc(question: Arc<str>) -> (usize, usize) {
        (question.len(), run())
    }

    // Nothing but a text, also for a key.
    struct Prompt(String);

    impl AsRef<str> for Prompt {
        fn as_ref(&self) -> &str {
            &self.0
        }
    }

    #[semantic_coalesce(threshold = 0.7, query = question)]
    async fn own(question: Prompt) -> (usize, usize) {
        (question.0.len(), run())
    }

    #[semantic_coalesce(threshold = 0.7, query = question, namespace = "any text", companion = none)]
    async fn any(question: impl AsRef<str> + Send + 'static) -> (usize, usize) {
        (question.as_ref().len(), run())
    }

    compares(|question| cow(Cow::Borrowed(question))).await;
    compares(|question| arc(question.into())).await;
    compares(|question| own(Prompt(question.to_owned()))).await;
    compares(any).await;
}

/// Not a part of any key: it has neither `Hash` nor `Serialize`.
#[derive(Clone)]
struct Request {
    text: String,
    model: u8,
    temperature: f32,
}

fn request(text: &str) -> Request {
    Request { text: text.to_owned(), model: 1, temperature: 0.5 }
}

#[tokio::test]
async fn a_question_in_a_field() {
    #[semantic_coalesce(threshold = 0.7, query = request.text, key(request.model, request.temperature))]
    async fn ask(request: &Request) -> (usize, usize) {
        (request.text.len(), run())
    }

    #[semantic_coalesce(threshold = 0.7, query = asked.0.text, skip(asked), attached)]
    async fn borrowed(asked: &(&Request, &dyn Display)) -> (usize, usize) {
        (asked.0.text.len() + asked.1.to_string().len(), run())
    }

    compares(async |question| ask(&request(question)).await).await;
    compares(async |question| borrowed(&(&request(question), &1)).await).await;
    let _isolated = isolate();
    let warm = Request { temperature: 1.0, ..request(NEAR) };
    assert_ne!(ask(&request(ASKED)).await, ask(&warm).await, "another temperature");
}

#[tokio::test]
async fn a_question_in_a_pattern() {
    #[semantic_coalesce(threshold = 0.7, query = question)]
    async fn path(Path((model, question)): Path<(u8, String)>) -> (usize, usize) {
        (question.len() + usize::from(model), run())
    }

    #[semantic_coalesce(threshold = 0.7, query = request.text, key(request.model))]
    async fn json(Json(request): Json<Request>) -> (usize, usize) {
        (request.text.len(), run())
    }

    compares(|question| path(Path((1, question.to_owned())))).await;
    compares(|question| json(Json(request(question)))).await;
    let _isolated = isolate();
    assert_ne!(path(Path((1, ASKED.to_owned()))).await, path(Path((2, NEAR.to_owned()))).await, "another model");
}

/// Whose a call is.
#[derive(Clone)]
struct User {
    organisation: String,
    asked: Arc<AtomicUsize>,
}

impl User {
    fn of(organisation: &str) -> User {
        User { organisation: organisation.to_owned(), asked: Arc::default() }
    }

    /// Counts how often it is asked.
    fn tenant(&self) -> &str {
        self.asked.fetch_add(1, Relaxed);
        &self.organisation
    }
}

#[tokio::test]
async fn a_tenant_by_argument_field_and_method() {
    #[semantic_coalesce(threshold = 0.7, tenant = organisation)]
    async fn argument(organisation: &str, question: &str) -> (usize, usize) {
        (organisation.len() + question.len(), run())
    }

    #[semantic_coalesce(threshold = 0.7, tenant = user.organisation, skip(user))]
    async fn field(user: &User, question: &str) -> (usize, usize) {
        (user.organisation.len() + question.len(), run())
    }

    #[semantic_coalesce(threshold = 0.7, tenant = user.tenant(), skip(user))]
    async fn method(user: &User, question: &str) -> (usize, usize) {
        (user.organisation.len() + question.len(), run())
    }

    let (one, two) = (User::of("one"), User::of("two"));
    compares(|question| argument("one", question)).await;
    compares(|question| field(&one, question)).await;
    compares(|question| method(&one, question)).await;
    let _isolated = isolate();
    assert_ne!(argument("one", ASKED).await, argument("two", ASKED).await);
    assert_ne!(field(&one, ASKED).await, field(&two, NEAR).await);
    assert_ne!(method(&one, ASKED).await, method(&two, ASKED).await);
    assert_eq!(field(&one, NEAR).await, field(&User::of("one"), ASKED).await, "another user of one organisation");
}

#[tokio::test]
async fn a_tenant_is_asked_for_once_per_call() {
    #[semantic_coalesce(threshold = 0.7, tenant = user.tenant(), skip(user))]
    async fn ask(user: &User, question: &str) -> (usize, usize) {
        (question.len() + user.organisation.len(), run())
    }

    let _isolated = isolate();
    let user = User::of("one");
    for (call, question) in [ASKED, ASKED, NEAR, NEAR, OTHER].into_iter().enumerate() {
        ask(&user, question).await;
        assert_eq!(user.asked.load(Relaxed), call + 1, "{question}");
    }
}

/// A handle that the body gets a clone of.
#[derive(Clone)]
struct Assistant<M> {
    model: M,
}

impl<M: Clone + Display + Eq + Hash + Serialize + Send + Sync + 'static> Assistant<M> {
    #[semantic_coalesce(threshold = 0.7, namespace = "assistants", key(self.model), companion = asked)]
    async fn ask(&self, question: &str) -> (String, usize) {
        (format!("{}{question}", self.model), run())
    }

    #[semantic_coalesce(threshold = 0.7, namespace = "assistants", tenant = self.model, skip(self))]
    async fn ask_shared(self: Arc<Self>, question: &str) -> (String, usize) {
        (format!("{}{question}", self.model), run())
    }

    #[semantic_coalesce(threshold = 0.7, namespace = "assistants", key(self.model), attached)]
    async fn ask_attached(&self, question: &str, log: &dyn Fn(&str)) -> (String, usize) {
        log(question);
        (format!("{}{question}", self.model), run())
    }

    #[semantic_coalesce(threshold = 0.7, namespace = "assistants", method)]
    async fn ask_any(model: M, question: String) -> (String, usize) {
        (format!("{model}{question}"), run())
    }
}

/// It is the question itself.
#[derive(Clone)]
struct Prompt {
    text: String,
    model: u8,
}

impl Prompt {
    #[semantic_coalesce(threshold = 0.7, namespace = "prompts", query = self.text, key(self.model))]
    async fn answer(self) -> (usize, usize) {
        (self.text.len(), run())
    }
}

#[tokio::test]
async fn methods() {
    let (one, two) = (Assistant { model: 1 }, Assistant { model: 2 });
    compares(|question| one.ask(question)).await;
    compares(|question| Arc::new(one.clone()).ask_shared(question)).await;
    compares(|question| one.ask_attached(question, &|_| ())).await;
    compares(|question| Assistant::ask_any(1, question.to_owned())).await;
    compares(|text| Prompt { text: text.to_owned(), model: 1 }.answer()).await;
    let _isolated = isolate();
    assert_ne!(one.ask(ASKED).await, two.ask(ASKED).await);
    assert_ne!(Arc::new(one).ask_shared(ASKED).await, Arc::new(two.clone()).ask_shared(ASKED).await);
    assert_eq!(Assistant::<i32>::asked_stats().executions, 2);
    assert!(two.asked_peek(ASKED).is_some());
}

#[test]
fn sync_functions() {
    #[semantic_coalesce(threshold = 0.7)]
    fn stays(question: &str) -> (usize, usize) {
        (question.len(), run())
    }

    #[semantic_coalesce(threshold = 0.7, query = request.text, key(request.model), stale = "1m", companion = none)]
    fn leaves(request: Request) -> (usize, usize) {
        (request.text.len(), run())
    }

    #[semantic_coalesce(threshold = 0.7, query = asked.0.text, skip(asked))]
    fn borrows(asked: &(&Request, &dyn Display)) -> (usize, usize) {
        (asked.0.text.len() + asked.1.to_string().len(), run())
    }

    compares_now(stays);
    compares_now(|question| leaves(request(question)));
    compares_now(|question| borrows(&(&request(question), &1)));
}

#[tokio::test]
async fn generic_functions_that_name_their_namespace() {
    #[semantic_coalesce(threshold = 0.7, namespace = "generic")]
    async fn ask<M, E, const N: usize>(model: M, question: &str) -> Result<Vec<String>, E>
    where
        M: Clone + Display + Eq + Hash + Serialize + Send + Sync + 'static,
        E: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        Ok(vec![format!("{model}{question}{}", run()); N])
    }

    compares(|question| ask::<_, String, 1>(1, question)).await;
    let _isolated = isolate();
    let (one, two) = (ask::<_, String, 1>(1, ASKED).await, ask::<_, String, 2>(1, NEAR).await);
    assert_eq!((one.map(|all| all.len()), two.map(|all| all.len())), (Ok(1), Ok(2)));
    assert_ne!(ask::<_, String, 1>("1", ASKED).await, ask::<_, String, 1>(1, ASKED).await);
}

/// A value that can leave the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Answer {
    text: String,
    run: usize,
}

#[tokio::test]
async fn results() {
    #[semantic_coalesce(threshold = 0.7)]
    async fn result(question: &str) -> Result<Answer, String> {
        if question.is_empty() {
            Err("nothing".to_owned())
        } else {
            Ok(Answer { text: question.to_owned(), run: run() })
        }
    }

    #[semantic_coalesce(threshold = 0.7, none_ttl = "10s")]
    async fn option(question: &str) -> Option<Answer> {
        (!question.is_empty()).then(|| Answer { text: question.to_owned(), run: run() })
    }

    #[semantic_coalesce(threshold = 0.7)]
    async fn boxed(question: &str) -> anyhow::Result<Arc<str>> {
        anyhow::ensure!(!question.is_empty(), "nothing");
        Ok(format!("{question}{}", run()).into())
    }

    compares(result).await;
    compares(option).await;
    compares(async |question| boxed(question).await.expect("it asks something")).await;
    let _isolated = isolate();
    assert_eq!(result("").await, Err("nothing".to_owned()));
    assert_eq!(option("").await, None);
    assert_eq!(boxed("").await.expect_err("it asks nothing").to_string(), "nothing");
}

#[tokio::test]
async fn embedders_of_a_function() {
    async fn of_one(text: String) -> Result<Vec<f32>, Infallible> {
        Ok(vec![1.0, f32::from(u8::from(text.contains("France"))) * 9.0])
    }

    async fn of_many(texts: Vec<String>) -> Result<Vec<Vec<f32>>, Box<dyn std::error::Error + Send + Sync>> {
        let mut vectors = Vec::new();
        for text in texts {
            vectors.push(of_one(text).await?);
        }
        Ok(vectors)
    }

    fn lexical() -> LexicalEmbedder {
        LexicalEmbedder::new()
    }

    #[semantic_coalesce(embed = of_one)]
    async fn one(question: &str) -> (usize, usize) {
        (question.len(), run())
    }

    #[semantic_coalesce(embed = of_many)]
    async fn many(question: &str) -> (usize, usize) {
        (question.len(), run())
    }

    #[semantic_coalesce(embed = lexical(), threshold = 0.7)]
    async fn itself(question: &str) -> (usize, usize) {
        (question.len(), run())
    }

    compares(one).await;
    compares(many).await;
    compares(itself).await;
}

#[tokio::test]
async fn with_other_attributes() {
    /// Documented.
    #[tracing::instrument(skip_all)]
    #[semantic_coalesce(threshold = 0.7)]
    #[must_use]
    async fn above(question: &str) -> (usize, usize) {
        (question.len(), run())
    }

    #[semantic_coalesce(threshold = 0.7)]
    #[tracing::instrument]
    #[cfg(not(any()))]
    async fn below(question: &str) -> (usize, usize) {
        (question.len(), run())
    }

    compares(above).await;
    compares(below).await;
}

#[tokio::test]
async fn macros_that_name_the_question() {
    macro_rules! asks {
        ($name:ident, $question:ident, $text:ty, $threshold:expr) => {
            #[semantic_coalesce(threshold = $threshold, query = $question)]
            async fn $name($question: $text, model: &str) -> (usize, usize) {
                ($question.len() + model.len(), run())
            }
        };
    }
    asks!(borrowed, prompt, &str, 0.7);
    asks!(owned, prompt, String, 7.0 / 10.0);

    compares(|question| borrowed(question, "m")).await;
    compares(|question| owned(question.to_owned(), "m")).await;
}

#[tokio::test]
async fn a_companion_takes_what_tells_calls_apart() {
    #[semantic_coalesce(threshold = 0.7, tenant = user.organisation, skip(user, trace))]
    async fn ask(user: &User, question: &str, trace: u8) -> (usize, usize) {
        (question.len() + usize::from(trace) + user.organisation.len(), run())
    }

    let _isolated = isolate();
    let (one, two) = (User::of("one"), User::of("two"));
    ask::insert(&one, ASKED, (1, 2));
    assert_eq!(ask::peek(&one, ASKED), Some((1, 2)));
    assert_eq!(ask::peek(&two, ASKED), None);
    assert_eq!(ask(&one, ASKED, 3).await, (1, 2));
    ask::invalidate(&one, ASKED).await.expect("it is in this process");
    assert_ne!(ask::refresh(&one, ASKED, 3).await, (1, 2));
}

/// And tells its outcome all the same.
#[tokio::test]
async fn a_hit_is_over_in_its_first_poll() {
    #[semantic_coalesce(threshold = 0.7)]
    async fn ask(question: &str) -> (usize, usize) {
        (question.len(), run())
    }

    let _isolated = isolate();
    let first = ask(ASKED).await;
    let hit = pin!(outcome(ask(ASKED)));
    let Poll::Ready((hit, became)) = hit.poll(&mut Context::from_waker(Waker::noop())) else { panic!("it waits") };
    assert_eq!(hit, first);
    assert!(matches!(became, Some(Outcome::Hit { .. })), "{became:?}");
}
