//! `stampede calibrate`: what a threshold and the guards would do to pairs of questions whose meanings are known, and which
//! threshold keeps wrong hits as few as one wishes.

mod embed;
mod interval;
mod options;
mod pairs;
mod plot;
mod table;
mod tally;

pub(crate) use self::options::Options;
use self::tally::Tally;
use crate::failure::Failure;
use crate::report::{Format, json};
use crate::{file, terminal};

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let pairs = pairs::read(&options.pairs)?;
    let embedder = embed::embedder(options)?;
    terminal::until_ctrl_c(async {
        let embeddings = embed::embed(&*embedder, &pairs).await?;
        let tally = Tally::new(embedder.model_id(), &pairs, &embeddings);
        let report = tally.report(&options.thresholds, options.max_error);
        if let Some(path) = &options.plot {
            file::write(path, &plot::draw(&tally, &report))?;
        }
        terminal::print(&match options.format() {
            Format::Table => table::draw(&report),
            Format::Json => json(&report)?,
        })
    })
}
