//! Executions shared between real processes through a real server, while processes and the server die, stop and lie.
//!
//! Each test starts a server of its own and some workers, which are this executable once more (`worker`). They do as they
//! are told through their input and report whatever happens in them: a call, an execution, its end, what a caller got. What
//! was reported is one history, and one `checker` judges it whenever a fleet is dismissed: it is the same for all tests.
//!
//! No assertion is about time. What takes long is printed; what hangs is ended after a patience that a busy machine does not
//! use up.

#[path = "../stampede-runtime/tests/support/postgres_server.rs"]
mod postgres_server;
#[path = "../stampede-runtime/tests/support/redis_cluster.rs"]
mod redis_cluster;
#[path = "../stampede-runtime/tests/support/redis_server.rs"]
mod redis_server;
#[path = "../stampede-runtime/tests/support/tcp_proxy.rs"]
mod tcp_proxy;

mod fleet {
    mod checker;
    mod directions;
    mod events;
    mod functions;
    mod host;
    mod orders;
    mod worker;

    mod absent;
    mod clocks;
    mod cluster;
    mod connections;
    mod crowds;
    mod endings;
    mod hostile;
    mod leader;
    mod lines;
    mod meaning;
    mod meaning_faults;
    mod meaning_found;
    mod meaning_invalidated;
    mod meaning_leader;
    mod meaning_random;
    mod meaning_without;
    mod newest;
    mod newest_here;
    mod one;
    mod page;
    mod random;
    mod refreshes;
    mod server;
    mod server_refuses;
}
