//! `stampede evaluate`: what a threshold and the guards would do to pairs of questions whose meanings are known.

mod embed;
mod options;
mod pairs;
mod table;
mod tally;

pub(crate) use self::options::Options;
use crate::failure::Failure;
use crate::report::{Format, json};
use crate::terminal;

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let pairs = pairs::read(&options.pairs)?;
    let embedder = embed::embedder(options)?;
    terminal::until_ctrl_c(async {
        let embeddings = embed::embed(&*embedder, &pairs).await?;
        let report = tally::report(embedder.model_id(), &pairs, &embeddings, &options.thresholds);
        terminal::print(&match options.format {
            Format::Table => table::draw(&report),
            Format::Json => json(&report)?,
        })
    })
}
