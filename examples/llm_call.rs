//! A language model that bills every token, and 50 people who ask five things. Run it with
//! `cargo run --release --example llm_call`.

#[path = "support/http.rs"]
mod http;
mod support;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::{Json, Router, routing};
use hyper::Request;
use serde::{Deserialize, Serialize};
use stampede_runtime::coalesce_by_content;

use http::Http;

const QUESTIONS: [&str; 5] = [
    "Why is the sky blue?",
    "What is a cache stampede?",
    "Who wrote Faust?",
    "How do I undo the last commit?",
    "Is a tomato a fruit?",
];

/// As most code has it: every caller pays.
async fn complete(api: &Http, request: &ChatRequest) -> Result<Completion, LlmError> {
    let json = serde_json::to_vec(request).map_err(LlmError::Json)?;
    let request = Request::post(api.url("/v1/chat/completions"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(json.into())
        .map_err(|error| LlmError::Connection(error.into()))?;
    let answer = api.send(request).await.map_err(LlmError::Connection)?;
    match answer.status() {
        StatusCode::OK => serde_json::from_slice(answer.body()).map_err(LlmError::Json),
        status => Err(LlmError::Status(status)),
    }
}

/// Those who ask the same thing share one call. The `fields` are all that the answer depends on: not who asks.
///
/// With a temperature above zero they share one roll of the dice too.
#[coalesce_by_content(fields = [request.model, request.messages, request.temperature], ttl = "10m", timeout = "30s")]
async fn chat(api: &Http, request: &ChatRequest) -> Result<Completion, LlmError> {
    complete(api, request).await
}

/// An error as most code has it: not `Clone`, since its causes are not. The `From` lets its callers share it.
#[derive(Debug)]
enum LlmError {
    Connection(http::Error),
    Status(StatusCode),
    Json(serde_json::Error),
    /// Another caller's error, or an ending by `timeout`.
    Shared(stampede_runtime::Error),
}

impl From<stampede_runtime::Error> for LlmError {
    fn from(error: stampede_runtime::Error) -> Self {
        Self::Shared(error)
    }
}

impl std::error::Error for LlmError {}

impl fmt::Display for LlmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(cause) => write!(f, "the model cannot be reached: {cause}"),
            Self::Status(status) => write!(f, "the model answered {status}"),
            Self::Json(cause) => write!(f, "not the JSON of a chat completion: {cause}"),
            Self::Shared(error) => write!(f, "{error}"),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bill = Arc::new(Mutex::new(Bill::default()));
    let (listener, address) = http::listen().await?;
    let router = Router::new().route("/v1/chat/completions", routing::post(serve)).with_state(Arc::clone(&bill));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let api = Http::new(address);
    let take_bill = || std::mem::take(&mut *bill.lock().expect("no panic under the lock"));

    println!("50 people ask {} things at once, each in a spelling of their own.\n", QUESTIONS.len());
    let without = (0..50).map(|n| {
        let (api, request) = (api.clone(), request("gpt-4o", n));
        async move { complete(&api, &request).await }
    });
    let without = support::send(Duration::ZERO, without).await;
    let before = take_bill();

    let with = (0..50).map(|n| {
        let (api, request) = (api.clone(), request("gpt-4o", n));
        async move { chat(&api, &request).await }
    });
    let with = support::send(Duration::ZERO, with).await;
    let after = take_bill();

    let tokens = [&before, &after].map(|bill| (bill.prompt_tokens + bill.completion_tokens).to_string());
    let cost = [&before, &after].map(|bill| format!("${:.4}", bill.dollars()));
    let more = [("tokens", tokens), ("cost", cost)];
    support::report("calls to the model", [before.calls, after.calls], [&without, &with], &more);

    let answer = chat(&api, &request("gpt-4o", 50)).await?;
    println!("One more, from memory: {}", answer.choices[0].message.content);

    let unknown = request("gpt-0", 51);
    let ask = || chat(&api, &unknown);
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    let errors = [one, two, three].into_iter().filter_map(Result::err).count();
    println!("A model that does not exist: {} call, {errors} errors.", take_bill().calls);
    if let Err(error) = ask().await {
        println!("An error is not kept. The next caller made {} call: {error}.", take_bill().calls);
    }
    Ok(())
}

/// What caller `n` asks: the same as every fifth, but typed by another hand.
fn request(model: &str, n: usize) -> ChatRequest {
    let question = QUESTIONS[n % QUESTIONS.len()];
    let typed = match n / QUESTIONS.len() % 3 {
        0 => question.to_owned(),
        1 => question.to_uppercase(),
        _ => format!("  {}\n", question.replace(' ', "  ")),
    };
    ChatRequest {
        model: model.to_owned(),
        messages: vec![Message::new("system", "Answer in one sentence."), Message::new("user", &typed)],
        temperature: 0.0,
        user: format!("user-{n}"),
    }
}

/// The body of `POST /v1/chat/completions`.
#[derive(Clone, Serialize, Deserialize)]
struct ChatRequest {
    model: String,
    messages: Vec<Message>,
    temperature: f32,
    /// For the provider's watch over abuse: it has no part in the answer.
    user: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Message {
    role: String,
    content: String,
}

/// The answer to a [`ChatRequest`].
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Completion {
    model: String,
    choices: Vec<Choice>,
    usage: Usage,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Choice {
    index: u32,
    message: Message,
    finish_reason: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the provider named them")]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

impl Message {
    fn new(role: &str, content: &str) -> Self {
        Self { role: role.to_owned(), content: content.to_owned() }
    }
}

/// What the provider has counted.
#[derive(Default)]
struct Bill {
    calls: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl Bill {
    /// At $2.50 for a million tokens in, and $10 for a million out.
    fn dollars(&self) -> f64 {
        (2.5 * self.prompt_tokens as f64 + 10.0 * self.completion_tokens as f64) / 1e6
    }
}

/// Plays the provider: takes 200 ms and 5 ms a token, and bills each.
async fn serve(
    State(bill): State<Arc<Mutex<Bill>>>,
    Json(request): Json<ChatRequest>,
) -> Result<Json<Completion>, StatusCode> {
    let question = request.messages.last().map_or("", |message| message.content.trim());
    let content = format!("That is a good question, and there is more than one answer to \"{question}\"");
    // A word counts as a token.
    let words = |text: &str| text.split_whitespace().count() as u64;
    let (prompt_tokens, completion_tokens) =
        (request.messages.iter().map(|message| words(&message.content)).sum(), words(&content));
    {
        let mut bill = bill.lock().expect("no panic under the lock");
        bill.calls += 1;
        if request.model != "gpt-4o" {
            return Err(StatusCode::NOT_FOUND);
        }
        bill.prompt_tokens += prompt_tokens;
        bill.completion_tokens += completion_tokens;
    }
    tokio::time::sleep(Duration::from_millis(200 + 5 * completion_tokens)).await;
    let usage = Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
    let message = Message::new("assistant", &content);
    let choices = vec![Choice { index: 0, message, finish_reason: "stop".to_owned() }];
    Ok(Json(Completion { model: request.model, choices, usage }))
}
