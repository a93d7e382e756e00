//! The attributes of stampede.
//!
//! Depend on `stampede-runtime`, which re-exports them: its documentation tells what each of them does, with examples that run.
//! Every attribute takes the same way through this crate: tokens → `Args` and `Item` (what was written) → `Model` (what
//! will be built; every rule between the two) → `expand` (tokens, without a question).

mod args;
mod body;
mod companion;
mod errors;
mod expand;
mod invalidates;
mod item;
mod key;
mod model;
mod policy;
mod tags;
mod types;
mod value;
mod words;

#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;

use crate::args::Args;
use crate::errors::Errors;
use crate::item::Item;
use crate::model::Model;
use crate::words::Attribute;

/// Shares one execution between the concurrent calls of a function that have equal arguments and, with `ttl`, its
/// result with later calls. See `stampede_runtime` for the arguments and for what a shared call promises.
#[proc_macro_attribute]
pub fn coalesce(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    decorate(Attribute::Coalesce, args.into(), item.into()).into()
}

/// Shares calls as `#[coalesce]` does, keyed by the normalised content of chosen arguments (`fields`): texts that differ
/// in case, white space or Unicode form only are equal. See `stampede_runtime` for the arguments.
#[proc_macro_attribute]
pub fn coalesce_by_content(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    decorate(Attribute::CoalesceByContent, args.into(), item.into()).into()
}

/// Keeps the results of a function for their `ttl`, and shares one execution between the calls that find none. See
/// `stampede_runtime` for the arguments and for what a shared call promises.
#[proc_macro_attribute]
pub fn cached(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    decorate(Attribute::Cached, args.into(), item.into()).into()
}

/// Shares the calls of a function between processes: one of them executes, and the results are kept for their `ttl`, by
/// default a minute. See `stampede_runtime` for the arguments and for what a shared call promises.
#[proc_macro_attribute]
pub fn distributed_coalesce(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    decorate(Attribute::DistributedCoalesce, args.into(), item.into()).into()
}

/// Shares the calls of a function that mean the same: one of them executes, and the results are kept for their `ttl`, by
/// default five minutes. See `stampede_runtime` for the arguments and for what a shared call promises.
#[proc_macro_attribute]
pub fn semantic_coalesce(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    decorate(Attribute::SemanticCoalesce, args.into(), item.into()).into()
}

/// Invalidates what a function that writes has made wrong, once it has written. See `stampede_runtime` for the arguments.
#[proc_macro_attribute]
pub fn invalidates(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    invalidates::expand(args.into(), item.into()).into()
}

fn decorate(attribute: Attribute, args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = Args::parse(attribute, args, &mut errors);
    let model = Item::parse(&args, item.clone(), &mut errors).map(|item| Model::new(&args, item, &mut errors));
    match errors.finish(model) {
        Ok(model) => expand::expand(&model),
        Err(report) => report.with_item(item),
    }
}
