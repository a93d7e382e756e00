//! What travels between the demo's client and its API, as JSON.

use serde::{Deserialize, Serialize};

/// The header in which a caller that has a number says it.
pub(crate) const PROCESS: &str = "x-process";

/// `GET /v1/weather/{country}/{zip}`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Weather {
    pub(crate) country: String,
    pub(crate) zip: String,
    pub(crate) celsius: i8,
}

/// The body of `POST /v1/complete`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Prompt {
    pub(crate) prompt: String,
}

/// The answer to a [`Prompt`]. The prompt comes back, so that a caller can tell whose answer it holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Completion {
    pub(crate) prompt: String,
    pub(crate) text: String,
}

/// The body of a `429 Too Many Requests`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) error: String,
    pub(crate) retry_after_ms: u64,
}
