//! What a `Cache` promises. As in `behaviour`: one file for each promise.

mod cache {
    #[path = "../behaviour/help.rs"]
    mod help;
    #[path = "../backends/process.rs"]
    mod process;

    mod backends;
    mod basics;
    mod blocking;
    mod err;
    mod flights;
    mod through;
}
