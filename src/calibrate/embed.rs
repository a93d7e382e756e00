//! The embeddings of all questions, each asked for once.

use std::collections::{HashMap, HashSet};
use std::env;
use std::error::Error as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use stampede_runtime::semantic::{Embedder, Embedding, LexicalEmbedder, OpenAiEmbedder};

use super::Options;
use super::pairs::Pair;
use crate::failure::Failure;

/// No caller waits here, and an embedder on a desk may take its time for a batch.
const TIMEOUT: Duration = Duration::from_secs(60);

/// By question. `None`: what the embedder answered is no embedding.
pub(super) type Embeddings<'a> = HashMap<&'a str, Option<Embedding>>;

/// The embedder that the options ask for.
pub(super) fn embedder(options: &Options) -> Result<Box<dyn Embedder>, Failure> {
    let (Some(url), Some(model)) = (&options.embedder_url, &options.model) else {
        return Ok(Box::new(LexicalEmbedder::new()));
    };
    let mut builder = OpenAiEmbedder::builder(model).base_url(url).timeout(TIMEOUT);
    if let Some(key) = env::var("OPENAI_API_KEY").ok().filter(|key| !key.is_empty()) {
        builder = builder.api_key(key);
    }
    let embedder = builder.build().map_err(|error| {
        let problems = error.to_string();
        let problems: Vec<_> = problems.lines().skip(1).map(|problem| problem.trim_start_matches("- ")).collect();
        Failure::Usage(format!("the embedder cannot be made: {}", problems.join("; ")))
    })?;
    Ok(Box::new(embedder))
}

pub(super) async fn embed<'a>(embedder: &dyn Embedder, pairs: &'a [Pair]) -> Result<Embeddings<'a>, Failure> {
    let questions: HashSet<&str> = pairs.iter().flat_map(|pair| &pair.questions).map(String::as_str).collect();
    let mut questions: Vec<_> = questions.into_iter().collect();
    // A model pads the texts of a batch to the longest of them, so those of one length go together. In one order always.
    questions.sort_unstable_by_key(|question| (question.len(), *question));
    let bar = bar(questions.len());
    let mut embeddings = Embeddings::with_capacity(questions.len());
    for batch in questions.chunks(embedder.batch_max().max(1)) {
        let texts: Vec<_> = batch.iter().map(|&question| question.to_owned()).collect();
        let vectors = embedder.embed(&texts).await.map_err(|error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            Failure::Failed(format!("{error}{cause}"))
        })?;
        if vectors.len() != batch.len() {
            let (vectors, texts) = (vectors.len(), batch.len());
            return Err(Failure::Failed(format!("the embedder answered {vectors} vectors to {texts} questions")));
        }
        let embedding = |values| Embedding::new(values, embedder.dimensions()).ok();
        embeddings.extend(batch.iter().copied().zip(vectors.into_iter().map(embedding)));
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(embeddings)
}

/// On standard error, while somebody watches that.
fn bar(questions: usize) -> ProgressBar {
    let template = "embedding {bar:24.green/dim} {pos:>5}/{len}  {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is a constant");
    ProgressBar::new(questions as u64).with_style(style.progress_chars("━━╌"))
}
