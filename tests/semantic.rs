//! What `#[semantic_coalesce]` promises. As in `behaviour`: one file for each promise.

mod semantic {
    #[path = "../behaviour/help.rs"]
    mod help;
    mod parts;
    #[path = "../backends/process.rs"]
    mod process;

    mod apart;
    mod basics;
    mod chains;
    mod embedder_broken;
    mod endings;
    mod guards;
    mod hostile;
    mod index_broken;
    mod invalidation;
    mod nests;
    mod one;
    mod random;
    mod runtimes;
    mod stats;
    mod threads;
    mod thresholds;
    mod time;
    mod values;
}
