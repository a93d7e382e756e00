//! What is invalidated other than by its key, in memory and in backends: tags, patterns, namespaces, functions that write.

#[path = "../stampede-runtime/tests/support/redis_server.rs"]
mod redis_server;

mod invalidation {
    mod gate;
    mod hosts;
    mod hosts_share;
    mod memory;
    mod random;
    mod random_here;
}
