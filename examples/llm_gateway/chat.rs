//! `POST /v1/chat/completions`: what is asked, and whom else its answer may serve.

use std::sync::Arc;

use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stampede_runtime::{Outcome, distributed_coalesce, outcome, semantic_coalesce};

use crate::caller::{Caller, Digest};
use crate::refusal::Refusal;
use crate::upstream::{Upstream, Whole, bad};
use crate::wish::{Kept, Share};

/// Of the two functions that answer, so that options apply to both.
pub(crate) const NAMESPACE: &str = "gateway";
const PATH: &str = "/chat/completions";

/// What of a request is for the provider's books, and has no part in the answer.
pub(crate) const NOT_IN_THE_ANSWER: [&str; 4] = ["user", "safety_identifier", "prompt_cache_key", "metadata"];

/// A request, read.
#[derive(Clone)]
pub(crate) struct Chat {
    /// The last question, if it is a text of the user.
    question: Option<String>,
    /// Everything but the question: the model, each parameter, and all messages before. A digest, for a conversation may be
    /// long, and a key stays as long as an answer does.
    rest: Digest,
    /// Everything.
    all: Digest,
    /// What is shared unless the request says otherwise.
    pub(crate) default: Share,
    /// What is sent: exactly what was digested, though a client may have sent it with a name twice, or in another order.
    json: Arc<[u8]>,
}

impl Chat {
    pub(crate) fn new(mut request: Map<String, Value>) -> Result<Chat, Refusal> {
        let default = default(&request);
        let json = to_json(&request);
        for name in NOT_IN_THE_ANSWER {
            request.remove(name);
        }
        let all = Digest::of([&*to_json(&request)]);
        let Some(Value::Array(messages)) = request.get_mut("messages") else {
            return Err(Refusal::bad_request("missing_messages", "`messages` is a list of messages"));
        };
        let Some(last) = messages.last_mut() else {
            return Err(Refusal::bad_request("missing_messages", "`messages` has no message in it"));
        };
        // Its place stays, so that a question in a list of parts is not one without.
        let question = question(last).map(Value::take).and_then(|text| match text {
            Value::String(text) => Some(text),
            _ => None,
        });
        let rest = Digest::of([&*to_json(&request)]);
        let default = if question.is_none() { default.min_exact() } else { default };
        Ok(Chat { question, rest, all, default, json: json.into() })
    }

    /// The answer, and what became of the call.
    pub(crate) async fn answer(
        &self,
        upstream: &Upstream,
        caller: &Caller,
        share: Share,
        kept: Kept,
    ) -> (Share, Result<Answer, Refusal>, Option<Outcome>) {
        if let (Share::Meaning, Some(question)) = (share, &self.question) {
            let (answer, became) = kept.call(outcome(by_meaning(upstream, caller, self, question))).await;
            (Share::Meaning, answer, became)
        } else {
            let (answer, became) = kept.call(outcome(exactly(upstream, caller, self))).await;
            (Share::Exact, answer, became)
        }
    }

    async fn ask(&self, upstream: &Upstream, caller: &Caller) -> Result<Answer, Refusal> {
        Answer::new(upstream.ask(Method::POST, PATH, caller, self.json.to_vec()).await?)
    }
}

impl Share {
    fn min_exact(self) -> Share {
        if self == Share::Meaning { Share::Exact } else { self }
    }
}

/// The answer to this question, or to one that means the same with all else equal: in memory, in Redis, in PostgreSQL, or being
/// made. A client that gives up and comes again finds the call it began.
#[semantic_coalesce(
    namespace = "gateway",
    query = question,
    tenant = caller.tenant,
    key(chat.rest),
    guard(numbers, antonyms, negation, quoted),
    on_abandon = "finish",
    cache_if = |answer| answer.is_complete,
    cost = |answer| answer.tokens
)]
async fn by_meaning(upstream: &Upstream, caller: &Caller, chat: &Chat, question: &str) -> Result<Answer, Refusal> {
    let _ = question; // It is in the request.
    chat.ask(upstream, caller).await
}

/// The answer to an equal request.
#[distributed_coalesce(
    namespace = "gateway",
    key(caller.tenant, chat.all),
    on_abandon = "finish",
    cache_if = |answer| answer.is_complete,
    cost = |answer| answer.tokens
)]
async fn exactly(upstream: &Upstream, caller: &Caller, chat: &Chat) -> Result<Answer, Refusal> {
    chat.ask(upstream, caller).await
}

/// A request that asks for chance, or whose answer acts, is answered for itself.
fn default(request: &Map<String, Value>) -> Share {
    let has = |name: &str| request.get(name).is_some_and(|value| !value.is_null());
    let number = |name: &str| request.get(name).and_then(Value::as_f64);
    let is_by_chance = number("temperature").is_some_and(|heat| heat > 0.0) || number("n").is_some_and(|n| n > 1.0);
    let acts = ["tools", "functions", "web_search_options", "audio"].into_iter().any(has)
        || request.get("store") == Some(&Value::Bool(true));
    if is_by_chance || acts { Share::Nothing } else { Share::Meaning }
}

/// Where the question is: the text of a user's message, alone or as the one part of it.
fn question(message: &mut Value) -> Option<&mut Value> {
    if message["role"] != "user" {
        return None;
    }
    let content = message.get_mut("content")?;
    match content {
        Value::String(_) => Some(content),
        Value::Array(parts) => match parts.as_mut_slice() {
            [part] if part["type"] == "text" => part.get_mut("text").filter(|text| text.is_string()),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn to_json(request: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(request).expect("what was JSON is JSON")
}

/// An answer of the upstream, as it was.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    json: Arc<str>,
    /// The upstream's name for the call that made it.
    request_id: Option<Arc<str>>,
    tokens: f64,
    /// It has choices. Some providers say `200 OK` to an error.
    is_complete: bool,
}

/// What of an answer is looked at.
#[derive(Deserialize)]
struct Shape {
    #[serde(default)]
    choices: Vec<Value>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    total_tokens: u32,
}

impl Answer {
    pub(crate) fn new(whole: Whole) -> Result<Answer, Refusal> {
        let json = String::from_utf8(whole.body).map_err(|_| bad("the upstream's answer is not JSON"))?;
        let shape: Shape = serde_json::from_str(&json).map_err(|_| bad("the upstream's answer is not JSON"))?;
        Ok(Answer {
            json: json.into(),
            request_id: whole.request_id.map(Into::into),
            tokens: shape.usage.map_or(0.0, |usage| usage.total_tokens.into()),
            is_complete: !shape.choices.is_empty(),
        })
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.json.to_string().into());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(Ok(id)) = self.request_id.as_deref().map(HeaderValue::from_str) {
            headers.insert("x-request-id", id);
        }
        response
    }
}
