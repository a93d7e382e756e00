//! An embedder in the making: its address, its key, and what they may be.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url, redirect};

use super::tls::{self, Trust};
use super::{Api, OpenAiEmbedder};
use crate::config::ConfigError;
use crate::semantic::BATCH_MAX;

/// An [`OpenAiEmbedder`] in the making, from [`OpenAiEmbedder::builder`].
#[derive(Clone)]
#[must_use = "an embedder is made by `build`"]
pub struct OpenAiBuilder {
    model: String,
    base_url: String,
    api_key: Option<String>,
    headers: Vec<(String, String)>,
    dimensions: Option<usize>,
    timeout: Duration,
    retries: usize,
    batch_max: usize,
    root_certificates: Option<Vec<u8>>,
}

/// What is wrong, and with which of the things that were said.
pub(crate) type Problem = (&'static str, String);

const BASE_URL: &str = "https://api.openai.com/v1";
const TIMEOUT: Duration = Duration::from_secs(5);
const RETRIES: usize = 2;

const MODEL_BYTES_MAX: usize = 256;
const DIMENSIONS_MAX: usize = 65_536;
const RETRIES_MAX: usize = 10;
const BATCH_MAX_MAX: usize = 2_048;

/// Longer than any answer is worth, and short enough to count with.
const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

impl OpenAiBuilder {
    pub(super) fn new(model: String) -> OpenAiBuilder {
        OpenAiBuilder {
            model,
            base_url: BASE_URL.to_owned(),
            api_key: None,
            headers: Vec::new(),
            dimensions: None,
            timeout: TIMEOUT,
            retries: RETRIES,
            batch_max: BATCH_MAX,
            root_certificates: None,
        }
    }

    /// Where the API is, without `/embeddings`; `https://api.openai.com/v1` unless one says otherwise. What stands behind a `?` is
    /// sent along.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// What to show to the server, as `Authorization: Bearer …`. A server of one's own may want none.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// A header of every request, such as `api-key` or `OpenAI-Organization`. As secret as the key.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How many numbers a vector is to have, 1 to 65,536. The server is asked for so many, which not every model can. Unless one
    /// says so it is asked for nothing, and its answers tell.
    pub fn dimensions(mut self, dimensions: usize) -> Self {
        self.dimensions = Some(dimensions);
        self
    }

    /// How long an answer may take, with all attempts, up to an hour. 5 s unless one says otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often what failed is tried again, 0 to 10. Twice unless one says otherwise.
    pub fn retries(mut self, retries: usize) -> Self {
        self.retries = retries;
        self
    }

    /// How many texts a request may have, 1 to 2,048. 64 unless one says otherwise.
    pub fn batch_max(mut self, texts: usize) -> Self {
        self.batch_max = texts;
        self
    }

    /// Whom to trust about certificates, as PEM, in the place of those whom the system trusts.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// Makes the embedder. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with everything that is wrong. It shows no part of the url, of the key or of a header.
    pub fn build(self) -> Result<OpenAiEmbedder, ConfigError> {
        let told = |(what, problem)| format!("`{what}`: {problem}");
        self.make().map_err(|problems| ConfigError::Invalid(problems.into_iter().map(told).collect()))
    }

    pub(crate) fn make(self) -> Result<OpenAiEmbedder, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut check = |is_right: bool, what: &'static str, problem: &str| {
            if !is_right {
                problems.push((what, problem.to_owned()));
            }
        };
        let is_name = (1..=MODEL_BYTES_MAX).contains(&self.model.len()) && !self.model.contains(char::is_control);
        check(is_name, "model", "it has 1 to 256 bytes, and no control characters");
        let dimensions = self.dimensions.unwrap_or(1);
        check((1..=DIMENSIONS_MAX).contains(&dimensions), "dimensions", "they are 1 to 65536");
        let is_long = !self.timeout.is_zero() && self.timeout <= TIMEOUT_MAX;
        check(is_long, "timeout", "it is longer than zero, and an hour at most");
        check(self.retries <= RETRIES_MAX, "retries", "there are 10 at most");
        check((1..=BATCH_MAX_MAX).contains(&self.batch_max), "batch_max", "it is 1 to 2048");
        let headers = self.headers(&mut problems);
        let url = address(&self.base_url).map_err(|wrong| problems.extend(wrong)).ok();
        let client =
            url.as_ref().and_then(|url| self.client(url, headers).map_err(|problem| problems.push(problem)).ok());
        match (url, client) {
            (Some(url), Some(client)) if problems.is_empty() => Ok(self.embedder(url, client)),
            _ => Err(problems),
        }
    }

    fn embedder(self, url: Url, client: Client) -> OpenAiEmbedder {
        OpenAiEmbedder(Arc::new(Api {
            client,
            url,
            model: self.model,
            dimensions: self.dimensions,
            timeout: self.timeout,
            retries: self.retries,
            batch_max: self.batch_max,
        }))
    }

    fn headers(&self, problems: &mut Vec<Problem>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            match (HeaderName::try_from(name), secret(value)) {
                (Ok(name), Some(value)) => {
                    headers.insert(name, value);
                }
                (Err(_), _) => problems.push(("header", "its name is none of a header".to_owned())),
                (_, None) => problems.push(("header", "its value has characters that no header has".to_owned())),
            }
        }
        if let Some(key) = &self.api_key {
            match secret(&format!("Bearer {key}")) {
                // As it comes out of a variable that is set to nothing.
                _ if key.trim().is_empty() => problems.push(("api_key", "it is empty".to_owned())),
                Some(value) => {
                    headers.insert(AUTHORIZATION, value);
                }
                None => problems.push(("api_key", "it has characters that no header has".to_owned())),
            }
        }
        headers
    }

    fn client(&self, url: &Url, headers: HeaderMap) -> Result<Client, Problem> {
        let is_encrypted = url.scheme() == "https";
        let trust = match &self.root_certificates {
            Some(_) if !is_encrypted => {
                return Err(("root_certificates", "they need a `base_url` that begins with `https://`".to_owned()));
            }
            Some(pem) => Trust::These(pem),
            None if is_encrypted => Trust::System,
            None => Trust::Nobody,
        };
        let tls = tls::config(&trust).map_err(|problem| ("root_certificates", problem.to_owned()))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("stampede/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            // Another address would be sent the texts, and perhaps the key.
            .redirect(redirect::Policy::none());
        let client = if is_own(url) { client.no_proxy() } else { client };
        client.build().map_err(|_| ("base_url", "no client can be made for it".to_owned()))
    }
}

/// A value for a header that nothing shows.
fn secret(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether it is this machine.
fn is_own(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// Where embeddings are, below the address of an API.
fn address(base: &str) -> Result<Url, Vec<Problem>> {
    let mut url: Url = base.trim().parse().map_err(|_| vec![("base_url", "it cannot be read as a url".to_owned())])?;
    let mut problems = Vec::new();
    let mut check = |is_right: bool, problem: &str| {
        if !is_right {
            problems.push(("base_url", problem.to_owned()));
        }
    };
    check(matches!(url.scheme(), "https" | "http"), "it begins with `https://` or `http://`");
    let has_user = !url.username().is_empty() || url.password().is_some();
    check(!has_user, "a user and a password have no place in it; there are `api_key` and `header`");
    check(url.fragment().is_none(), "it ends before a `#`");
    let path = url.path().trim_end_matches('/').to_owned();
    check(!path.ends_with("/embeddings"), "it ends before `/embeddings`");
    if !problems.is_empty() {
        return Err(problems);
    }
    url.set_path(&format!("{path}/embeddings"));
    Ok(url)
}

/// No address and no key.
impl fmt::Debug for OpenAiBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiBuilder")
            .field("model", &self.model)
            .field("dimensions", &self.dimensions)
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .field("batch_max", &self.batch_max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
