//! `POST /v1/embeddings`: each text is a key of its own, so a batch asks for those alone that nobody has.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::Json;
use axum::http::Method;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stampede_runtime::Cache;

use crate::caller::{Caller, Digest};
use crate::chat::{NOT_IN_THE_ANSWER, to_json};
use crate::refusal::Refusal;
use crate::said;
use crate::upstream::{Upstream, bad};
use crate::wish::Kept;

const PATH: &str = "/embeddings";
/// The vectors of a model do not change.
const TTL: Duration = Duration::from_secs(24 * 3_600);
const MEMORY_BYTES: usize = 256 << 20;
/// As many as OpenAI takes at once.
const TEXTS_MAX: usize = 2_048;
/// How often a text is tried again whose call failed for the sake of another request's texts.
const OTHERS_MAX: usize = 3;

/// A vector, as the upstream wrote it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Vector {
    Base64(Arc<str>),
    Numbers(Arc<[f64]>),
}

/// All vectors that are known.
#[derive(Clone)]
pub(crate) struct Embeddings(Arc<Cache<Vector>>);

/// A request, read.
struct Asked {
    /// Which request it is, in this process.
    number: u64,
    /// All but the texts.
    parameters: Map<String, Value>,
    /// By key.
    texts: HashMap<String, Value>,
    caller: Caller,
    upstream: Upstream,
    /// How many texts were sent to the upstream for it, and what that took.
    sent: AtomicU64,
    tokens: AtomicU64,
}

/// A refusal, and whose texts it is about.
#[derive(Clone)]
struct Failed {
    number: u64,
    refusal: Refusal,
}

#[derive(Deserialize)]
struct List {
    data: Vec<One>,
    #[serde(default)]
    usage: Usage,
}

#[derive(Deserialize)]
struct One {
    index: usize,
    embedding: Vector,
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    total_tokens: u64,
}

impl Embeddings {
    pub(crate) fn new(has_redis: bool) -> Embeddings {
        let cache = Cache::builder("embeddings").ttl(TTL).weigh(Vector::bytes).capacity(MEMORY_BYTES);
        Embeddings(Arc::new(if has_redis { cache.backend("redis").build() } else { cache.build() }))
    }

    pub(crate) async fn answer(
        &self,
        upstream: Upstream,
        caller: Caller,
        mut request: Map<String, Value>,
        kept: Kept,
    ) -> Result<Response, Refusal> {
        static REQUESTS: AtomicU64 = AtomicU64::new(0);
        let texts = texts(request.remove("input"))?;
        for name in NOT_IN_THE_ANSWER {
            request.remove(name);
        }
        let parameters = to_json(&request);
        let key = |text: &Value| {
            let text = text.to_string();
            Digest::of([caller.tenant.bytes(), &parameters, text.as_bytes()]).to_string()
        };
        let keys: Vec<String> = texts.iter().map(key).collect();
        let asked = Arc::new(Asked {
            number: REQUESTS.fetch_add(1, Relaxed),
            parameters: request,
            texts: keys.iter().cloned().zip(texts).collect(),
            caller,
            upstream,
            sent: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
        });

        let mut others = 0;
        let vectors = loop {
            let found = self.0.get_or_set_many(&keys, |missing| Arc::clone(&asked).load(missing));
            match kept.call(found).await {
                Ok(vectors) => break vectors,
                // It joined a call that failed, perhaps for a text that is none of its own.
                Err(failed) if failed.number != asked.number && others < OTHERS_MAX => others += 1,
                Err(failed) => return Err(failed.refusal),
            }
        };
        let embedding = |(index, key)| {
            let vector = vectors.get(key).ok_or_else(|| bad("the upstream left out an embedding"))?;
            Ok(json!({ "object": "embedding", "index": index, "embedding": vector }))
        };
        let data = keys.iter().enumerate().map(embedding).collect::<Result<Vec<_>, Refusal>>()?;
        let (sent, tokens) = (asked.sent.load(Relaxed), asked.tokens.load(Relaxed));
        let mut response = Json(json!({
            "object": "list",
            "model": asked.parameters.get("model"),
            "data": data,
            "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
        }))
        .into_response();
        said::set(&mut response, said::STATUS, if sent == 0 { "hit" } else { "miss" });
        said::set(&mut response, "x-stampede-sent", &sent.to_string());
        Ok(response)
    }
}

impl Asked {
    /// The vectors of texts that nobody has.
    async fn load(self: Arc<Self>, keys: Vec<String>) -> Result<Vec<(String, Vector)>, Failed> {
        let vectors = self.vectors(&keys).await.map_err(|refusal| Failed { number: self.number, refusal })?;
        Ok(keys.into_iter().zip(vectors).collect())
    }

    async fn vectors(&self, keys: &[String]) -> Result<Vec<Vector>, Refusal> {
        let mut request = self.parameters.clone();
        request.insert("input".to_owned(), keys.iter().filter_map(|key| self.texts.get(key)).cloned().collect());
        self.sent.fetch_add(keys.len() as u64, Relaxed);
        let whole = self.upstream.ask(Method::POST, PATH, &self.caller, to_json(&request)).await?;
        let list: List = serde_json::from_slice(&whole.body).map_err(|_| bad("the upstream's answer is not JSON"))?;
        self.tokens.fetch_add(list.usage.total_tokens, Relaxed);
        let mut vectors: Vec<Option<Vector>> = keys.iter().map(|_| None).collect();
        for One { index, embedding } in list.data {
            if let Some(place) = vectors.get_mut(index) {
                *place = Some(embedding);
            }
        }
        let vectors: Option<Vec<Vector>> = vectors.into_iter().collect();
        vectors.ok_or_else(|| bad("the upstream left out an embedding"))
    }
}

impl Vector {
    /// What it takes in memory.
    fn bytes(&self) -> usize {
        match self {
            Vector::Base64(text) => text.len(),
            Vector::Numbers(numbers) => size_of_val(&**numbers),
        }
    }
}

/// One text or many, each a text or a list of tokens.
fn texts(input: Option<Value>) -> Result<Vec<Value>, Refusal> {
    let is_tokens = |value: &Value| value.as_array().is_some_and(|tokens| tokens.iter().all(Value::is_u64));
    let texts = match input {
        Some(Value::Array(values)) if values.is_empty() || !values.iter().all(Value::is_u64) => values,
        Some(one) => vec![one],
        None => vec![],
    };
    let is_text = |value: &Value| value.is_string() || is_tokens(value);
    if texts.is_empty() || !texts.iter().all(is_text) {
        return Err(Refusal::bad_request("bad_input", "`input` is a text, a list of texts, or the same as tokens"));
    }
    if texts.len() > TEXTS_MAX {
        return Err(Refusal::bad_request("too_many_texts", &format!("`input` has at most {TEXTS_MAX} texts")));
    }
    Ok(texts)
}
