//! The options of `stampede calibrate`.

use std::path::PathBuf;

use clap::Args;

use crate::report::Format;

/// Find the threshold for your questions: count right and wrong hits among labelled pairs
///
/// Reads pairs of questions of which somebody knows whether they mean the same, makes the embedding of each question, and
/// says for each threshold how many pairs `#[semantic_coalesce]` would take for one: right hits among those that mean the
/// same, wrong hits among those that do not, with intervals of 95 % (Clopper and Pearson). First without guards, then with each guard alone, those that are on by default,
/// and all of them. Take pairs of your own: what is a good threshold depends on the embedder and on what people ask.
///
/// Without --embedder-url questions are compared by how they are spelt, and nothing leaves this machine.
#[derive(Debug, Args)]
#[command(after_long_help = EXITS_AND_JSON)]
pub(crate) struct Options {
    /// The pairs, one JSON object a line: a and b, the questions, and label, 1 if they mean the same and 0 if not
    ///
    /// At most 64 MiB and 100000 pairs, with questions of at most 32 KiB. Empty lines are skipped.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) pairs: PathBuf,

    /// Where the embedder is: an API as OpenAI has it, without /embeddings, such as `http://127.0.0.1:8383/v1`
    ///
    /// It is sent the questions, and what `OPENAI_API_KEY` says as its key.
    #[arg(short, long, value_name = "URL", requires = "model")]
    pub(crate) embedder_url: Option<String>,

    /// The model that the embedder is asked for
    #[arg(short, long, value_name = "NAME", requires = "embedder_url")]
    pub(crate) model: Option<String>,

    /// Which thresholds, cosine similarities from -1 to 1
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', value_parser = threshold,
          allow_negative_numbers = true, default_value = "0.80,0.85,0.90,0.92,0.95")]
    pub(crate) thresholds: Vec<f32>,

    /// Which part of all hits may be wrong, such as 0.02: says the lowest threshold that keeps to it
    ///
    /// Tried are thresholds from 0 to 1 in steps of 0.005. One keeps to it if the upper bound of its wrong share is not above,
    /// with 95 % on that side. Each by itself: the lowest of many is a little luckier than that.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) max_error: Option<f64>,

    /// Draw hits and wrong hits over the threshold into this file, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    /// What to print at the end
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,

    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl Options {
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

fn threshold(text: &str) -> Result<f32, &'static str> {
    let threshold = text.trim().parse().ok().filter(|threshold| (-1.0..=1.0).contains(threshold));
    threshold.ok_or("a threshold is a number from -1 to 1")
}

fn share(text: &str) -> Result<f64, &'static str> {
    let share = text.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or("a share is a number from 0 to 1")
}

const EXITS_AND_JSON: &str = "\
Exit codes:
    0  everything was compared, whether or not there is a threshold to recommend
    1  the pairs cannot be read, the plot cannot be written, or the embedder failed
    2  the options are wrong
  130  interrupted

JSON fields:
  model         the embedder's model
  pairs         same (that mean the same), different
  questions     distinct ones; not_embedded (of these), which hit nothing
  thresholds    a list: threshold; guards, a list: guards (a list of names),
                set (none, default, all, or the one name); right_hits, their
                right_rate among the pairs that mean the same and its
                right_interval; wrong_hits, their wrong_rate among the others
                and wrong_interval; wrong_share of all hits,
                wrong_share_interval and wrong_share_upper, its bound on one
                side alone
  recommended   null without --max-error, else max_error and guards, a list of
                the same figures for each set with threshold; where no threshold
                does that is null, and nearest_threshold has the least bound
A rate is 0 to 1, an interval [from, to] with 95 %; null where there was nothing
to count.";
