//! The options of the gateway.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, value_parser};

/// An OpenAI-compatible endpoint whose answers are shared
///
/// `STAMPEDE_REDIS_URL`: where several gateways meet. `STAMPEDE_POSTGRES_URL`, with --dimensions: where answers are found by
/// meaning across gateways and restarts. `OPENAI_API_KEY`: the key for the embedder alone; clients bring their own.
#[derive(Parser)]
pub(crate) struct Options {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// The API that answers, up to and with its /v1
    #[arg(long, value_name = "URL", default_value = "https://api.openai.com/v1")]
    pub(crate) upstream: String,

    /// The model that compares questions; without one only equal requests are shared
    #[arg(long, value_name = "NAME")]
    pub(crate) embedder_model: Option<String>,

    /// Where that model is, if not at the upstream
    #[arg(long, value_name = "URL", requires = "embedder_model")]
    pub(crate) embedder_url: Option<String>,

    /// How many numbers its vectors have, for PostgreSQL
    #[arg(long, value_name = "N", requires = "embedder_model")]
    pub(crate) dimensions: Option<usize>,

    /// How near two questions have to be, a cosine similarity
    #[arg(long, value_name = "COSINE", default_value_t = 0.92)]
    pub(crate) threshold: f64,

    /// How long answers are kept
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    ttl: u32,

    /// How long an answer may take; of a stream, how long it may be silent
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = value_parser!(u32).range(1..))]
    timeout: u32,
}

impl Options {
    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl.into())
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout.into())
    }
}
