//! A gateway in front of a language model: whatever speaks to OpenAI's API speaks to this, with another `base_url`, and what has
//! been answered is not asked and paid again. `README.md` beside this file says what is shared and what is not.
//!
//! ```text
//! cargo run --release --example llm_gateway -- --embedder-model text-embedding-3-small
//! cargo run --release --example llm_gateway -- --upstream http://127.0.0.1:8000/v1      # any server of that API
//! ```
//!
//! Then, with the client of your choice: `OpenAI(base_url="http://127.0.0.1:8080/v1")`.

mod caller;
mod chat;
mod embeddings;
mod models;
mod options;
mod refusal;
mod routes;
mod said;
mod serve;
mod upstream;
mod wish;

use std::env;
use std::error::Error;
use std::time::Duration;

use clap::Parser as _;
use rustls::crypto::ring;
use stampede_runtime::semantic::{OpenAiEmbedder, PgvectorIndex};
use stampede_runtime::store::RedisBackend;
use stampede_runtime::{Config, Settings, configure};
use tokio::net::TcpListener;

use options::Options;
use upstream::Upstream;

/// For what is on its way to Redis or PostgreSQL when the gateway stops.
const DRAIN: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    // One choice of ciphers for the process: the client of the upstream has none of its own.
    let _ = ring::default_provider().install_default();
    let redis = env_of("STAMPEDE_REDIS_URL");
    configure(config(&options, redis.as_deref()).await?)?;

    let upstream = Upstream::new(&options.upstream, options.timeout())?;
    let listener = TcpListener::bind(options.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    serve::serve(listener, routes::router(upstream, redis.is_some()), serve::asked_to_stop()?).await;
    stampede_runtime::shutdown(DRAIN).await;
    println!("stopped");
    Ok(())
}

/// What is shared where. Addresses that hold passwords come from the environment, where no list of processes shows them.
async fn config(options: &Options, redis: Option<&str>) -> Result<Config, Box<dyn Error>> {
    let settings = Settings::new().ttl(options.ttl()).timeout(options.timeout()).threshold(options.threshold);
    let mut config = Config::builder().namespace(chat::NAMESPACE, settings);
    if let Some(url) = redis {
        config = config.backend("redis", RedisBackend::new(url)?);
    }
    if let Some(model) = &options.embedder_model {
        let url = options.embedder_url.as_ref().unwrap_or(&options.upstream);
        let mut embedder = OpenAiEmbedder::builder(model).base_url(url);
        if let Some(key) = env_of("OPENAI_API_KEY") {
            embedder = embedder.api_key(key);
        }
        config = config.embedder(embedder.build()?);
    }
    if let (Some(url), Some(dimensions)) = (env_of("STAMPEDE_POSTGRES_URL"), options.dimensions) {
        let index = PgvectorIndex::builder(url).dimensions(dimensions).table("llm_gateway").build()?;
        index.ensure_schema().await?;
        config = config.index("pgvector", index);
    }
    Ok(config.build()?)
}

fn env_of(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
