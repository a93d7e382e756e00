//! Answers in PostgreSQL with pgvector: another process, or this one tomorrow, finds them by their meaning. It needs a server
//! with the extension, and takes a model if there is a key for one:
//!
//! ```text
//! STAMPEDE_POSTGRES_URL=postgres://postgres@127.0.0.1:15432/postgres cargo run --example semantic_pgvector
//! OPENAI_API_KEY=… STAMPEDE_POSTGRES_URL=… cargo run --example semantic_pgvector
//! ```
//!
//! Run it twice: the second run executes nothing. `-- clear` takes everything out again.

use std::error::Error;
use std::time::Duration;

use stampede_runtime::semantic::{LexicalEmbedder, OpenAiEmbedder, PgvectorIndex};
use stampede_runtime::{Config, configure, outcome, semantic_coalesce, shutdown};

/// Plays a language model: slow, and paid by the call.
#[semantic_coalesce(namespace = "semantic-pgvector", threshold = 0.7, ttl = "1h")]
async fn answer(question: &str) -> Result<String, String> {
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(format!("{question} It depends."))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url =
        std::env::var("STAMPEDE_POSTGRES_URL").map_err(|_| "STAMPEDE_POSTGRES_URL has to say where a PostgreSQL is")?;
    // Vectors of one model have one number of dimensions, and a table of their own.
    let (config, dimensions, table) = match std::env::var("OPENAI_API_KEY") {
        Ok(key) => {
            let model = OpenAiEmbedder::builder("text-embedding-3-small").api_key(key).dimensions(512).build()?;
            (Config::builder().embedder(model), 512, "semantic_example")
        }
        Err(_) => (Config::builder().embedder(LexicalEmbedder::new()), 1024, "semantic_example_letters"),
    };
    let index = PgvectorIndex::builder(url).dimensions(dimensions).table(table).build()?;
    // Or `stampede schema`, for those who may create tables.
    index.ensure_schema().await?;
    configure(config.index("pgvector", index).build()?)?;

    if std::env::args().nth(1).as_deref() == Some("clear") {
        answer::clear().await?;
        println!("taken out");
        return Ok(());
    }
    for question in [
        "How do I undo the last commit in git?",
        "how do i undo my last commit in git",
        "How do I undo the last 2 commits in git?",
        "How do I undo the last commit in git?",
    ] {
        let (answer, outcome) = outcome(answer(question)).await;
        let outcome = outcome.map(|outcome| outcome.to_string()).unwrap_or_default();
        println!("{question:<42} {outcome:<42} {}", answer?);
    }
    println!("\n{}", answer::stats());
    // What is still on its way to the server arrives.
    shutdown(Duration::from_secs(1)).await;
    Ok(())
}
