//! Embeddings from an API as OpenAI has it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, Url};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use self::failure::Failure;
use super::embedder::Embedded;
use super::{EmbedError, EmbedErrorKind, Embedder};
use crate::blocking;
use crate::config::ConfigError;

mod answer;
mod builder;
mod failure;
mod tls;

pub use builder::OpenAiBuilder;

/// An [`Embedder`] behind `POST {base_url}/embeddings`, as OpenAI has it and many servers after it: vLLM, Ollama, LocalAI, Text
/// Embeddings Inference, Azure.
///
/// ```no_run
/// use std::time::Duration;
/// use stampede_runtime::semantic::OpenAiEmbedder;
///
/// let embedder = OpenAiEmbedder::builder("text-embedding-3-small")
///     .api_key("from a vault")
///     .dimensions(512)
///     .timeout(Duration::from_secs(2))
///     .build()?;
/// # Ok::<(), stampede_runtime::ConfigError>(())
/// ```
///
/// **Which model.** The name that it was given, and the dimensions where they are asked for. The address is no part of it: the
/// same model makes the same vectors behind another one. So where a server ignores the name, give each of its models one of its
/// own.
///
/// **What is tried again**: connections that fail or break, and the answers 429, 500, 502, 503 and 504; not before the time that
/// `Retry-After` says, and not at all where that is later than `timeout`. A quota that is used up is not tried again.
///
/// **Errors**, by what the server answers: `Unsuitable` (400, 413, 422), `RateLimited` (429), `Unreachable` (no connection, 502,
/// 503), `TimedOut` (504, and no answer within `timeout`), `Refused` (any other 3xx or 4xx), `Other` (any other 5xx), `Invalid` (no
/// embeddings, or too many bytes). The cause tells the status and the server's own word for it, such as
/// `model_not_found`. Its sentences are left out: they may quote a text, or the key. Redirects are not followed, which would send
/// both elsewhere.
///
/// **Cancel.** The future may be dropped at any point. The server may do the work all the same.
///
/// **Limits.** `timeout` is for the whole answer, all attempts together, by the clock of the system. An answer takes 1 MiB at most and
/// 256 KiB more for each text.
///
/// **Where it runs.** Connections are kept for the next call and belong to no runtime of the program, so they outlive each of
/// them. `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` apply, but for an address that is this machine's own.
#[derive(Clone)]
pub struct OpenAiEmbedder(Arc<Api>);

struct Api {
    client: Client,
    url: Url,
    model: String,
    dimensions: Option<usize>,
    timeout: Duration,
    retries: usize,
    batch_max: usize,
}

/// What is asked.
#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    input: &'a [String],
    /// Numbers as text: base64 is shorter, and not every server knows it.
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
}

/// How long the first pause between two attempts is, at least; each is twice as long as the last, and jittered.
const PAUSE: Duration = Duration::from_millis(100);

/// How many bytes of an answer that says no are read.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

impl OpenAiEmbedder {
    /// The embedder of a model, such as `text-embedding-3-small`.
    pub fn builder(model: impl Into<String>) -> OpenAiBuilder {
        OpenAiBuilder::new(model.into())
    }

    /// The embedder of a model of OpenAI's, with all defaults.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with everything that is wrong.
    pub fn new(model: impl Into<String>, api_key: impl Into<String>) -> Result<OpenAiEmbedder, ConfigError> {
        OpenAiEmbedder::builder(model).api_key(api_key).build()
    }
}

impl Embedder for OpenAiEmbedder {
    fn model_id(&self) -> &str {
        &self.0.model
    }

    fn dimensions(&self) -> usize {
        self.0.dimensions.unwrap_or(0)
    }

    fn batch_max(&self) -> usize {
        self.0.batch_max
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        Box::pin(async move {
            if texts.is_empty() {
                return Ok(Vec::new());
            }
            let question = self.0.question(texts);
            let (api, bytes_max) = (Arc::clone(&self.0), answer::bytes_max(texts.len()));
            // A connection is moved by the runtime that made it, and those of the program come and go.
            let mut task = JoinSet::new();
            task.spawn_on(async move { api.ask(question, bytes_max).await }, &blocking::helper());
            let bytes = match task.join_next().await {
                Some(Ok(answer)) => answer.map_err(EmbedError::from)?,
                _ => return Err(EmbedError::new(EmbedErrorKind::Other, "the request has panicked")),
            };
            // Here and not there: others share that thread.
            answer::read(&bytes, texts.len()).map_err(EmbedError::from)
        })
    }
}

impl Api {
    fn question(&self, texts: &[String]) -> Vec<u8> {
        let dimensions = self.dimensions;
        let question = Question { model: &self.model, input: texts, encoding_format: "float", dimensions };
        serde_json::to_vec(&question).expect("texts and numbers are JSON")
    }

    /// The answer's bytes, after as many attempts as are allowed and worth it.
    async fn ask(&self, question: Vec<u8>, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        let deadline = Instant::now() + self.timeout;
        // Without a seed of ours all processes would pause alike.
        let pauses = ExponentialBuilder::default().with_min_delay(PAUSE).with_max_times(self.retries);
        let pauses = pauses.with_jitter().with_jitter_seed(fastrand::u64(..));
        let attempts = (|| self.attempt(question.clone(), bytes_max)).retry(pauses);
        let attempts = attempts.when(Failure::may_pass).adjust(|failure: &Failure, pause| {
            let pause = pause?.max(failure.retry_after().unwrap_or_default());
            // What is to come too late is not waited for.
            (pause < deadline.saturating_duration_since(Instant::now())).then_some(pause)
        });
        timeout_at(deadline, attempts).await.unwrap_or_else(|_| Err(Failure::late()))
    }

    async fn attempt(&self, question: Vec<u8>, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(question);
        let mut response = request.send().await?;
        let (status, retry_after) = (response.status(), failure::retry_after(response.headers()));
        if status.is_success() {
            return read(&mut response, bytes_max).await;
        }
        // Why it says no is good to know; that it does will do.
        let why = read(&mut response, REFUSAL_BYTES_MAX).await.unwrap_or_default();
        Err(Failure::answered(status, retry_after, &why))
    }
}

/// The bytes of an answer, as long as there are not too many.
async fn read(response: &mut Response, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > bytes_max {
            return Err(Failure::invalid("the answer is too large"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Neither the address nor the key: the one may hold the other.
impl fmt::Debug for OpenAiEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiEmbedder")
            .field("model", &self.0.model)
            .field("dimensions", &self.0.dimensions)
            .field("timeout", &self.0.timeout)
            .field("retries", &self.0.retries)
            .field("batch_max", &self.0.batch_max)
            .finish_non_exhaustive()
    }
}
